"""The emulated axis moves as time passes, not as somebody looks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal.sim.apt.axis import SETTLE_S, AxisMechanics, Bit, SimulatedAxis

MECHANICS = AxisMechanics(
    34_304.0, 341.333e-6, 5.0, swapped_limits=True, backlash_um=2.0, repeatability_um=0.0
)
START_MM = 2.0
looks_s = st.lists(st.floats(0.0, 0.2), max_size=8)
moves_um = st.lists(st.floats(-1500.0, 1500.0), min_size=1, max_size=5)


def slide_um_after(way_um: list[float], looks_s: list[float]) -> float:
    """Return where the slide rests after moves to each place, looked at after each one's end."""
    axis = SimulatedAxis(MECHANICS, START_MM, seed=0)
    axis.enable(True, 0.0)
    now_s = 0.0
    for to_um in way_um:
        axis.move(round(to_um / 1000.0 * MECHANICS.counts_per_mm), now_s)
        assert axis.end_s is not None
        now_s = axis.end_s
        axis.finish(now_s)
        for look_s in sorted(looks_s):
            axis.slide_mm(now_s + look_s)
        now_s += 0.5
    assert axis.bits(now_s) & Bit.SETTLED
    return axis.slide_mm(now_s) * 1000.0


@given(moves_um, looks_s)
def test_where_the_slide_rests_does_not_depend_on_who_looked(
    way_um: list[float], looks_s: list[float]
) -> None:
    assert slide_um_after(way_um, looks_s) == pytest.approx(slide_um_after(way_um, []), abs=1e-6)


def test_the_play_depends_on_the_side_alone() -> None:
    from_below_um, from_above_um = (slide_um_after([far, 0.0], [0.001]) for far in (-900.0, 900.0))
    assert from_above_um - from_below_um == pytest.approx(MECHANICS.backlash_um, abs=1e-6)


def test_drive_and_slide_swing_as_one_until_settled() -> None:
    axis = SimulatedAxis(MECHANICS, START_MM, seed=0)
    axis.enable(True, 0.0)
    axis.move(round(MECHANICS.counts_per_mm), 0.0)
    assert axis.end_s is not None
    end_s = axis.end_s
    axis.finish(end_s)
    rest_mm = axis.slide_mm(end_s + 1.0)
    swings_um = [(axis.slide_mm(end_s + i * 1e-3) - rest_mm) * 1000.0 for i in range(60)]
    assert max(swings_um) > 1.0
    assert min(swings_um) < -0.5
    assert not axis.bits(end_s + SETTLE_S / 2) & Bit.SETTLED
    assert all(abs(swing) < 0.1 for swing in swings_um[int(SETTLE_S * 1000) :])
