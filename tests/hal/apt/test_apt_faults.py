"""The APT stage driver when a motion is stopped, blocked or unplugged, or a controller fails."""

from __future__ import annotations

from threading import Event

import pytest
from apt_rig import Rig, home_and_move, stands_still
from stage_rig import FAR_UM, SLOW, AdjustableClock, in_thread, move_far, wait_until

from hal.config import AptConfig, StageConfig
from hal.errors import (
    Cancelled,
    DeviceClosedError,
    DeviceError,
    DeviceTimeoutError,
    StageAlarmError,
    StageError,
)
from hal.stage.apt.driver import AptStage

pytest.importorskip("thorlabs_apt_protocol", reason="the extra apt is not installed")


def test_cancel_stops_a_move_with_the_position_kept(rig: Rig) -> None:
    cancel = Event()
    thread, raised = move_far(rig, cancel)
    cancel.set()
    thread.join(30.0)
    assert isinstance(raised[0], Cancelled)
    assert rig.stage.homed
    assert stands_still(rig)
    at_um = rig.emulator.true_position_um()[0]
    assert 2000.0 < at_um < FAR_UM - 5000.0
    assert rig.stage.position().x_um == pytest.approx(at_um, abs=1.0)


def test_stop_from_another_thread_ends_the_move(rig: Rig) -> None:
    thread, raised = move_far(rig)
    rig.stage.stop()
    thread.join(30.0)
    assert isinstance(raised[0], Cancelled)
    assert rig.stage.homed
    assert stands_still(rig)


def test_stop_while_homing_interrupts_it(closed_rig: Rig) -> None:
    closed_rig.stage.open()
    closed_rig.clock.set_speed(SLOW)
    thread, raised = in_thread(closed_rig.stage.home)
    wait_until(lambda: closed_rig.emulator.true_position_um()[2] < 1950.0)
    closed_rig.stage.stop()
    thread.join(30.0)
    assert isinstance(raised[0], Cancelled)
    assert not closed_rig.stage.homed
    assert stands_still(closed_rig)
    home_and_move(closed_rig)


def test_cancelled_homing_leaves_the_position_unknown(closed_rig: Rig) -> None:
    closed_rig.stage.open()
    cancel = Event()
    cancel.set()
    with pytest.raises(Cancelled):
        closed_rig.stage.home(cancel)
    assert not closed_rig.stage.homed


@pytest.mark.parametrize("axis", ["X", "Z"])
def test_a_blocked_axis_is_an_alarm_and_home_recovers(rig: Rig, axis: str) -> None:
    rig.emulator.block(axis)
    with pytest.raises(StageAlarmError) as caught:
        rig.stage.move_to(6000.0, z_um=3000.0)
    assert caught.value.error_code == "STAGE-FAULT-MOTION-ERROR"
    assert not rig.stage.homed
    rig.emulator.block(axis, blocked=False)
    home_and_move(rig)


def test_a_blocked_axis_fails_homing(closed_rig: Rig) -> None:
    closed_rig.stage.open()
    closed_rig.emulator.block("Y")
    with pytest.raises(StageAlarmError):
        closed_rig.stage.home()
    assert not closed_rig.stage.homed
    closed_rig.emulator.block("Y", blocked=False)
    home_and_move(closed_rig)


@pytest.mark.parametrize("board", ["xy", "z"])
def test_a_power_loss_is_noticed_and_the_position_is_lost(rig: Rig, board: str) -> None:
    rig.stage.move_to(5000.0, 5000.0, 2000.0)
    rig.emulator.restart(board)
    with pytest.raises(StageError) as caught:
        rig.stage.move_to(x_um=4000.0)
    assert caught.value.error_code == "STAGE-AXIS-REBOOTED"
    assert not rig.stage.homed
    home_and_move(rig)


def test_a_power_loss_in_motion_is_noticed(rig: Rig) -> None:
    thread, raised = move_far(rig)
    rig.emulator.restart()
    thread.join(30.0)
    assert isinstance(raised[0], StageError)
    assert raised[0].error_code == "STAGE-AXIS-REBOOTED"
    assert not rig.stage.homed


def test_a_channel_that_was_switched_off_must_be_homed(rig: Rig) -> None:
    rig.emulator.axes["Y"].enable(False, rig.clock.monotonic_s())
    with pytest.raises(StageError) as caught:
        rig.stage.position()
    assert caught.value.error_code == "STAGE-AXIS-DISABLED"
    assert not rig.stage.homed
    home_and_move(rig)


@pytest.mark.parametrize("board", ["xy", "z"])
def test_unplugging_is_an_error_and_reconnecting_works(rig: Rig, board: str) -> None:
    rig.emulator.unplug(board)
    with pytest.raises(DeviceError):
        rig.stage.move_to(4000.0, z_um=1000.0)
    assert not rig.stage.homed
    with pytest.raises(DeviceClosedError):
        rig.stage.position()
    with pytest.raises(DeviceError, match="cannot be opened"):
        rig.stage.open()
    rig.emulator.plug_in(board)
    rig.stage.open()
    assert not rig.stage.homed
    home_and_move(rig)


@pytest.mark.parametrize("z_um", [None, 5000.0])
def test_unplugging_z_stops_x_and_y_on_their_way(rig: Rig, z_um: float | None) -> None:
    rig.clock.set_speed(SLOW)
    thread, raised = in_thread(lambda: rig.stage.move_to(FAR_UM, z_um=z_um))
    wait_until(lambda: rig.emulator.true_position_um()[0] > 2000.0)
    rig.emulator.unplug("z")
    thread.join(30.0)
    assert isinstance(raised[0], DeviceError)
    assert raised[0].error_code == "STAGE-UNPLUGGED"
    assert rig.apt.port_z in raised[0].cause
    assert not rig.stage.homed
    assert stands_still(rig)
    assert rig.emulator.true_position_um()[0] < FAR_UM - 5000.0


@pytest.mark.parametrize("motion", ["home", "move"])
def test_an_axis_that_fails_ends_the_motion_of_the_others(rig: Rig, motion: str) -> None:
    rig.stage.move_to(FAR_UM, 6000.0)
    rig.clock.set_speed(SLOW)
    away = (0.0, FAR_UM)

    def go() -> None:
        rig.stage.move_to(*away) if motion == "move" else rig.stage.home()

    thread, raised = in_thread(go)
    wait_until(lambda: rig.emulator.true_position_um()[0] < FAR_UM - 2000.0)
    rig.emulator.block("Y")
    thread.join(30.0)
    assert isinstance(raised[0], StageAlarmError)
    assert raised[0].error_code == "STAGE-FAULT-MOTION-ERROR"
    assert stands_still(rig)
    assert rig.emulator.true_position_um()[0] > 5000.0


def test_silence_means_unplugged_and_opening_again_recovers(rig: Rig) -> None:
    rig.emulator.inject("z", silent=True)
    with rig.clock.impatient(), pytest.raises(DeviceTimeoutError) as caught:
        rig.stage.move_to(z_um=1000.0)
    assert caught.value.error_code == "STAGE-AXIS-SILENT"
    with rig.clock.impatient(), pytest.raises(DeviceTimeoutError) as caught:
        rig.stage.open()
    assert caught.value.error_code == "STAGE-AXIS-ABSENT"
    rig.emulator.inject("z", silent=False)
    rig.stage.open()
    assert not rig.stage.homed
    home_and_move(rig)


def test_a_motion_of_an_earlier_host_is_stopped_on_opening(rig: Rig) -> None:
    rig.clock.set_speed(SLOW)
    rig.stage._axes[0].start_move(rig.stage._axes[0].profile.counts(FAR_UM))
    wait_until(lambda: rig.emulator.true_position_um()[0] > 500.0)
    for bus in rig.stage._buses:
        bus.close()
    rig.stage.open()
    assert stands_still(rig)
    assert rig.emulator.true_position_um()[0] < FAR_UM - 1000.0


def test_a_stage_that_somebody_drives_is_stopped(rig: Rig) -> None:
    rig.clock.set_speed(SLOW)
    rig.stage._axes[1].start_move(rig.stage._axes[1].profile.counts(FAR_UM))
    wait_until(lambda: rig.emulator.true_position_um()[1] > 500.0)
    with pytest.raises(StageError) as caught:
        rig.stage.move_to(x_um=1000.0)
    assert caught.value.error_code == "STAGE-AXIS-MOVING"
    assert stands_still(rig)


@pytest.mark.parametrize(("swapped", "side"), [(True, "upper"), (False, "lower")])
def test_a_limit_switch_is_named_by_its_side(rig: Rig, swapped: bool, side: str) -> None:
    # A profile with more travel than the stage has lets it run into the switch.
    apt = rig.apt.model_copy(update={"travel_x_mm": 60.0, "limit_bits_swapped_xy": swapped})
    rig.stage.close()
    stage = AptStage(rig.config, apt, rig.clock)
    stage.open()
    stage.home()
    rig.clock.set_speed(10.0)
    with (
        rig.clock.impatient(0.5),
        pytest.raises(StageAlarmError, match=f"its {side} limit switch") as caught,
    ):
        stage.move_to(x_um=50_000.0)
    assert caught.value.error_code == "STAGE-LIMIT-SWITCH"
    assert not stage.homed
    stage.close()


def test_a_move_that_takes_too_long_is_stopped(rig: Rig) -> None:
    config = rig.config.model_copy(update={"move_timeout_s": 0.5})
    rig.stage.close()
    stage = AptStage(config, rig.apt, rig.clock)
    stage.open()
    stage.home()
    rig.clock.set_speed(SLOW)
    with rig.clock.impatient(), pytest.raises(DeviceTimeoutError) as caught:
        stage.move_to(x_um=FAR_UM)
    assert caught.value.error_code == "STAGE-AXIS-MOVE-TIMEOUT"
    assert stage.homed
    assert stands_still(rig)
    stage.close()


def test_the_stage_has_stopped_swinging_when_a_move_returns(rig: Rig) -> None:
    rig.clock.set_speed(SLOW)
    rig.stage.move_to(x_um=3000.0)
    at_return_um = rig.emulator.true_position_um()[0]
    rig.clock.sleep(0.3)
    assert rig.emulator.true_position_um()[0] == pytest.approx(at_return_um, abs=0.2)


def test_three_channels_of_one_controller_share_a_port() -> None:
    config = StageConfig(driver="apt", port="/dev/no-such-port")
    apt = AptConfig(port_z="/dev/no-such-port", address_z=0x23)
    stage = AptStage(config, apt, AdjustableClock(1.0))
    assert len(stage._buses) == 1
    with pytest.raises(DeviceError, match=r"stage\.port"):
        stage.open()
    two = AptStage(config, AptConfig(port_z="/dev/other"), AdjustableClock(1.0))
    assert len(two._buses) == 2
