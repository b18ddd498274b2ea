"""A recording stands in for the controllers: the real drivers live through the same again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from stage_rig import SPEED, AdjustableClock

from hal.config import AptConfig, StageConfig
from hal.errors import InputError, LeukoluxError, StageAlarmError, StageError
from hal.interfaces.stage import Position, Stage
from hal.recorder.recorder import FileRecorder
from hal.recorder.recording import Entry, Recording, read_recording, ring_files
from hal.sim.apt.emulator import AptEmulator
from hal.sim.grbl.emulator import GrblEmulator
from hal.sim.replay.controller import ReplayController
from hal.sim.replay.emulator import ReplayEmulator
from hal.sim.replay.steps import step_through
from hal.stage.apt.driver import AptStage
from hal.stage.grbl.controller import Controller
from hal.stage.grbl.driver import GrblStage
from hal.stage.grbl.link import SerialLink

FIXTURES = Path(__file__).parent.parent / "fixtures" / "grbl"
GRBL = StageConfig(travel_x_mm=30.0, travel_y_mm=30.0, travel_z_mm=10.0)
APT = AptConfig(travel_x_mm=30.0, travel_y_mm=30.0, travel_z_mm=6.0)


@pytest.fixture
def clock() -> AdjustableClock:
    return AdjustableClock(SPEED)


@contextmanager
def recorded(folder: Path) -> Iterator[FileRecorder]:
    with FileRecorder(folder, minutes=10.0, max_mb=20.0, speed=SPEED) as recorder:
        yield recorder


def home_and_move(stage: Stage) -> list[Position]:
    stage.open()
    stage.home()
    places = [stage.move_to(5000.0, 7000.0, 3000.0), stage.move_to(x_um=4200.5)]
    with pytest.raises(StageError):
        stage.move_to(x_um=90_000.0)
    return [*places, stage.position()]


def test_homing_and_moves_of_grbl_are_lived_through_again(
    tmp_path: Path, clock: AdjustableClock
) -> None:
    emulator = GrblEmulator(GRBL, clock, start_um=(5000.0, 6000.0, 4000.0))
    with recorded(tmp_path) as recorder:
        config = GRBL.model_copy(update={"port": emulator.port})
        stage = GrblStage(config, clock, recorder)
        places = home_and_move(stage)
        stage.close()
    emulator.close()
    with ReplayEmulator(read_recording(ring_files(tmp_path)[0]), clock) as replay:
        again = GrblStage(GRBL.model_copy(update={"port": replay.ports["stage.port"]}), clock)
        assert home_and_move(again) == places
        replay.check()
        assert replay.steps_left == 1, "only the stop at closing is left"
        with pytest.raises(LeukoluxError):
            again.move_to(x_um=1000.0)
        again.close()
        with pytest.raises(InputError, match=r"\$J=G90 .* but line \d+ of the recording") as caught:
            replay.check()
        assert caught.value.error_code == "REPLAY-DEVIATION"


def test_homing_and_moves_of_apt_are_lived_through_again(
    tmp_path: Path, clock: AdjustableClock
) -> None:
    pytest.importorskip("thorlabs_apt_protocol", reason="the extra apt is not installed")
    emulator = AptEmulator(APT, clock, start_um=(5000.0, 6000.0, 2000.0))
    config = StageConfig(driver="apt", port=emulator.port)
    with recorded(tmp_path) as recorder:
        apt = APT.model_copy(update={"port_z": emulator.port_z})
        stage = AptStage(config, apt, clock, recorder)
        places = home_and_move(stage)
        stage.close()
    emulator.close()
    recording = read_recording(ring_files(tmp_path)[0])
    assert recording.wires() == ["stage.port", "apt.port_z", "recorder"]
    with ReplayEmulator(recording, clock) as replay:
        config = StageConfig(driver="apt", port=replay.ports["stage.port"])
        apt = APT.model_copy(update={"port_z": replay.ports["apt.port_z"]})
        again = AptStage(config, apt, clock)
        for before, now in zip(places, home_and_move(again), strict=True):
            # A report of the same rest, perhaps not the very same one: an axis swings by counts.
            assert (now.x_um, now.y_um, now.z_um) == pytest.approx(
                (before.x_um, before.y_um, before.z_um), abs=0.6
            )
        replay.check()
        again.close()


@contextmanager
def recorded_apt(folder: Path, clock: AdjustableClock) -> Iterator[tuple[AptEmulator, AptStage]]:
    """Two controllers whose homed stage is recorded until the end of the block."""
    emulator = AptEmulator(APT, clock, start_um=(5000.0, 6000.0, 2000.0))
    config = StageConfig(driver="apt", port=emulator.port)
    with recorded(folder) as recorder:
        apt = APT.model_copy(update={"port_z": emulator.port_z})
        stage = AptStage(config, apt, clock, recorder)
        stage.open()
        stage.home()
        yield emulator, stage
        stage.close()
    emulator.close()


def test_a_recording_of_apt_is_stepped_through(tmp_path: Path, clock: AdjustableClock) -> None:
    pytest.importorskip("thorlabs_apt_protocol", reason="the extra apt is not installed")
    with recorded_apt(tmp_path, clock) as (emulator, stage):
        stage.move_to(5000.0, z_um=3000.0)
        emulator.block("Y")
        with pytest.raises(StageAlarmError):
            stage.move_to(y_um=9000.0)
    [path] = ring_files(tmp_path)
    said = list(step_through(path, clock))
    text = "\n".join(said)
    assert text.count(": opened: ") == 2
    assert "hw_req_info 0x21: " in text
    assert {"BBD302", "KDC101"} <= set(re.findall(r"(\S+) 3\.1\.7", text))
    assert text.count(" homed") >= 3
    assert "mot_move_absolute 0x21 chan_ident=1 position=100000" in text
    assert "mot_move_absolute 0x50 chan_ident=1 position=102912" in text
    assert {"0x21/1", "0x50/1"} <= set(re.findall(r"(\S+) completed", text))
    assert "the axis does not follow" in text

    lines = path.read_text(encoding="ascii").splitlines()
    begins = '"tx": "S\\u0004'
    foreign = next(number for number, line in enumerate(lines) if begins in line)
    lines[foreign] = lines[foreign].replace(begins, begins.replace("S", "H"))
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    with pytest.raises(InputError, match="an order that this driver never gives"):
        list(step_through(path, clock))


@pytest.mark.slow
def test_of_two_controllers_the_first_deviation_is_told(
    tmp_path: Path, clock: AdjustableClock
) -> None:
    pytest.importorskip("thorlabs_apt_protocol", reason="the extra apt is not installed")
    with recorded_apt(tmp_path, clock) as (_, stage):
        stage.move_to(5000.0, z_um=3000.0)
        stage.move_to(6000.0)
    with ReplayEmulator(read_recording(ring_files(tmp_path)[0]), clock) as replay:
        config = StageConfig(driver="apt", port=replay.ports["stage.port"])
        apt = APT.model_copy(update={"port_z": replay.ports["apt.port_z"]})
        again = AptStage(config, apt, clock)
        again.open()
        again.home()
        with pytest.raises(LeukoluxError):
            # The silence of z lets the driver stop x, which was not recorded either.
            again.move_to(5000.0, z_um=3500.0)
        with pytest.raises(InputError, match="REPLAY-DEVIATION") as caught:
            replay.check()
        z_counts = round(3.5 * APT.counts_per_mm_z).to_bytes(4, "little")
        assert repr(z_counts)[2:-1] in caught.value.cause
        again.close()


def test_a_driver_that_does_something_else_is_told_the_line(
    clock: AdjustableClock,
) -> None:
    lines = (FIXTURES / "04-jog-out-of-range.jsonl").read_text(encoding="utf-8").splitlines()
    wanted = next(n for n, line in enumerate(lines, 1) if "$J" in line)
    path = FIXTURES / "04-jog-out-of-range.jsonl"
    with ReplayEmulator(read_recording(path), clock) as replay:
        controller = connected(replay, clock)
        controller.home(60.0, None)
        with pytest.raises(LeukoluxError):
            controller.command("$J=G90 G21 G53 X-6 F1500")
        with pytest.raises(InputError, match="X-6 F1500") as caught:
            replay.check()
        assert f"line {wanted} of the recording {path}" in caught.value.cause


def test_after_a_deviation_the_board_is_silent_until_it_is_opened_anew() -> None:
    recording = read_recording(FIXTURES / "01-poweron-locked.jsonl")
    controller = ReplayController(recording.path, recording.entries, recording.speed)
    for start_s in (0.0, 100.0):
        controller.connected(start_s)
        banner = b"".join(controller.exchange(b"", start_s + 1.0))
        assert b"Grbl 1.1h" in banner
        [report] = controller.exchange(b"?", start_s + 1.0)
        assert report.startswith(b"<Alarm|MPos:0.000")
        assert controller.exchange(b"$X\n", start_s + 1.0) == []
        assert controller.deviation is not None
        assert controller.exchange(b"?", start_s + 2.0) == []


def test_after_an_order_without_reports_the_state_is_as_it_was_reported_last() -> None:
    said: list[tuple[str, bytes]] = [
        ("open", b""),
        ("rx", b"Grbl 1.1h ['$' for help]\r\n"),
        ("tx", b"$J=G90 X1 F100\n"),
        ("rx", b"ok\r\n"),
        ("tx", b"?"),
        ("rx", b"<Idle|MPos:1.000,0.000,0.000|FS:0,0>\r\n"),
        ("tx", b"\x85"),
    ]
    entries = [
        Entry(number, float(number), "stage.port", kind, what)
        for number, (kind, what) in enumerate(said, 2)
    ]
    controller = ReplayController(Path("wires.jsonl"), entries, 1.0)
    controller.connected(0.0)
    controller.exchange(b"$J=G90 X1 F100\n", 2.0)
    controller.exchange(b"\x85", 3.0)
    assert controller.exchange(b"?", 3.0) == [b"<Idle|MPos:1.000,0.000,0.000|FS:0,0>\r\n"]
    assert controller.deviation is None


def connected(replay: ReplayEmulator, clock: AdjustableClock) -> Controller:
    link = SerialLink(replay.ports["stage.port"], 115200)
    controller = Controller(link, clock)
    link.open()
    assert controller._await_banner(5.0) == "1.1h"
    return controller


Ask = Callable[[Controller], object]


def command(line: str) -> Ask:
    return lambda controller: controller.command(line)


def home(controller: Controller) -> None:
    controller.home(60.0, None)


@pytest.mark.parametrize(
    ("name", "asks", "code"),
    [
        ("02-home-ok", [home], None),
        ("04-jog-out-of-range", [home, command("$J=G90 G21 G53 X5 F1500")], "STAGE-REFUSED-15"),
        ("06b-switch-held-at-home-alarm8", [home], "STAGE-ALARM-8"),
        ("07-home-fail-alarm9", [home], "STAGE-ALARM-9"),
        ("01-poweron-locked", [command("G0 X1")], "STAGE-REFUSED-9"),
    ],
)
def test_the_driver_meets_the_real_firmware_again(
    clock: AdjustableClock, name: str, asks: list[Ask], code: str | None
) -> None:
    with ReplayEmulator(read_recording(FIXTURES / f"{name}.jsonl"), clock) as replay:
        controller = connected(replay, clock)
        *before, last = asks
        for ask in before:
            ask(controller)
        if code is None:
            last(controller)
            assert controller.position_known
        else:
            with pytest.raises((StageError, StageAlarmError)) as caught:
                last(controller)
            assert caught.value.error_code == code
        replay.check()


def test_answers_take_as_long_as_they_did(clock: AdjustableClock) -> None:
    recording = read_recording(FIXTURES / "02-home-ok.jsonl")
    sent = next(e.t_s for e in recording.entries if e.kind == "tx" and e.what == b"$H\n")
    done = next(e.t_s for e in recording.entries if e.kind == "rx" and e.what == b"ok\r\n")
    with ReplayEmulator(recording, clock) as replay:
        controller = connected(replay, clock)
        began_s = clock.monotonic_s()
        home(controller)
        assert clock.monotonic_s() - began_s >= done - sent


def test_a_recording_without_a_serial_conversation_is_refused(
    tmp_path: Path, clock: AdjustableClock
) -> None:
    with recorded(tmp_path) as recorder:
        recorder.note("camera", "command", "TriggerSoftware")
    recording: Recording = read_recording(ring_files(tmp_path)[0])
    with pytest.raises(InputError, match="no serial conversation"):
        ReplayEmulator(recording, clock)
