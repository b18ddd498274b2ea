"""The APT stage driver against emulated controllers: moves, homing, and messages that are lost."""

from __future__ import annotations

import pytest
from apt_rig import Rig, stands_still
from stage_rig import FAR_UM, SLOW, SPEED, move_far, wait_until

from hal.errors import (
    StageError,
    StageLimitError,
)
from hal.sim.apt.controller import Id

pytest.importorskip("thorlabs_apt_protocol", reason="the extra apt is not installed")


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
