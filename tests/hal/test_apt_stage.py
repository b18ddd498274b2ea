"""The APT stage driver against emulated controllers: good days and every fault."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event, Thread

import pytest
from stage_rig import SLOW, SPEED, AdjustableClock

from hal.config import AptConfig, StageConfig
from hal.errors import (
    Cancelled,
    DeviceClosedError,
    DeviceError,
    DeviceTimeoutError,
    StageAlarmError,
    StageError,
    StageLimitError,
)
from hal.sim.apt.controller import Id
from hal.sim.apt.emulator import AptEmulator
from hal.stage.apt.driver import AptStage

pytest.importorskip("thorlabs_apt_protocol", reason="the extra apt is not installed")

FAR_UM = 28_000.0
STAGE = AptConfig(travel_x_mm=30.0, travel_y_mm=30.0, travel_z_mm=6.0, speed_xy_mm_per_s=20.0)


@dataclass
class Rig:
    """The driver and what it talks to."""

    stage: AptStage
    emulator: AptEmulator
    config: StageConfig
    apt: AptConfig
    clock: AdjustableClock


@pytest.fixture
def closed_rig() -> Iterator[Rig]:
    clock = AdjustableClock(SPEED)
    emulator = AptEmulator(STAGE, clock, start_um=(5000.0, 6000.0, 2000.0))
    config = StageConfig(driver="apt", port=emulator.port)
    apt = STAGE.model_copy(update={"port_z": emulator.port_z})
    stage = AptStage(config, apt, clock)
    yield Rig(stage, emulator, config, apt, clock)
    stage.close()
    emulator.close()


@pytest.fixture
def rig(closed_rig: Rig) -> Rig:
    closed_rig.stage.open()
    closed_rig.stage.home()
    return closed_rig


def wait_until(true: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 30.0
    while not true() and time.monotonic() < deadline_s:
        Event().wait(0.002)
    assert true()


def in_thread(action: Callable[[], object]) -> tuple[Thread, list[BaseException]]:
    raised: list[BaseException] = []

    def run() -> None:
        try:
            action()
        except BaseException as error:
            raised.append(error)

    thread = Thread(target=run)
    thread.start()
    return thread, raised


def move_far(rig: Rig, cancel: Event | None = None) -> tuple[Thread, list[BaseException]]:
    """Move slowly in another thread; return when it is on its way."""
    rig.clock.set_speed(SLOW)
    thread, raised = in_thread(lambda: rig.stage.move_to(x_um=FAR_UM, cancel=cancel))
    wait_until(lambda: rig.emulator.true_position_um()[0] > 2000.0)
    return thread, raised


def stands_still(rig: Rig) -> bool:
    rig.clock.set_speed(SPEED)
    before = rig.emulator.true_position_um()
    rig.clock.sleep(1.0)
    # What still swings is well below the resolution of the objective.
    return rig.emulator.true_position_um() == pytest.approx(before, abs=0.2)


def home_and_move(rig: Rig) -> None:
    rig.clock.set_speed(SPEED)
    rig.stage.home()
    assert rig.stage.move_to(x_um=4000.0).x_um == pytest.approx(4000.0, abs=0.6)


def test_moves_arrive_where_asked_and_the_slide_is_there(rig: Rig) -> None:
    for x_um, y_um, z_um in [(5000.0, 7000.0, 3000.0), (4000.3, 7200.0, 3000.5)]:
        position = rig.stage.move_to(x_um, y_um, z_um)
        assert (position.x_um, position.y_um) == pytest.approx((x_um, y_um), abs=0.5)
        assert position.z_um == pytest.approx(z_um, abs=0.3)
        truth = rig.emulator.true_position_um()
        assert truth[:2] == pytest.approx((x_um, y_um), abs=0.7)
        assert truth[2] == pytest.approx(z_um, abs=1.5)


def test_homing_goes_up_from_the_slide_before_it_goes_sideways(closed_rig: Rig) -> None:
    closed_rig.stage.open()
    closed_rig.stage.home()
    (up_s,) = (t for t, _, order in closed_rig.emulator.orders("z") if order == Id.HOME)
    sideways = [t for t, _, order in closed_rig.emulator.orders("xy") if order == Id.HOME]
    assert len(sideways) == 2
    # 2 mm at 3 mm/s and more for speeding up: z had arrived.
    assert min(sideways) - up_s > 2.0 / 3.0


def test_each_power_up_is_followed_by_enabling_and_homing(closed_rig: Rig) -> None:
    closed_rig.stage.open()
    assert not {Id.SET_ENABLED, Id.HOME} & {o for _, _, o in closed_rig.emulator.orders("xy")}
    closed_rig.stage.home()
    orders = [(address, o) for _, address, o in closed_rig.emulator.orders("xy")]
    for address in (33, 34):
        assert orders.index((address, Id.SET_ENABLED)) < orders.index((address, Id.HOME))


def test_every_report_is_acknowledged_and_none_comes_unasked(rig: Rig) -> None:
    for i in range(30):
        rig.stage.move_to(x_um=4000.0 + 10.0 * i)
    orders = [o for _, _, o in rig.emulator.orders("xy")]
    assert orders.count(Id.ACKNOWLEDGE) >= orders.count(Id.REQ_STATUS) > 60
    assert Id.START_UPDATES not in orders


def test_a_controller_that_was_left_unacknowledged_answers_again(rig: Rig) -> None:
    bay = rig.emulator._stage._bays[33]
    bay.unacknowledged, bay.oldest_s = 50, 0.0
    assert rig.stage.position().x_um == pytest.approx(0.0, abs=1.0)


@pytest.mark.parametrize("target", [{"x_um": -1.0}, {"y_um": 1e6}, {"z_um": float("nan")}])
def test_a_target_outside_the_travel_sends_nothing(rig: Rig, target: dict[str, float]) -> None:
    with pytest.raises(StageLimitError):
        rig.stage.move_to(**target)
    assert Id.MOVE_ABSOLUTE not in {o for _, _, o in rig.emulator.orders("xy")}
    assert Id.MOVE_ABSOLUTE not in {o for _, _, o in rig.emulator.orders("z")}


@pytest.mark.parametrize("size", [1, 5, 7])
def test_messages_that_come_in_pieces_are_understood(rig: Rig, size: int) -> None:
    rig.emulator.inject(fragment_bytes=size)
    assert rig.stage.move_to(x_um=6000.0).x_um == pytest.approx(6000.0, abs=0.5)


@pytest.mark.parametrize("count", [1, 4, 40])
def test_noise_on_the_line_is_skipped(rig: Rig, count: int) -> None:
    rig.emulator.inject(noise_bytes=count)
    assert rig.stage.move_to(x_um=6000.0).x_um == pytest.approx(6000.0, abs=0.5)


def test_a_lost_message_of_completion_does_not_matter(rig: Rig) -> None:
    rig.emulator.inject(lost_completions=1)
    with rig.clock.impatient(0.5):
        assert rig.stage.move_to(x_um=6000.0).x_um == pytest.approx(6000.0, abs=0.5)
    assert rig.emulator.true_position_um()[0] == pytest.approx(6000.0, abs=1.0)


def test_completions_that_name_no_sender_do_not_matter(rig: Rig) -> None:
    rig.emulator.inject(unsigned_completions=True)
    # Slow enough to be seen on the way; else rest is waited for.
    rig.clock.set_speed(10.0)
    with rig.clock.impatient(0.5):
        for i in range(60):
            rig.stage.move_to(x_um=6000.0 + 500.0 * (i % 2))
    assert rig.stage.position().x_um == pytest.approx(6500.0, abs=0.5)


def test_a_lost_message_of_homing_does_not_matter(closed_rig: Rig) -> None:
    closed_rig.stage.open()
    closed_rig.emulator.inject(lost_completions=1)
    closed_rig.clock.set_speed(10.0)
    with closed_rig.clock.impatient(0.5):
        closed_rig.stage.home()
    assert closed_rig.stage.homed


@pytest.mark.parametrize("count", [1, 2])
def test_lost_reports_are_asked_for_again(rig: Rig, count: int) -> None:
    rig.emulator.inject(lost_reports=count)
    with rig.clock.impatient(0.5):
        assert rig.stage.position().x_um == pytest.approx(0.0, abs=1.0)


def test_reports_lost_in_motion_do_not_spoil_the_arrival(rig: Rig) -> None:
    thread, raised = move_far(rig)
    with rig.clock.impatient(0.5):
        rig.emulator.inject(lost_reports=2)
        wait_until(lambda: rig.emulator.true_position_um()[0] > 6000.0)
    rig.clock.set_speed(SPEED)
    thread.join(30.0)
    assert raised == []
    assert rig.emulator.true_position_um()[0] == pytest.approx(FAR_UM, abs=1.0)


def test_an_order_that_was_lost_is_given_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    start_move = rig.stage._axes[0].start_move
    asked = []

    def count(target: int) -> None:
        asked.append(target)
        start_move(target)

    monkeypatch.setattr(rig.stage._axes[0], "start_move", count)
    rig.emulator.inject(lost_moves=1)
    rig.clock.set_speed(10.0)
    with rig.clock.impatient(0.5):
        assert rig.stage.move_to(x_um=6000.0).x_um == pytest.approx(6000.0, abs=0.5)
    assert len(asked) == 2


def test_an_axis_that_goes_elsewhere_is_stopped(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    axis = rig.stage._axes[0]
    start_move = axis.start_move
    monkeypatch.setattr(axis, "start_move", lambda target: start_move(target * 20))
    rig.clock.set_speed(SLOW)
    with pytest.raises(StageError) as caught:
        rig.stage.move_to(x_um=1000.0)
    assert caught.value.error_code == "STAGE-AXIS-ASTRAY"
    assert stands_still(rig)
    assert rig.emulator.true_position_um()[0] < 10_000.0
    assert rig.stage.homed


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
