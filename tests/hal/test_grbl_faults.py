"""Firmware built otherwise, boards that do not restart, lost lines, holds, doors and resets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from threading import Event, Thread
from typing import Any

import pytest
from stage_rig import FAR_UM, SLOW, SPEED, StageRig, move_far, wait_until

from hal.clock import ManualClock
from hal.errors import DeviceTimeoutError, StageAlarmError, StageError
from hal.sim.grbl.emulator import GrblEmulator
from hal.sim.grbl.firmware import GrblFirmware
from hal.sim.grbl.motion import Mechanics
from hal.sim.grbl.settings import GrblSettings
from hal.stage.grbl import wire
from hal.stage.grbl.controller import Controller
from hal.stage.grbl.driver import GrblStage
from hal.stage.grbl.profile import check_identity


def stands_still(rig: StageRig) -> bool:
    before = rig.emulator.true_position_um()
    Event().wait(0.05)
    return rig.emulator.true_position_um() == before


def written(rig: StageRig, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return the list that will hold every write from now on."""
    writes: list[bytes] = []
    real = rig.stage._link.write

    def keep(data: bytes) -> None:
        writes.append(data)
        real(data)

    monkeypatch.setattr(rig.stage._link, "write", keep)
    return writes


def info(*lines: str) -> list[wire.Info]:
    replies = [wire.parse_line(line) for line in lines]
    assert all(isinstance(reply, wire.Info) for reply in replies)
    return [reply for reply in replies if isinstance(reply, wire.Info)]


@pytest.mark.parametrize(
    "lines",
    [
        ("[VER:1.1h.20190830:]", "[OPT:V,15,128]"),
        ("[VER:1.1f.20240801:]", "[OPT:VNMSL,35,1024,3,0]", "[NEWOPT:ENUMS,RT+]"),
        ("[VER:1.1h.20190830:]",),
        ("[VER:2.0.1:]", "[OPT:,100,1024]"),
    ],
)
def test_firmware_that_fits_is_taken(lines: tuple[str, ...]) -> None:
    check_identity(info(*lines))


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ((), "STAGE-IDENTITY"),
        (("[OPT:V,15,128]",), "STAGE-IDENTITY"),
        (("[VER:0.9j.20160303:]",), "STAGE-FIRMWARE"),
        (("[VER:soon:]",), "STAGE-FIRMWARE"),
        (("[VER:1.1h.20190830:]", "[OPT:VZ,15,128]"), "STAGE-FIRMWARE-ORIGIN"),
        (("[VER:1.1h.20190830:]", "[OPT:V,15,64]"), "STAGE-FIRMWARE-BUFFER"),
    ],
)
def test_firmware_that_does_not_fit_is_refused(lines: tuple[str, ...], code: str) -> None:
    with pytest.raises(StageError) as caught:
        check_identity(info(*lines))
    assert caught.value.error_code == code


@pytest.fixture
def steady_rig(closed_rig: StageRig) -> Iterator[StageRig]:
    """A board that does not restart when its port is opened."""
    emulator = GrblEmulator(closed_rig.config, closed_rig.clock, resets_on_open=False)
    config = closed_rig.config.model_copy(update={"port": emulator.port})
    stage = GrblStage(config, closed_rig.clock)
    yield StageRig(stage, emulator, config, closed_rig.clock)
    stage.close()
    emulator.close()


def test_a_board_that_does_not_restart_on_opening_is_reset(steady_rig: StageRig) -> None:
    steady_rig.stage.open()
    assert not steady_rig.stage.homed
    steady_rig.stage.home()
    assert steady_rig.stage.move_to(x_um=4000.0).x_um == 4000.0


def test_a_jog_that_outlived_its_host_is_stopped_by_the_next(steady_rig: StageRig) -> None:
    stage = steady_rig.stage
    stage.open()
    stage.home()
    stage._link.write(b"$J=G90 G21 G53 X-1 F10\n")
    stage._link.close()
    steady_rig.clock.set_speed(10.0)
    wait_until(lambda: steady_rig.emulator.true_position_um()[0] > 100.0)
    stage.open()
    before = steady_rig.emulator.true_position_um()
    assert before[0] < 27_000.0
    steady_rig.clock.sleep(5.0)
    assert steady_rig.emulator.true_position_um() == before
    assert not stage.homed


def test_a_line_that_was_lost_as_a_whole_is_sent_again(rig: StageRig) -> None:
    rig.emulator.lose_bytes(500)
    rig.clock.set_speed(10.0)
    with rig.clock.impatient(0.5):
        assert rig.stage.move_to(x_um=6000.0).x_um == 6000.0
    assert rig.emulator.true_position_um()[0] == pytest.approx(6000.0, abs=6.0)


def test_half_a_line_is_an_error_and_nothing_moves(rig: StageRig) -> None:
    before = rig.emulator.true_position_um()
    rig.emulator.lose_bytes(5)
    with pytest.raises(StageError):
        rig.stage.move_to(x_um=6000.0)
    assert rig.emulator.true_position_um() == before
    assert rig.stage.homed
    assert rig.stage.move_to(x_um=6000.0).x_um == 6000.0


def test_a_lost_digit_does_not_send_the_stage_astray(rig: StageRig) -> None:
    rig.clock.set_speed(SLOW)
    # "$J=G90 G21 G53 X-28.0000 ..." becomes X-2.0000, which the controller takes.
    rig.emulator.lose_bytes(1, first=len("$J=G90 G21 G53 X-2"))
    with pytest.raises(StageError) as caught:
        rig.stage.move_to(x_um=1000.0)
    assert caught.value.error_code == "STAGE-ASTRAY"
    at_um = rig.emulator.true_position_um()[0]
    assert at_um < 10_000.0
    assert rig.stage.homed
    assert rig.stage.position().x_um == pytest.approx(at_um, abs=6.0)


def test_a_hold_by_somebody_else_is_not_overruled(rig: StageRig) -> None:
    thread, raised = move_far(rig)
    rig.stage._link.write(b"!")
    thread.join(30.0)
    assert isinstance(raised[0], StageError)
    assert raised[0].error_code == "STAGE-NOT-ARRIVED"
    assert rig.stage.homed
    at_um = rig.emulator.true_position_um()[0]
    assert at_um < FAR_UM - 5000.0
    assert rig.stage.position().x_um == pytest.approx(at_um, abs=6.0)


def test_an_open_door_stops_the_move_and_home_recovers(rig: StageRig) -> None:
    thread, raised = move_far(rig)
    rig.stage._link.write(b"\x84")
    wait_until(lambda: stands_still(rig))
    rig.clock.set_speed(SPEED)
    thread.join(30.0)
    assert isinstance(raised[0], StageError)
    assert raised[0].error_code == "STAGE-NOT-IDLE"
    rig.clock.set_speed(SPEED)
    rig.stage.home()
    assert rig.stage.move_to(x_um=4000.0).x_um == 4000.0


@pytest.mark.parametrize(
    ("line", "state"), [(b"$SLP\n", "Sleep"), (b"$C\n", "Check"), (b"$H=1\n", "Home")]
)
def test_asleep_checking_or_stuck_it_refuses_to_move_and_home_recovers(
    rig: StageRig, line: bytes, state: str
) -> None:
    rig.stage._link.write(line)
    rig.wait_for_state(state)
    with pytest.raises(StageError) as caught:
        rig.stage.move_to(x_um=4000.0)
    assert caught.value.error_code == "STAGE-NOT-IDLE"
    rig.stage.home()
    assert rig.stage.move_to(x_um=4000.0).x_um == 4000.0


def test_after_a_limit_alarm_home_works_at_once(rig: StageRig) -> None:
    thread, raised = move_far(rig)
    rig.emulator.press_limit("X")
    thread.join(30.0)
    rig.emulator.release_limit("X")
    assert isinstance(raised[0], StageAlarmError)
    rig.clock.set_speed(SPEED)
    rig.stage.home()
    assert rig.stage.homed


def test_a_restart_while_homing_is_an_error(closed_rig: StageRig) -> None:
    closed_rig.stage.open()
    closed_rig.clock.set_speed(SLOW)
    raised: list[BaseException] = []

    def home() -> None:
        try:
            closed_rig.stage.home()
        except BaseException as error:
            raised.append(error)

    thread = Thread(target=home)
    thread.start()
    wait_until(lambda: closed_rig.stage._homing)
    closed_rig.emulator.restart()
    thread.join(30.0)
    assert isinstance(raised[0], StageError)
    assert not closed_rig.stage.homed


def test_three_silent_questions_are_followed_by_one_reset(
    rig: StageRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = written(rig, monkeypatch)
    rig.emulator.set_silent(True)
    with rig.clock.impatient(), pytest.raises(DeviceTimeoutError):
        rig.stage.position()
    assert writes == [wire.STATUS_QUERY] * 3 + [wire.SOFT_RESET]


def test_what_is_sent_is_absolute_and_one_line_at_a_time(
    rig: StageRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = written(rig, monkeypatch)
    rig.stage.move_to(5000.0, 4000.0, 3000.0)
    rig.stage.move_to(4000.0, 4500.0)
    lines = [data for data in writes if data != wire.STATUS_QUERY]
    assert len(lines) == 2
    for line in lines:
        assert re.fullmatch(rb"\$J=G90 G21 G53( [XYZ]-\d+\.\d{4})+ F\d+\.\d\n", line)


def test_nobody_asks_for_the_state_before_the_acknowledgement_is_read(
    rig: StageRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question written together with a jog is often answered before the jog begins."""
    told: list[bytes | str] = written(rig, monkeypatch)  # type: ignore[assignment]
    read_line = rig.stage._link.read_line

    def read(*args: Any) -> str | None:
        line = read_line(*args)
        told.append(line or "")
        return line

    monkeypatch.setattr(rig.stage._link, "read_line", read)
    for x_um in (4000.0, 4000.5, 9000.0):
        rig.stage.move_to(x_um=x_um)
    jogs = [i for i, data in enumerate(told) if isinstance(data, bytes) and b"$J" in data]
    assert len(jogs) == 3
    for jog in jogs:
        assert told[jog + 1] == "ok"
        assert told[jog + 2] == wire.STATUS_QUERY


def test_a_reset_in_the_first_half_second_of_an_alarm_is_not_heard() -> None:
    still = Mechanics((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    firmware = GrblFirmware(GrblSettings(), (-50.0, -50.0, -10.0), still)
    firmware.power_cycle(0.0)
    firmware.receive(b"$X\nG53 G0 X-999\n", 1.0)
    firmware.receive(b"\x18", 1.2)
    firmware.advance(3.0)
    assert firmware.take_lines()[-2:] == ["ALARM:2", "[MSG:Reset to continue]"]
    firmware.receive(b"\x18", 3.0)
    firmware.advance(3.5)
    assert "Grbl 1.1h ['$' for help]" in firmware.take_lines()


class ScriptedLink:
    """Gives lines one after the other, whatever is written."""

    is_open = True

    def __init__(self, *lines: str) -> None:
        self.lines = list(lines)
        self.writes: list[bytes] = []

    def open(self) -> None:
        pass

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def take_line(self) -> str | None:
        return None

    def read_line(self, deadline: object, cancel: object = None) -> str | None:
        return self.lines.pop(0) if self.lines else None

    def close(self) -> None:
        self.is_open = False


def test_grblhal_is_understood() -> None:
    link = ScriptedLink(
        "GrblHAL 1.1f ['$' or '$HELP' for help]",
        "<Idle|MPos:-99.000,-99.000,-19.000|Bf:35,1024|FS:0,0|Pn:|WCO:0.000,0.000,0.000|SD:0.0>",
        "<Jog|MPos:-98.000,-99.000,-19.000,0.000|FS:0,0>",
        "<Jog|MPos:-97.000,-99.000,-19.000|FS:1500,0|MPG:0|H:1,7>",
        "ALARM:11",
    )
    controller = Controller(link, ManualClock())  # type: ignore[arg-type]
    assert controller.connect() == "1.1f"
    assert controller.status().machine_mm == (-97.0, -99.0, -19.0)
    with pytest.raises(StageAlarmError) as caught:
        controller.status()
    assert caught.value.error_code == "STAGE-ALARM-11"


def test_a_swallowed_reset_is_repeated_when_the_controller_asks_for_it() -> None:
    link = ScriptedLink("ALARM:1", "[MSG:Reset to continue]", "ok", "Grbl 1.1h ['$' for help]")
    controller = Controller(link, ManualClock())  # type: ignore[arg-type]
    with pytest.raises(StageAlarmError):
        controller.status()
    assert link.writes == [wire.STATUS_QUERY, wire.SOFT_RESET, wire.SOFT_RESET]
    assert link.is_open


def test_a_banner_that_comes_late_behind_the_opening_is_no_failure(
    closed_rig: StageRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller = closed_rig.stage._controller
    connect = controller.connect

    def connect_to_a_slow_board() -> str:
        version = connect()
        closed_rig.emulator.restart()
        return version

    monkeypatch.setattr(controller, "connect", connect_to_a_slow_board)
    closed_rig.stage.open()
    assert not closed_rig.stage.homed
    closed_rig.stage.home()
    assert closed_rig.stage.homed
