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
