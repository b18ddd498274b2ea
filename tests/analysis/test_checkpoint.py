from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.analysis.checkpoint import looks_alive, reconsider_dead
from device.analysis.postprocess import CellShape
from device.results.cell import CellKind

PIXEL_UM = 0.165


def shape(nucleus_transmission=0.45, euler_number=1, area_um2=80.0):
    return CellShape(
        mask=np.ones((4, 4), np.uint8),
        bbox_px=(0, 0, 4, 4),
        x_px=2.0,
        y_px=2.0,
        area_px=round(area_um2 / PIXEL_UM**2),
        nucleus_area_px=8,
        solidity=0.98,
        euler_number=euler_number,
        cytoplasm_transmission=0.8,
        nucleus_transmission=nucleus_transmission,
    )


def calls(dead, lymphocyte):
    rest = (1.0 - dead - lymphocyte) / (len(CellKind) - 2)
    return dict.fromkeys(CellKind, rest) | {
        CellKind.DEAD: dead,
        CellKind.LYMPHOCYTE: lymphocyte,
    }


def best(probabilities):
    return max(probabilities, key=probabilities.get)


def test_doubtful_dead_call_on_a_dense_nucleus_turns_back():
    after = reconsider_dead(calls(0.6, 0.35), shape(), PIXEL_UM)
    assert best(after) is CellKind.LYMPHOCYTE


def test_a_dense_nucleus_divides_the_odds_of_dead_by_ten():
    before = calls(0.8, 0.15)
    after = reconsider_dead(before, shape(), PIXEL_UM)
    odds = [p[CellKind.DEAD] / (1.0 - p[CellKind.DEAD]) for p in (before, after)]
    assert odds[0] / odds[1] == pytest.approx(10.0)


def test_certain_dead_call_stands():
    after = reconsider_dead(calls(0.99, 0.005), shape(), PIXEL_UM)
    assert best(after) is CellKind.DEAD


@pytest.mark.parametrize(
    "faint", [{"nucleus_transmission": 0.75}, {"euler_number": 8}, {"area_um2": 320.0}]
)
def test_dead_call_on_a_faint_shattered_or_spread_cell_stands(faint):
    assert not looks_alive(shape(**faint), PIXEL_UM)
    before = calls(0.6, 0.35)
    assert reconsider_dead(before, shape(**faint), PIXEL_UM) == pytest.approx(before)


@pytest.mark.parametrize(
    ("at_the_limit", "beyond"),
    [
        ({"nucleus_transmission": 0.62}, {"nucleus_transmission": 0.6201}),
        ({"euler_number": 0}, {"euler_number": -1}),
        ({"euler_number": 5}, {"euler_number": 6}),
        ({"area_px": 30}, {"area_px": 29}),
        ({"area_px": 280}, {"area_px": 281}),
    ],
)
def test_a_cell_at_a_limit_still_looks_alive(at_the_limit, beyond):
    one = replace(shape(), area_px=100)
    assert looks_alive(replace(one, **at_the_limit), pixel_um=1.0)
    assert not looks_alive(replace(one, **beyond), pixel_um=1.0)


def test_live_call_is_left_alone():
    before = calls(0.3, 0.6)
    assert reconsider_dead(before, shape(), PIXEL_UM) == pytest.approx(before)


@given(st.floats(0.0, 0.95), st.floats(0.2, 0.9))
def test_probabilities_sum_to_1_and_live_kinds_keep_their_proportions(dead, transmission):
    before = calls(dead, (1 - dead) * 0.7)
    after = reconsider_dead(before, shape(transmission), PIXEL_UM)
    assert sum(after.values()) == pytest.approx(1.0)
    assert after[CellKind.DEAD] <= before[CellKind.DEAD] + 1e-12
    ratio = before[CellKind.LYMPHOCYTE] / before[CellKind.MONOCYTE]
    assert after[CellKind.LYMPHOCYTE] / after[CellKind.MONOCYTE] == pytest.approx(ratio)
