import numpy as np
import pytest
from drawn_smear import PIXEL_UM, TILE_SHAPE, DrawnSmear, look
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from device.analysis.registry import CellRegistry
from device.results.cell import CellKind

OVERLAP_UM = 24.0
STEP_X_UM = TILE_SHAPE[1] * PIXEL_UM - OVERLAP_UM
STEP_Y_UM = TILE_SHAPE[0] * PIXEL_UM - OVERLAP_UM


def grid(columns, rows, left=45.0, top=40.0):
    """Serpentine order of tile centres."""
    return [
        (left + (c if r % 2 == 0 else columns - 1 - c) * STEP_X_UM, top + r * STEP_Y_UM)
        for r in range(rows)
        for c in range(columns)
    ]


def stage_errors(count, seed, sigma_um=2.0):
    return np.clip(np.random.default_rng(seed).normal(0, sigma_um, (count, 2)), -3, 3)


def count_all(analyses, places):
    registry = CellRegistry(PIXEL_UM, merge_distance_um=3.0)
    counted = [registry.add(one, *places[one.sequence]).new for one in analyses]
    return registry, [cell for cells in counted for cell in cells]


@pytest.fixture(scope="module")
def smear():
    """White cells all over, most of them in overlaps."""
    smear = DrawnSmear(260, 200)
    rng = np.random.default_rng(11)
    while len(smear.white_cells) < 45:
        x, y = rng.uniform(25, 220), rng.uniform(25, 150)
        if all(np.hypot(x - cx, y - cy) > 11.2 for cx, cy, _ in smear.white_cells):
            kind = list(CellKind)[int(rng.integers(7))]
            smear.white_cell(x, y, kind, radius_um=rng.uniform(4, 5.4))
    smear.red_cells(330, seed=12)
    return smear


def seen_whole(smear, places, errors):
    """Cells that lie whole in at least one tile."""
    half = np.array([TILE_SHAPE[1], TILE_SHAPE[0]]) * PIXEL_UM / 2
    cells = np.array([(x, y) for x, y, _ in smear.white_cells])
    inside = [
        (np.abs(cells - (np.array(place) + error)) < half - 6.0).all(axis=1)
        for place, error in zip(places, errors, strict=True)
    ]
    return np.any(inside, axis=0)


@pytest.mark.parametrize("seed", range(4))
def test_each_cell_counts_once_in_spite_of_stage_errors(smear, seed):
    places = grid(4, 4)
    errors = stage_errors(len(places), seed)
    analyses = look(smear, *places, errors=errors)
    registry, counted = count_all(analyses, places)
    assert sum(len(one.cells) for one in analyses) > len(counted)
    found = np.array([(cell.x_um, cell.y_um) for cell in counted])
    for (x_um, y_um, kind), whole in zip(
        smear.white_cells, seen_whole(smear, places, errors), strict=True
    ):
        # The frame is that of the first tile, so it carries that tile's stage error.
        apart = np.hypot(*(found - (x_um, y_um) + errors[0]).T)
        near = np.flatnonzero(apart < 4.0)
        assert len(near) <= 1, "counted twice"
        if whole:
            assert len(near) == 1, "lost"
            assert counted[near[0]].kind is kind
    assert len(registry.cells) == len(counted)


@given(order=st.permutations(range(9)), seed=st.integers(0, 3))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_count_does_not_depend_on_the_order_of_tiles(smear, order, seed):
    places = grid(3, 3)
    analyses = look(smear, *places, errors=stage_errors(len(places), seed))
    in_order, _ = count_all(analyses, places)
    shuffled, _ = count_all([analyses[i] for i in order], places)

    def census(registry):
        return sorted((c.kind, c.tile_sequence, c.bbox_px) for c in registry.cells)

    assert census(shuffled) == census(in_order)


def test_registered_positions_agree_between_tiles(smear):
    places = grid(2, 1)
    errors = [(0.0, 0.0), (2.5, -1.8)]
    first, second = look(smear, *places, errors=errors)
    registry, _ = count_all([first], places)
    new = registry.add(second, *places[1]).new
    by_place = {(round(x), round(y)) for x, y, _ in smear.white_cells}
    assert new
    for cell in new:
        nearest = min(by_place, key=lambda p: np.hypot(p[0] - cell.x_um, p[1] - cell.y_um))
        assert np.hypot(nearest[0] - cell.x_um, nearest[1] - cell.y_um) < 1.0


@pytest.mark.parametrize("error_um", [(4.0, 0.0), (0.0, 4.0)])
def test_cell_seen_by_a_tile_of_another_frame_is_found_where_the_pair_registers(error_um):
    """The tile in the middle is placed by the first; the second has a stage error of its own."""
    smear = DrawnSmear()
    smear.white_cell(100 + 1.5 * STEP_X_UM, 100)
    smear.red_cells(150, seed=4)
    places = [(100 + step * STEP_X_UM, 100) for step in (0, 2, 1)]
    analyses = look(smear, *places, errors=[(0, 0), error_um, (0, 0)])
    assert [len(one.cells) for one in analyses] == [0, 1, 1]
    assert len(count_all(analyses, places)[1]) == 1


def test_two_touching_cells_in_the_overlap_stay_two():
    smear = DrawnSmear()
    x = 100 + STEP_X_UM / 2
    smear.white_cell(x, 96, CellKind.LYMPHOCYTE, radius_um=4)
    smear.white_cell(x, 104.4, CellKind.LYMPHOCYTE, radius_um=4)
    smear.red_cells(150, seed=4)
    places = [(100, 100), (100 + STEP_X_UM, 100)]
    analyses = look(smear, *places, errors=[(0, 0), (1.5, 2.5)])
    assert [len(one.cells) for one in analyses] == [2, 2]
    assert len(count_all(analyses, places)[1]) == 2


def test_cell_in_an_otherwise_blank_overlap_is_counted_once_although_nothing_registers():
    smear = DrawnSmear()
    smear.white_cell(100 + STEP_X_UM / 2, 100)
    places = [(100, 100), (100 + STEP_X_UM, 100)]
    analyses = look(smear, *places, errors=[(0, 0), (2.9, -2.9)])
    assert [len(one.cells) for one in analyses] == [1, 1]
    assert len(count_all(analyses, places)[1]) == 1


def test_better_view_takes_the_place_of_the_first():
    smear = DrawnSmear()
    x = 100 + STEP_X_UM / 2
    smear.white_cell(x + 4, 100)
    smear.red_cells(150, seed=4)
    places = [(100, 100), (100 + STEP_X_UM, 100)]
    registry, counted = count_all(look(smear, *places), places)
    assert [cell.tile_sequence for cell in counted] == [0]
    assert [cell.tile_sequence for cell in registry.cells] == [1]
    assert registry.cells[0].x_um == pytest.approx(counted[0].x_um, abs=0.5)


def test_tile_visited_again_adds_nothing(smear):
    places = grid(2, 2)
    analyses = look(smear, *places)
    registry, counted = count_all(analyses, places)
    assert registry.add(analyses[3], *places[3]).new == ()
    assert len(registry.cells) == len(counted)


def test_distant_tiles_are_not_compared(smear):
    (analysis,) = look(smear, (100, 100))
    registry = CellRegistry(PIXEL_UM, merge_distance_um=3.0)
    first = registry.add(analysis, 100.0, 100.0).new
    second = registry.add(analysis, 1100.0, 100.0).new
    assert len(first) == len(second) > 0
