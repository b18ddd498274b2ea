import math

import cv2
import numpy as np
import pytest

from device.analysis.candidates import cut, inside
from device.analysis.postprocess import CellShape, Rejection, central_cell

PIXEL_UM = 0.165
SIDE = 192
MIDDLE = SIDE // 2


def disc(x, y, radius_px, mask=None):
    mask = np.zeros((SIDE, SIDE), np.float32) if mask is None else mask
    cv2.circle(mask, (x, y), radius_px, 1.0, -1)
    return mask


def outline(cell, nucleus, crop=None, visible=None, pixel_um=PIXEL_UM):
    if crop is None:
        crop = np.where(nucleus > 0, 90, np.where(cell > 0, 200, 220)).astype(np.uint8)
    if visible is None:
        visible = np.ones((SIDE, SIDE), np.uint8)
    return central_cell(np.stack([cell, nucleus]), crop, visible, pixel_um)


def shape_of(*args, **kwargs) -> CellShape:
    shape = outline(*args, **kwargs)
    assert isinstance(shape, CellShape), shape
    return shape


def test_disc_is_measured():
    shape = shape_of(disc(100, 90, 30), disc(102, 90, 15))
    assert shape.area_px == pytest.approx(np.pi * 30**2, rel=0.03)
    assert shape.nucleus_area_px == pytest.approx(np.pi * 15**2, rel=0.05)
    assert (shape.x_px, shape.y_px) == pytest.approx((100, 90), abs=0.2)
    assert shape.bbox_px == pytest.approx((70, 60, 131, 121), abs=1)
    assert shape.solidity > 0.97
    assert shape.euler_number == 1
    assert shape.nucleus_transmission == pytest.approx(90 / 220, abs=0.01)


def test_only_the_central_cell_is_kept():
    both = disc(140, MIDDLE, 20, disc(MIDDLE, MIDDLE, 20))
    nuclei = disc(140, MIDDLE, 10, disc(MIDDLE, MIDDLE, 10))
    shape = shape_of(both, nuclei)
    assert shape.area_px == pytest.approx(np.pi * 20**2, rel=0.05)
    assert not shape.mask[:, 125:].any()


def test_lobes_around_an_empty_centre_still_have_their_cell():
    cell = disc(MIDDLE, MIDDLE, 30)
    cell[MIDDLE - 3 : MIDDLE + 3, MIDDLE - 3 : MIDDLE + 3] = 0
    nucleus = disc(MIDDLE - 14, MIDDLE, 8, disc(MIDDLE + 14, MIDDLE, 8))
    shape = shape_of(cell, nucleus)
    assert shape.euler_number == 2
    assert shape.mask[MIDDLE, MIDDLE] == 1


def test_ring_nucleus_has_euler_number_0():
    nucleus = disc(MIDDLE, MIDDLE, 20)
    cv2.circle(nucleus, (MIDDLE, MIDDLE), 8, 0.0, -1)
    assert shape_of(disc(MIDDLE, MIDDLE, 30), nucleus).euler_number == 0


def test_two_holes_lower_the_euler_number_twice():
    nucleus = disc(MIDDLE, MIDDLE, 24)
    for x in (MIDDLE - 11, MIDDLE + 11):
        cv2.circle(nucleus, (x, MIDDLE), 6, 0.0, -1)
    assert shape_of(disc(MIDDLE, MIDDLE, 32), nucleus).euler_number == -1


def test_gaps_and_grains_of_chromatin_are_neither_holes_nor_lobes():
    nucleus = disc(MIDDLE, MIDDLE, 14)
    nucleus[MIDDLE - 1 : MIDDLE + 2, MIDDLE - 1 : MIDDLE + 2] = 0
    nucleus[MIDDLE - 22 : MIDDLE - 17, MIDDLE - 2 : MIDDLE + 3] = 1
    shape = shape_of(disc(MIDDLE, MIDDLE, 30), nucleus)
    assert shape.euler_number == 1
    assert shape.mask[MIDDLE - 20, MIDDLE] == 1


def test_a_small_lobe_and_a_small_hole_count():
    nucleus = disc(MIDDLE, MIDDLE, 14)
    nucleus[MIDDLE - 24 : MIDDLE - 16, MIDDLE - 4 : MIDDLE + 4] = 1
    assert shape_of(disc(MIDDLE, MIDDLE, 30), nucleus).euler_number == 2
    nucleus[MIDDLE - 2 : MIDDLE + 3, MIDDLE - 2 : MIDDLE + 3] = 0
    assert shape_of(disc(MIDDLE, MIDDLE, 30), nucleus).euler_number == 1


def test_nucleus_never_leaves_its_cell():
    shape = shape_of(disc(MIDDLE, MIDDLE, 25), disc(MIDDLE + 15, MIDDLE, 20))
    assert not shape.mask[:, MIDDLE + 26 :].any()
    assert set(np.unique(shape.mask)) == {0, 1, 2}


def test_specks_are_opened_away():
    cell, nucleus = disc(MIDDLE, MIDDLE, 25), disc(MIDDLE, MIDDLE, 12)
    cell[MIDDLE, MIDDLE + 25 : MIDDLE + 60] = 1
    shape = shape_of(cell, nucleus)
    assert shape.bbox_px[2] <= MIDDLE + 27


def test_beyond_the_image_there_is_no_cell():
    visible = inside((500, 500), 5.0, 250.0, SIDE)
    shape = shape_of(disc(MIDDLE, MIDDLE, 25), disc(MIDDLE, MIDDLE, 12), visible=visible)
    assert shape.bbox_px[0] == MIDDLE - 5


def test_candidate_without_cell_is_refused():
    empty = np.zeros((SIDE, SIDE), np.float32)
    assert outline(empty, empty) is Rejection.NO_CELL
    assert outline(disc(20, 20, 15), disc(20, 20, 8)) is Rejection.NO_CELL


def test_cell_without_nucleus_is_refused():
    cell = disc(MIDDLE, MIDDLE, 25)
    assert outline(cell, np.zeros_like(cell)) is Rejection.NO_NUCLEUS


def test_platelet_is_too_small():
    assert outline(disc(MIDDLE, MIDDLE, 9), disc(MIDDLE, MIDDLE, 7)) is Rejection.AREA


@pytest.mark.parametrize(
    ("area_um2", "accepted"), [(17.9, False), (18.1, True), (599.5, True), (600.5, False)]
)
def test_area_of_a_cell_has_limits(area_um2, accepted):
    cell, nucleus = disc(MIDDLE, MIDDLE, 25), disc(MIDDLE, MIDDLE, 18)
    pixel_um = math.sqrt(area_um2 / shape_of(cell, nucleus).area_px)
    assert (outline(cell, nucleus, pixel_um=pixel_um) is not Rejection.AREA) == accepted


@pytest.mark.parametrize(
    ("area_um2", "radius_px", "accepted"),
    [(5.9, 12, False), (6.1, 12, True), (499.5, 23, True), (500.5, 23, False)],
)
def test_area_of_a_nucleus_has_limits(area_um2, radius_px, accepted):
    cell, nucleus = disc(MIDDLE, MIDDLE, 25), disc(MIDDLE, MIDDLE, radius_px)
    pixel_um = math.sqrt(area_um2 / shape_of(cell, nucleus).nucleus_area_px)
    found = outline(cell, nucleus, pixel_um=pixel_um)
    assert found is not Rejection.AREA
    assert (found is not Rejection.NUCLEUS_AREA) == accepted


@pytest.mark.parametrize(("gap_um", "accepted"), [(3.8, True), (4.2, False)])
def test_cell_is_looked_for_4_um_around_the_centre(gap_um, accepted):
    x = MIDDLE + 25 + round(gap_um / PIXEL_UM)
    found = outline(disc(x, MIDDLE, 25), disc(x, MIDDLE, 12))
    assert (found is not Rejection.NO_CELL) == accepted


def test_nucleus_smaller_than_that_of_any_white_cell_is_refused():
    assert outline(disc(MIDDLE, MIDDLE, 25), disc(MIDDLE, MIDDLE, 7)) is Rejection.NUCLEUS_AREA


def test_ragged_region_is_refused():
    star = np.zeros((SIDE, SIDE), np.float32)
    for angle in np.arange(0, 180, 45):
        box = cv2.boxPoints(((MIDDLE, MIDDLE), (110, 14), float(angle)))
        cv2.fillPoly(star, [box.astype(np.int32)], 1.0)
    assert outline(star, disc(MIDDLE, MIDDLE, 12)) is Rejection.SOLIDITY


def crop_of(cell, nucleus, cytoplasm_transmission, nucleus_transmission):
    inner = np.where(nucleus > 0, nucleus_transmission, cytoplasm_transmission)
    return np.rint(220 * np.where(cell > 0, inner, 1.0)).astype(np.uint8)


def test_overlap_of_two_red_cells_looks_like_one():
    cell, nucleus = disc(MIDDLE, MIDDLE, 25), disc(MIDDLE, MIDDLE, 12)
    shape = shape_of(cell, nucleus, crop_of(cell, nucleus, 0.75, 0.75**2))
    assert shape.like_red_cells


@pytest.mark.parametrize(
    ("cytoplasm", "nucleus_transmission"),
    [
        (0.70, 0.27),
        (0.75, 0.42),
        (0.82, 0.42),
        (0.88, 0.45),
        (0.93, 0.49),
        (0.93, 0.68),
        (0.93, 0.85),
        (0.96, 0.85),
    ],
)
def test_nuclei_of_live_and_dead_cells_are_dark_enough(cytoplasm, nucleus_transmission):
    cell, nucleus = disc(MIDDLE, MIDDLE, 25), disc(MIDDLE, MIDDLE, 12)
    shape = shape_of(cell, nucleus, crop_of(cell, nucleus, cytoplasm, nucleus_transmission))
    assert not shape.like_red_cells


def test_glass_between_two_sickled_cells_is_no_cytoplasm():
    cell, nuclei = disc(MIDDLE, MIDDLE, 28), disc(MIDDLE, MIDDLE - 14, 8)
    nuclei = disc(MIDDLE, MIDDLE + 14, 8, nuclei)
    assert shape_of(cell, nuclei, crop_of(cell, nuclei, 0.97, 0.60)).like_red_cells
    assert not shape_of(cell, nuclei, crop_of(cell, nuclei, 0.97, 0.80)).like_red_cells


def test_cell_filled_by_its_nucleus_is_kept():
    cell = disc(MIDDLE, MIDDLE, 22)
    shape = shape_of(cell, cell, crop_of(cell, cell, 1.0, 0.4))
    assert shape.cytoplasm_transmission == 1.0
    assert not shape.like_red_cells


def test_a_thin_rim_of_cytoplasm_says_nothing_about_red_cells():
    cell, nucleus = disc(MIDDLE, MIDDLE, 25), disc(MIDDLE, MIDDLE, 24)
    assert not shape_of(cell, nucleus, crop_of(cell, nucleus, 0.75, 0.60)).like_red_cells


def test_a_black_rim_around_something_clearer_is_no_white_cell():
    cell, nucleus = disc(MIDDLE, MIDDLE, 25), disc(MIDDLE, MIDDLE, 12)
    assert shape_of(cell, nucleus, crop_of(cell, nucleus, 0.0, 0.5)).like_red_cells


def test_dust_is_darker_than_any_nucleus():
    cell, nucleus = disc(MIDDLE, MIDDLE, 25), disc(MIDDLE, MIDDLE, 22)
    assert outline(cell, nucleus, crop_of(cell, nucleus, 0.5, 0.08)) is Rejection.OPAQUE


def test_crop_at_the_border_is_filled_with_blank_glass():
    image = np.arange(100, dtype=np.uint8).reshape(10, 10)
    crop = cut(image, 0, 0, 8)
    assert crop[4, 4] == image[0, 0]
    assert (crop[:4] == 220).all()
    assert (crop[4:, 4:] == image[:4, :4]).all()
    assert (cut(image, 50, 50, 8) == 220).all()
