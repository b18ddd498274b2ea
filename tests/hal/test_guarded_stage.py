"""Limits, slide and last approach hold for whatever is asked, on any driver."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from threading import Event, Timer

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from stage_rig import SLOW, StageRig

from hal.config import StageConfig
from hal.errors import Cancelled, SettingsError, StageError, StageLimitError
from hal.interfaces.stage import Position, Travel
from hal.stage.guarded import GuardedStage

TRAVEL = Travel(100_000.0, 75_000.0, 12_000.0)
CONFIG = StageConfig(
    limit_left_um=1_000.0,
    limit_right_um=90_000.0,
    limit_top_um=2_000.0,
    limit_bottom_um=70_000.0,
    limit_z_high_um=9_000.0,
)
Place = tuple[float, float, float]


class Recorder:
    """A stage that goes where it is told, in whole steps, and remembers every straight move."""

    travel = TRAVEL
    homed = True

    def __init__(self, place: Place = (0.0, 0.0, 0.0), step_um: float = 0.0) -> None:
        self.place = place
        self.step_um = step_um
        self.moves: list[tuple[Place, Place]] = []
        self.during_move = lambda: None
        self.stops = 0

    def open(self) -> None:
        pass

    def home(self, cancel: Event | None = None) -> None:
        self.place = (0.0, 0.0, 0.0)

    def move_to(
        self,
        x_um: float | None = None,
        y_um: float | None = None,
        z_um: float | None = None,
        cancel: Event | None = None,
    ) -> Position:
        if cancel is not None and cancel.is_set():
            raise Cancelled("The move")
        x, y, z = (
            at if asked is None else asked
            for at, asked in zip(self.place, (x_um, y_um, z_um), strict=True)
        )
        self.moves.append((self.place, (x, y, z)))
        self.place = (x, y, z)
        self.during_move()
        return self.position()

    def position(self) -> Position:
        step_um = self.step_um
        return Position(*(round(at / step_um) * step_um if step_um else at for at in self.place))

    def stop(self) -> None:
        self.stops += 1

    def close(self) -> None:
        pass


def corners(start: Place, end: Place) -> Iterator[Place]:
    """Whatever way the axes take from start to end, they stay between these places."""
    yield from itertools.product(*zip(start, end, strict=True))  # type: ignore[misc]


def is_safe(place: Place) -> bool:
    x, y, z = place
    left, top = CONFIG.slide_left_um, CONFIG.slide_top_um
    on_slide = (
        left - 1e-3 <= x <= left + CONFIG.slide_width_um + 1e-3
        and top - 1e-3 <= y <= top + CONFIG.slide_height_um + 1e-3
    )
    return on_slide or z <= CONFIG.safe_z_um + 1e-3


def is_inside(place: Place) -> bool:
    x, y, z = place
    return (
        CONFIG.limit_left_um - 1e-3 <= x <= CONFIG.limit_right_um + 1e-3
        and CONFIG.limit_top_um - 1e-3 <= y <= CONFIG.limit_bottom_um + 1e-3
        and z <= CONFIG.limit_z_high_um + 1e-3
    )


def around(edges: list[float], low: float, high: float) -> st.SearchStrategy[float | None]:
    """Places anywhere, and more often just beside where a rule begins."""
    near = st.builds(lambda edge, by: edge + by, st.sampled_from(edges), st.floats(-30.0, 30.0))
    return st.none() | st.floats(low, high) | near


xs = around([1_000.0, 6_000.0, 82_000.0, 90_000.0], -5_000.0, 105_000.0)
ys = around([2_000.0, 31_000.0, 57_000.0, 70_000.0], -5_000.0, 80_000.0)
zs = around([0.0, 3_000.0, 9_000.0], -500.0, 13_000.0)
requests = st.lists(st.tuples(xs, ys, zs), min_size=1, max_size=12)


@given(requests, st.sampled_from([0.0, 0.9]))
def test_no_sequence_of_moves_leaves_the_limits_or_the_slide(
    asked: list[tuple[float | None, float | None, float | None]], step_um: float
) -> None:
    stage = Recorder((1_000.0, 2_000.0, 0.0), step_um)
    guarded = GuardedStage(stage, CONFIG)
    for request in asked:
        before = stage.place
        try:
            guarded.move_to(*request)
        except StageLimitError:
            assert stage.place == before
        else:
            wanted = tuple(
                at if target is None else target for at, target in zip(before, request, strict=True)
            )
            assert stage.place == pytest.approx(wanted)
    for start, end in stage.moves:
        assert all(is_safe(place) for place in corners(start, end)), (start, end)
        assert all(is_inside(place) for place in corners(start, end)), (start, end)


@given(requests)
@example([(82_000.0, None, None), (81_999.999_999_880_79, None, None)])
def test_every_axis_arrives_from_below_where_there_is_room(
    asked: list[tuple[float | None, float | None, float | None]],
) -> None:
    stage = Recorder((1_000.0, 2_000.0, 0.0))
    guarded = GuardedStage(stage, CONFIG)
    for request in asked:
        first = len(stage.moves)
        try:
            guarded.move_to(*request)
        except StageLimitError:
            continue
        room = (CONFIG.slide_left_um + 20.0, CONFIG.slide_top_um + 20.0, 10.0)
        for axis in range(3):
            ways = [end[axis] - start[axis] for start, end in stage.moves[first:]]
            # Less than any stage resolves is no way.
            turns = [way for way in ways if abs(way) > 1e-5]
            if turns and stage.place[axis] > room[axis]:
                assert turns[-1] > 0.0, (axis, stage.moves[first:])


def test_leaving_the_slide_with_the_objective_down_lifts_it_first() -> None:
    stage = Recorder((40_000.0, 44_000.0, 5_000.0))
    GuardedStage(stage, CONFIG).move_to(5_000.0, 10_000.0, 2_000.0)
    assert stage.moves[0][1][2] <= CONFIG.safe_z_um
    assert stage.moves[0][1][:2] == (40_000.0, 44_000.0)
    assert stage.place == (5_000.0, 10_000.0, 2_000.0)


def test_coming_to_the_slide_brings_the_objective_down_last() -> None:
    stage = Recorder((1_000.0, 2_000.0, 0.0))
    GuardedStage(stage, CONFIG).move_to(40_000.0, 44_000.0, 5_000.0)
    assert stage.moves[-1] == ((40_000.0, 44_000.0, 0.0), (40_000.0, 44_000.0, 5_000.0))


def test_an_objective_found_down_beside_the_slide_is_lifted_before_anything_else() -> None:
    stage = Recorder((2_000.0, 10_000.0, 6_000.0))
    guarded = GuardedStage(stage, CONFIG)
    guarded.move_to(40_000.0, 44_000.0)
    assert stage.moves[0][1][:2] == (2_000.0, 10_000.0)
    assert stage.moves[0][1][2] <= CONFIG.safe_z_um
    assert stage.place == (40_000.0, 44_000.0, 6_000.0)


def test_on_the_slide_three_axes_move_at_once() -> None:
    stage = Recorder((40_000.0, 44_000.0, 5_000.0))
    GuardedStage(stage, CONFIG).move_to(40_200.0, 44_100.0, 5_011.0)
    assert len(stage.moves) == 1


def test_beside_the_slide_the_objective_stays_up() -> None:
    stage = Recorder((2_000.0, 10_000.0, 0.0))
    guarded = GuardedStage(stage, CONFIG)
    with pytest.raises(StageLimitError) as caught:
        guarded.move_to(z_um=5_000.0)
    assert caught.value.error_code == "STAGE-OFF-SLIDE"
    assert stage.moves == []


def test_the_last_approach_does_not_leave_the_slide_either() -> None:
    stage = Recorder((40_000.0, 44_000.0, 5_000.0))
    GuardedStage(stage, CONFIG).move_to(6_005.0, 31_010.0)
    lowest = [min(end[axis] for _, end in stage.moves) for axis in (0, 1)]
    assert lowest == [6_000.0, 31_000.0]
    assert stage.place == (6_005.0, 31_010.0, 5_000.0)


def test_at_the_edge_of_the_slide_a_rounded_report_does_not_hinder_the_focus() -> None:
    stage = Recorder((40_000.0, 44_000.0, 5_000.0), step_um=0.7)
    guarded = GuardedStage(stage, CONFIG)
    guarded.move_to(x_um=82_000.0)
    assert guarded.position().x_um > 82_000.0
    guarded.move_to(z_um=5_003.0)
    assert stage.place == (82_000.0, 44_000.0, 5_003.0)


def test_repeating_a_target_does_not_move_away_from_it() -> None:
    stage = Recorder((40_000.0, 44_000.0, 5_000.0))
    guarded = GuardedStage(stage, CONFIG)
    guarded.move_to(41_000.0, 44_000.0, 5_000.0)
    stage.moves.clear()
    guarded.move_to(41_000.0, 44_000.0, 5_000.0)
    assert [start == end for start, end in stage.moves] == [True]


@pytest.mark.parametrize("disturbance", ["failed", "pushed"])
def test_after_a_disturbance_a_small_step_up_is_approached_from_below(disturbance: str) -> None:
    stage = Recorder((40_000.0, 44_000.0, 5_000.0))
    guarded = GuardedStage(stage, CONFIG)
    guarded.move_to(x_um=41_000.0)
    if disturbance == "failed":

        def fail() -> None:
            raise StageError("STAGE-NOT-IDLE", state="Hold")

        stage.during_move = fail
        with pytest.raises(StageError):
            guarded.move_to(x_um=41_500.0)
        stage.during_move = lambda: None
    else:
        stage.place = (41_500.0, 44_000.0, 5_000.0)
    guarded.move_to(x_um=41_505.0)
    assert stage.moves[-1] == ((41_485.0, 44_000.0, 5_000.0), (41_505.0, 44_000.0, 5_000.0))


def test_a_stop_during_one_leg_ends_the_legs_that_follow() -> None:
    stage = Recorder((40_000.0, 44_000.0, 5_000.0))
    guarded = GuardedStage(stage, CONFIG)
    stage.during_move = guarded.stop
    with pytest.raises(Cancelled):
        guarded.move_to(5_000.0, 10_000.0, 2_000.0)
    assert len(stage.moves) == 1
    assert stage.stops == 1
    stage.during_move = lambda: None
    guarded.move_to(5_000.0, 10_000.0, 2_000.0)


@pytest.mark.parametrize("how", ["stop", "cancel"])
def test_a_move_on_its_way_is_ended_at_once(rig: StageRig, how: str) -> None:
    guarded = GuardedStage(rig.stage, rig.config)
    rig.clock.set_speed(SLOW)
    cancel = Event()
    timer = Timer(0.3, guarded.stop if how == "stop" else cancel.set)
    timer.start()
    with pytest.raises(Cancelled):
        guarded.move_to(x_um=28_000.0, cancel=cancel)
    timer.join()
    assert guarded.homed
    assert rig.emulator.true_position_um()[0] < 20_000.0


@pytest.mark.parametrize(
    "limits",
    [
        {"limit_right_um": 100_001.0},
        {"limit_left_um": 50_000.0, "limit_right_um": 40_000.0},
        {"limit_z_low_um": 12_000.0},
    ],
)
def test_limits_that_do_not_fit_the_travel_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match="limits in"):
        GuardedStage(Recorder(), StageConfig(**limits))


def test_without_limits_the_travel_is_the_box() -> None:
    stage = Recorder()
    guarded = GuardedStage(stage, StageConfig())
    guarded.move_to(TRAVEL.x_um, TRAVEL.y_um, 0.0)
    with pytest.raises(StageLimitError):
        guarded.move_to(x_um=TRAVEL.x_um + 1.0)


def test_backlash_is_a_constant_on_the_slide(rig: StageRig) -> None:
    guarded = GuardedStage(rig.stage, rig.config)

    def error_um(come_from_um: float) -> float:
        guarded.move_to(x_um=come_from_um)
        guarded.move_to(x_um=10_000.0)
        return rig.emulator.true_position_um()[0] - 10_000.0

    # 4 um of backlash would separate the two directions; 1 um (sigma) of stopping error remains.
    from_below = sum(error_um(8000.0) for _ in range(8)) / 8
    from_above = sum(error_um(12_000.0) for _ in range(8)) / 8
    assert abs(from_above - from_below) < 2.5


def test_without_the_approach_backlash_shows(rig: StageRig) -> None:
    config = rig.config.model_copy(update={"approach_xy_um": 0.0})
    guarded = GuardedStage(rig.stage, config)
    errors_um = []
    for come_from_um in (8000.0, 12_000.0) * 6:
        guarded.move_to(x_um=come_from_um)
        guarded.move_to(x_um=10_000.0)
        errors_um.append(rig.emulator.true_position_um()[0])
    below, above = sum(errors_um[::2]) / 6, sum(errors_um[1::2]) / 6
    assert above - below > 2.0
