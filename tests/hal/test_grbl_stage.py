"""The stage driver against the emulated controller: good days and every fault."""

from __future__ import annotations

import time
from threading import Event, Timer

import pytest
from stage_rig import FAR_UM, SLOW, SPEED, StageRig, move_far

from hal.errors import (
    Cancelled,
    DeviceClosedError,
    DeviceError,
    DeviceTimeoutError,
    StageAlarmError,
    StageError,
    StageLimitError,
)
from hal.stage.grbl import codes, controller, wire
from hal.stage.grbl.driver import GrblStage


@pytest.fixture
def slow_rig(rig: StageRig) -> StageRig:
    """Homed at speed, then slow: the longest move takes seconds."""
    rig.clock.set_speed(SLOW)
    return rig


def test_moves_arrive_where_asked_and_the_slide_is_there(rig: StageRig) -> None:
    for x_um, y_um, z_um in [(5000.0, 7000.0, 3000.0), (4000.0, 7200.0, 3000.5)]:
        position = rig.stage.move_to(x_um, y_um, z_um)
        assert position.x_um == pytest.approx(x_um, abs=0.5 / 0.8)
        assert position.z_um == pytest.approx(z_um, abs=0.5 / 3.2)
        truth = rig.emulator.true_position_um()
        assert truth[0] == pytest.approx(x_um, abs=6.0)
        assert truth[1] == pytest.approx(y_um, abs=6.0)
        assert truth[2] == pytest.approx(z_um, abs=1.7)


def test_small_focus_steps_are_resolved(rig: StageRig) -> None:
    truths = []
    for step in range(5):
        position = rig.stage.move_to(z_um=3000.0 + 0.5 * step)
        assert position.z_um == pytest.approx(3000.0 + 0.5 * step, abs=0.16)
        truths.append(rig.emulator.true_position_um()[2])
    assert truths[-1] - truths[0] == pytest.approx(2.0, abs=0.8)


def test_axes_that_are_not_named_stay(rig: StageRig) -> None:
    rig.stage.move_to(5000.0, 6000.0, 3000.0)
    position = rig.stage.move_to(y_um=6500.0)
    assert (position.x_um, position.z_um) == (5000.0, 3000.0)


def test_acknowledged_is_not_arrived(slow_rig: StageRig) -> None:
    started_s = slow_rig.clock.monotonic_s()
    slow_rig.stage.move_to(x_um=10_000.0)
    assert slow_rig.clock.monotonic_s() - started_s >= 10.0 / 25.0


@pytest.mark.parametrize("target", [{"x_um": -1.0}, {"y_um": 1e6}, {"z_um": float("nan")}])
def test_a_target_outside_the_travel_is_refused_before_anything_is_sent(
    rig: StageRig, monkeypatch: pytest.MonkeyPatch, target: dict[str, float]
) -> None:
    written: list[bytes] = []
    monkeypatch.setattr(rig.stage._link, "write", written.append)
    with pytest.raises(StageLimitError):
        rig.stage.move_to(**target)
    assert written == []


def test_the_corners_of_the_travel_can_be_reached(rig: StageRig) -> None:
    travel = rig.stage.travel
    rig.stage.move_to(travel.x_um, travel.y_um, travel.z_um)
    position = rig.stage.move_to(0.0, 0.0, 0.0)
    assert (position.x_um, position.y_um, position.z_um) == (0.0, 0.0, 0.0)


def test_a_controller_set_up_differently_is_refused(closed_rig: StageRig) -> None:
    config = closed_rig.config.model_copy(update={"travel_x_mm": 50.0, "steps_per_mm_z": 1000.0})
    stage = GrblStage(config, closed_rig.clock)
    with pytest.raises(StageError, match=r"\$102 .* is 3200.*not 1000.*\$130 .* is 30.*not 50"):
        stage.open()
    with pytest.raises(DeviceClosedError):
        stage.position()


def test_moves_before_homing_are_refused(closed_rig: StageRig) -> None:
    closed_rig.stage.open()
    assert not closed_rig.stage.homed
    with pytest.raises(StageError) as caught:
        closed_rig.stage.move_to(x_um=1000.0)
    assert caught.value.error_code == "STAGE-NOT-HOMED"


@pytest.mark.parametrize("alarm", [8, 9])
def test_failed_homing_is_an_error_although_the_controller_says_ok(
    closed_rig: StageRig, alarm: int
) -> None:
    closed_rig.stage.open()
    closed_rig.emulator.fail_next_homing(alarm)
    with pytest.raises(StageAlarmError) as caught:
        closed_rig.stage.home()
    assert caught.value.error_code == f"STAGE-ALARM-{alarm}"
    assert not closed_rig.stage.homed
    closed_rig.stage.home()
    assert closed_rig.stage.homed


def test_a_stuck_limit_switch_fails_homing(closed_rig: StageRig) -> None:
    closed_rig.stage.open()
    closed_rig.emulator.press_limit("Y")
    with pytest.raises(StageAlarmError, match="switch"):
        closed_rig.stage.home()
    closed_rig.emulator.release_limit("Y")
    closed_rig.stage.home()


def test_cancelled_homing_loses_the_position(closed_rig: StageRig) -> None:
    closed_rig.stage.open()
    cancel = Event()
    cancel.set()
    with pytest.raises(Cancelled):
        closed_rig.stage.home(cancel)
    assert not closed_rig.stage.homed
    closed_rig.stage.home()


def test_cancel_stops_a_move_with_the_position_kept(slow_rig: StageRig) -> None:
    cancel = Event()
    thread, raised = move_far(slow_rig, cancel)
    cancel.set()
    thread.join(30.0)
    assert isinstance(raised[0], Cancelled)
    assert slow_rig.stage.homed
    position = slow_rig.stage.position()
    assert 2000.0 < position.x_um < FAR_UM - 5000.0
    assert slow_rig.emulator.true_position_um()[0] == pytest.approx(position.x_um, abs=6.0)


def test_stop_from_another_thread_ends_the_move(slow_rig: StageRig) -> None:
    thread, raised = move_far(slow_rig)
    slow_rig.stage.stop()
    thread.join(30.0)
    assert isinstance(raised[0], Cancelled)
    assert slow_rig.stage.homed
    assert slow_rig.emulator.true_position_um()[0] < FAR_UM - 5000.0


def test_stop_does_not_spoil_the_next_move(rig: StageRig) -> None:
    rig.stage.stop()
    assert rig.stage.move_to(x_um=4000.0).x_um == 4000.0


def test_a_limit_switch_in_motion_is_an_alarm(slow_rig: StageRig) -> None:
    thread, raised = move_far(slow_rig)
    slow_rig.emulator.press_limit("X")
    thread.join(30.0)
    slow_rig.emulator.release_limit("X")
    assert isinstance(raised[0], StageAlarmError)
    assert not slow_rig.stage.homed
    with pytest.raises(StageError, match="position"):
        slow_rig.stage.move_to(x_um=1000.0)


def test_a_restart_of_the_controller_is_noticed(rig: StageRig) -> None:
    rig.emulator.restart()
    rig.wait_for_state("Alarm")
    with pytest.raises(StageError) as caught:
        rig.stage.move_to(x_um=4000.0)
    assert caught.value.error_code == "STAGE-REBOOTED"
    assert not rig.stage.homed
    rig.stage.home()
    assert rig.stage.move_to(x_um=4000.0).x_um == 4000.0


def test_a_lost_acknowledgement_does_not_stop_the_move(rig: StageRig) -> None:
    rig.emulator.lose_oks(1)
    with rig.clock.impatient(0.5):
        assert rig.stage.move_to(x_um=6000.0).x_um == 6000.0
    assert rig.stage.homed


@pytest.mark.parametrize("lines", [1, 2])
def test_damaged_reports_are_asked_for_again(rig: StageRig, lines: int) -> None:
    rig.stage.move_to(x_um=4000.0)
    rig.emulator.garble(lines)
    assert rig.stage.position().x_um == 4000.0


def test_endless_garbage_is_an_error_and_the_stage_stands_still(rig: StageRig) -> None:
    rig.emulator.garble(10_000)
    with pytest.raises(StageError) as caught:
        rig.stage.move_to(x_um=20_000.0)
    assert caught.value.error_code == "STAGE-GARBLED"
    rig.emulator.garble(0)
    before = rig.emulator.true_position_um()
    rig.clock.sleep(5.0)
    assert rig.emulator.true_position_um() == before


def test_silence_means_unplugged_and_opening_again_recovers(rig: StageRig) -> None:
    rig.emulator.set_silent(True)
    with rig.clock.impatient(), pytest.raises(DeviceTimeoutError) as caught:
        rig.stage.move_to(x_um=4000.0)
    assert caught.value.error_code == "STAGE-MUTE"
    with pytest.raises(DeviceClosedError):
        rig.stage.position()
    rig.emulator.set_silent(False)
    rig.stage.open()
    assert not rig.stage.homed
    rig.stage.home()
    assert rig.stage.move_to(x_um=4000.0).x_um == 4000.0


def test_a_mute_controller_is_reset_and_the_position_is_lost(rig: StageRig) -> None:
    # A foreign command out of range mutes the controller, as after ALARM:2 nobody listened to.
    rig.stage._link.write(b"G53 G0 X-999\n")
    rig.wait_for_state("Alarm")
    with pytest.raises(StageAlarmError) as caught:
        rig.stage.position()
    assert caught.value.error_code == "STAGE-ALARM-2"
    assert not rig.stage.homed
    rig.stage.home()
    assert rig.stage.homed


def test_unplugging_is_an_error_and_reconnecting_works(rig: StageRig) -> None:
    rig.emulator.unplug()
    with pytest.raises(DeviceError):
        rig.stage.move_to(x_um=4000.0)
    assert not rig.stage.homed
    with pytest.raises(DeviceError, match="cannot be opened"):
        rig.stage.open()
    rig.emulator.plug_in()
    rig.stage.open()
    assert not rig.stage.homed
    rig.stage.home()
    assert rig.stage.move_to(x_um=4000.0).x_um == 4000.0


def test_unplugging_in_motion_is_an_error_in_the_mover(slow_rig: StageRig) -> None:
    thread, raised = move_far(slow_rig)
    slow_rig.emulator.unplug()
    thread.join(30.0)
    assert isinstance(raised[0], DeviceError)
    assert not slow_rig.stage.homed


def test_a_move_that_takes_too_long_is_stopped(closed_rig: StageRig) -> None:
    config = closed_rig.config.model_copy(update={"move_timeout_s": 0.5})
    stage = GrblStage(config, closed_rig.clock)
    stage.open()
    stage.home()
    closed_rig.clock.set_speed(SLOW)
    with closed_rig.clock.impatient(), pytest.raises(DeviceTimeoutError) as caught:
        stage.move_to(x_um=FAR_UM)
    assert caught.value.error_code == "STAGE-MOVE-TIMEOUT"
    closed_rig.clock.set_speed(SPEED)
    before = closed_rig.emulator.true_position_um()
    closed_rig.clock.sleep(2.0)
    assert closed_rig.emulator.true_position_um() == before
    assert stage.homed
    stage.close()


def test_homing_without_end_is_reset(closed_rig: StageRig) -> None:
    config = closed_rig.config.model_copy(update={"homing_timeout_s": 1.0})
    stage = GrblStage(config, closed_rig.clock)
    stage.open()
    closed_rig.clock.set_speed(0.5)
    with closed_rig.clock.impatient(), pytest.raises(DeviceTimeoutError) as caught:
        stage.home()
    assert caught.value.error_code == "STAGE-HOME-TIMEOUT"
    assert not stage.homed
    stage.close()


def test_the_port_belongs_to_one_driver(rig: StageRig) -> None:
    with pytest.raises(DeviceError, match="cannot be opened"):
        GrblStage(rig.config, rig.clock).open()


def test_a_fast_clock_does_not_busy_the_processor(rig: StageRig) -> None:
    asked = 0
    query = rig.stage._link.write

    def count(data: bytes) -> None:
        nonlocal asked
        asked += data == wire.STATUS_QUERY
        query(data)

    rig.stage._link.write = count  # type: ignore[method-assign]
    started_s = time.monotonic()
    rig.stage.move_to(x_um=FAR_UM)
    elapsed_s = time.monotonic() - started_s
    assert asked <= elapsed_s / controller.MIN_REAL_POLL_S + 2


def test_stop_while_homing_interrupts_it(closed_rig: StageRig) -> None:
    closed_rig.stage.open()
    closed_rig.clock.set_speed(SLOW)
    timer = Timer(0.1, closed_rig.stage.stop)
    timer.start()
    with pytest.raises(Cancelled):
        closed_rig.stage.home()
    timer.join()
    assert not closed_rig.stage.homed


@pytest.mark.parametrize(
    ("line", "code", "kind"),
    [
        ("FOO", "STAGE-REFUSED-2", StageError),
        ("G1 X-5", "STAGE-REFUSED-22", StageError),
        ("$J=G90 G21 G53 X5 F100", "STAGE-REFUSED-15", StageLimitError),
    ],
)
def test_a_refusal_names_its_reason_and_keeps_the_position(
    rig: StageRig, line: str, code: str, kind: type[StageError]
) -> None:
    with pytest.raises(kind) as caught:
        rig.stage._controller.command(line)
    assert caught.value.error_code == code
    assert line in caught.value.cause
    assert rig.stage.homed
    assert rig.stage.move_to(x_um=4000.0).x_um == 4000.0


def test_numbers_nobody_knows_are_still_errors_that_name_them() -> None:
    alarm, refusal = codes.alarm_error(77), codes.refusal_error(78, "G0")
    assert (alarm.error_code, refusal.error_code) == (
        "STAGE-ALARM-UNKNOWN",
        "STAGE-REFUSED-UNKNOWN",
    )
    assert "ALARM:77" in alarm.cause
    assert "'G0'" in refusal.cause
    assert "error:78" in refusal.cause


def test_a_feed_hold_by_somebody_else_is_an_error_and_home_recovers(rig: StageRig) -> None:
    rig.stage._link.write(b"!")
    rig.wait_for_state("Hold")
    with pytest.raises(StageError) as caught:
        rig.stage.move_to(x_um=4000.0)
    assert caught.value.error_code == "STAGE-NOT-IDLE"
    rig.stage.home()
    assert rig.stage.move_to(x_um=4000.0).x_um == 4000.0


def test_a_write_that_fails_loses_connection_and_position(
    rig: StageRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = rig.stage._link.require_open()

    def broken(data: bytes) -> int:
        raise OSError("Input/output error")

    monkeypatch.setattr(port, "write", broken)
    with pytest.raises(DeviceError) as caught:
        rig.stage.move_to(x_um=4000.0)
    assert caught.value.error_code == "STAGE-UNPLUGGED"
    assert not rig.stage.homed
    with pytest.raises(DeviceClosedError):
        rig.stage.position()
