"""Which views of overlapping tiles are one cell; tiles without pictures, so nothing registers."""

import weakref

import numpy as np
import pytest
from drawn_smear import PIXEL_UM

from device.analysis.quality import TileQuality
from device.analysis.registry import CellRegistry
from device.analysis.tile_analyzer import TileAnalysis
from device.results.cell import Cell, CellKind

MIDDLE_PX = (160, 120, 180, 140)
"""A bounding box in the middle of a tile of :func:`seen`, 348 by 260 px."""


def seen(sequence, *places_um, bbox_px=(90, 90, 110, 110)):
    """Analysis of a blank tile of 57 by 43 um with cells at places in the stage frame."""
    cells = tuple(
        Cell(
            tile_sequence=sequence,
            x_um=x_um,
            y_um=y_um,
            x_px=100.0,
            y_px=100.0,
            bbox_px=bbox_px,
            kind=CellKind.LYMPHOCYTE,
            probabilities={CellKind.LYMPHOCYTE: 1.0},
            identified=True,
            area_um2=60.0,
            nucleus_area_um2=40.0,
            thumbnail=np.zeros((1, 1), np.uint8),
            mask=np.zeros((1, 1), np.uint8),
        )
        for x_um, y_um in places_um
    )
    blank = np.full((65, 87), 220, np.uint8)
    return TileAnalysis(sequence, TileQuality(0.0, 0.1, 0.0, True, None), cells, 0, 0, 0.0, blank)


@pytest.mark.parametrize(("apart_um", "count"), [(9.0, 1), (9.1, 2)])
def test_tiles_that_nothing_registers_may_differ_by_the_stage_error_too(apart_um, count):
    registry = CellRegistry(PIXEL_UM, merge_distance_um=3.0)
    registry.add(seen(0, (100.0, 100.0)), 100.0, 100.0)
    registry.add(seen(1, (100.0 + apart_um, 100.0)), 100.0, 100.0)
    assert len(registry.cells) == count


@pytest.mark.parametrize("step_um", [(60.0, 0.0), (0.0, 45.0)])
def test_tiles_that_overlap_only_by_a_stage_error_are_compared(step_um):
    registry = CellRegistry(PIXEL_UM, merge_distance_um=3.0)
    registry.add(seen(0, (100.0, 100.0)), 100.0, 100.0)
    assert registry.add(seen(1, (105.0, 105.0)), 100.0 + step_um[0], 100.0 + step_um[1]).new == ()


def test_two_cells_3_um_apart_of_which_an_earlier_tile_saw_one_are_two():
    registry = CellRegistry(PIXEL_UM, merge_distance_um=3.0)
    registry.add(seen(0, (100.0, 100.0)), 100.0, 100.0)
    new = registry.add(seen(1, (100.0, 100.0), (103.0, 100.0)), 100.0, 100.0).new
    assert [cell.x_um for cell in new] == [103.0]
    assert len(registry.cells) == 2


WIDE_PX = (30, 25, 170, 175)
"""A cell whose box reaches 11.5 um to each side, 12.4 um up and down."""


@pytest.mark.parametrize("border_first", [True, False])
@pytest.mark.parametrize(("margin_px", "count"), [(11, 1), (12, 2)])
def test_what_is_cut_at_a_border_is_part_of_the_cell_that_it_lies_in(
    margin_px, count, border_first
):
    registry = CellRegistry(PIXEL_UM, merge_distance_um=3.0)
    cut = {"bbox_px": (margin_px, 90, 110, 110)}
    views = [((110.0, 100.0), cut), ((100.0, 100.0), {"bbox_px": WIDE_PX})]
    for sequence, (place_um, box) in enumerate(views if border_first else views[::-1]):
        registry.add(seen(sequence, place_um, **box), 100.0, 100.0)
    assert len(registry.cells) == count


@pytest.mark.parametrize("off_um", [(11.4, 0.0), (-11.4, 0.0), (0.0, 12.2), (0.0, -12.2)])
@pytest.mark.parametrize(("factor", "count"), [(1.0, 1), (1.05, 2)])
def test_what_is_cut_at_a_border_next_to_a_cell_is_another_one(off_um, factor, count):
    registry = CellRegistry(PIXEL_UM, merge_distance_um=3.0)
    registry.add(seen(0, (100.0, 100.0), bbox_px=WIDE_PX), 100.0, 100.0)
    place_um = tuple(100.0 + factor * off for off in off_um)
    registry.add(seen(1, place_um, bbox_px=(2, 90, 110, 110)), 100.0, 100.0)
    assert len(registry.cells) == count


def test_two_views_of_one_tile_never_become_one_cell_through_two_earlier_tiles():
    """The earlier tiles, whose places agree badly, saw one cell each, and counted one."""
    registry = CellRegistry(PIXEL_UM, merge_distance_um=3.0)
    registry.add(seen(0, (100.0, 100.0)), 100.0, 100.0)
    assert registry.add(seen(1, (102.0, 100.0)), 101.0, 100.0).new == ()
    new = registry.add(seen(2, (100.0, 100.0), (104.0, 100.0)), 102.0, 100.0).new
    assert len(new) == 1


@pytest.mark.parametrize(
    "near_a_border_px",
    [(2, 120, 22, 140), (160, 2, 180, 22), (326, 120, 346, 140), (160, 238, 180, 258)],
)
@pytest.mark.parametrize("best_first", [True, False])
def test_the_view_farthest_from_all_borders_is_the_best(near_a_border_px, best_first):
    registry = CellRegistry(PIXEL_UM, merge_distance_um=3.0)
    for sequence, is_best in enumerate((best_first, not best_first)):
        box_px = MIDDLE_PX if is_best else near_a_border_px
        registry.add(seen(sequence, (100.0, 100.0), bbox_px=box_px), 100.0, 100.0)
    assert [cell.bbox_px for cell in registry.cells] == [MIDDLE_PX]


def test_of_two_views_equally_far_from_the_border_the_first_stays():
    registry = CellRegistry(PIXEL_UM, merge_distance_um=3.0)
    for sequence in range(2):
        registry.add(seen(sequence, (100.0, 100.0)), 100.0, 100.0)
    assert [cell.tile_sequence for cell in registry.cells] == [0]


def test_a_view_between_two_counted_cells_is_a_view_of_one_of_them():
    registry = CellRegistry(PIXEL_UM, merge_distance_um=3.0)
    registry.add(seen(0, (100.0, 100.0)), 100.0, 100.0)
    registry.add(seen(1, (112.0, 100.0)), 112.0, 100.0)
    assert registry.add(seen(2, (106.0, 100.0), bbox_px=MIDDLE_PX), 104.0, 100.0).new == ()
    assert [cell.tile_sequence for cell in registry.cells] == [2, 1]


def test_a_long_scan_forgets_the_previews_of_long_ago_but_not_their_cells():
    registry = CellRegistry(PIXEL_UM, merge_distance_um=3.0)
    start = seen(0, (0.0, 10.0))
    forgotten = weakref.ref(start.preview)
    registry.add(start, 0.0, 0.0)
    del start
    for i in range(1, 600):
        registry.add(seen(i), 33.4 * i, 0.0)
    assert forgotten() is None
    assert registry.add(seen(600, (0.0, 10.0)), 0.0, 10.0).new == ()
    assert len(registry.cells) == 1
