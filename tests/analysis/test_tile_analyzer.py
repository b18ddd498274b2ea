import threading
from dataclasses import replace

import cv2
import numpy as np
import pytest
from drawn_smear import (
    PIXEL_UM,
    TILE_SHAPE,
    DrawnSmear,
    analyzer,
    drawn_models,
    look,
    tile_of,
)

from device.results.cell import FIVE_TYPES, THUMBNAIL_PX, CellKind
from device.settings.sections import AnalysisConfig
from hal.errors import InputError


@pytest.fixture(scope="module")
def smear():
    smear = DrawnSmear()
    for i, kind in enumerate(CellKind):
        smear.white_cell(40 + 34 * i, 60, kind)
    smear.white_cell(100, 130, doubtful=True)
    smear.red_cells(200, seed=2)
    return smear


def test_every_kind_is_found_named_and_placed(smear):
    analysis = analyzer(shape=(500, 1700)).analyze(smear.tile(3, 145, 60, shape=(500, 1700)))
    found = sorted(analysis.cells, key=lambda cell: cell.x_um)
    assert [cell.kind for cell in found] == list(CellKind)
    for cell, (x_um, y_um, _) in zip(found, smear.white_cells, strict=False):
        assert (cell.x_um, cell.y_um) == pytest.approx((x_um, y_um), abs=0.3)
        assert cell.tile_sequence == 3
        assert cell.identified
        assert sum(cell.probabilities.values()) == pytest.approx(1.0)
        assert cell.area_um2 == pytest.approx(np.pi * 5.5**2, rel=0.08)
        assert cell.nucleus_area_um2 == pytest.approx(np.pi * 3.3**2, rel=0.08)


def test_thumbnail_shows_the_cell_in_its_middle(smear):
    (cell,) = look(smear, (74, 60))[0].cells
    assert cell.thumbnail.shape == cell.mask.shape == (THUMBNAIL_PX, THUMBNAIL_PX)
    assert cell.mask[THUMBNAIL_PX // 2, THUMBNAIL_PX // 2] == 2
    assert np.count_nonzero(cell.mask) * PIXEL_UM**2 == pytest.approx(cell.area_um2, rel=0.01)
    assert np.median(cell.thumbnail[cell.mask == 2]) == pytest.approx(60, abs=1)
    assert np.median(cell.thumbnail[cell.mask == 1]) == pytest.approx(190, abs=1)


def test_doubtful_cell_is_unidentified(smear):
    (cell,) = look(smear, (100, 130))[0].cells
    assert not cell.identified


def test_confidence_threshold_of_the_settings_comes_first(smear):
    tile = smear.tile(0, 74, 60)
    (strict,) = analyzer(AnalysisConfig(min_confidence=0.95)).analyze(tile).cells
    (lenient,) = analyzer(AnalysisConfig(min_confidence=0.85)).analyze(tile).cells
    assert not strict.identified
    assert lenient.identified


@pytest.mark.parametrize(("threshold", "asked"), [(0.0, None), (0.4, 0.4)])
def test_scout_threshold_of_the_settings_reaches_the_scout(smear, threshold, asked):
    models = drawn_models()
    config = AnalysisConfig(scout_threshold=threshold)
    analyzer(config, models=models).analyze(smear.tile(0, 74, 60))
    assert models.scout.threshold == asked


def test_red_cells_are_counted(smear):
    assert look(smear, (74, 130))[0].red_cell_count > 5


@pytest.mark.parametrize("side", ["left", "right", "top", "bottom"])
def test_cell_cut_by_the_border_is_left_to_the_neighbour(side):
    half_height_um, half_width_um = (n * PIXEL_UM / 2 for n in TILE_SHAPE)
    dx, dy = {
        "left": (-half_width_um, 0),
        "right": (half_width_um, 0),
        "top": (0, -half_height_um),
        "bottom": (0, half_height_um),
    }[side]
    smear = DrawnSmear()
    smear.white_cell(150 + dx * 0.95, 100 + dy * 0.95)
    smear.white_cell(150, 100)
    (cell,) = look(smear, (150, 100))[0].cells
    assert (cell.x_um, cell.y_um) == pytest.approx((150, 100), abs=0.3)


def test_cell_seen_twice_by_the_scout_is_one_cell(smear):
    models = drawn_models()
    find = models.scout.find

    def find_twice(image, threshold=None):
        seen = find(image, threshold)
        again = seen.nuclei + np.array([6, -4, -0.05], np.float32)
        return type(seen)(
            np.concatenate([seen.nuclei, again]), seen.red_cells, seen.platelets, seen.usability
        )

    models.scout.find = find_twice
    assert len(analyzer(models=models).analyze(smear.tile(0, 74, 60)).cells) == 1


@pytest.mark.parametrize(
    ("score", "kinds"),
    [
        (0.35, set()),
        (0.45, {CellKind.LYMPHOCYTE}),
        (0.70, {CellKind.LYMPHOCYTE, CellKind.OTHER}),
    ],
)
def test_find_needs_a_higher_score_the_less_it_looks_like_a_white_cell(score, kinds):
    smear = DrawnSmear()
    smear.white_cell(140, 100, CellKind.OTHER)
    smear.white_cell(160, 100, CellKind.LYMPHOCYTE)
    models = drawn_models()
    find = models.scout.find

    def faint(image, threshold=None):
        seen = find(image, threshold)
        seen.nuclei[:, 2] = score
        return seen

    models.scout.find = faint
    analysis = analyzer(models=models).analyze(smear.tile(0, 150, 100))
    assert {cell.kind for cell in analysis.cells} == kinds


def test_two_cells_side_by_side_are_two():
    smear = DrawnSmear()
    smear.white_cell(150, 100, CellKind.LYMPHOCYTE, radius_um=4)
    smear.white_cell(158.4, 100, CellKind.MONOCYTE, radius_um=4)
    analysis = look(smear, (150, 100))[0]
    assert {cell.kind for cell in analysis.cells} == {CellKind.LYMPHOCYTE, CellKind.MONOCYTE}


def test_dimmer_light_changes_no_measurement(smear):
    (bright,) = analyzer().analyze(smear.tile(0, 74, 60)).cells
    (dim,) = analyzer().analyze(smear.tile(0, 74, 60, light=0.9)).cells
    assert dim.kind is bright.kind
    assert dim.area_um2 == pytest.approx(bright.area_um2, rel=0.02)


def test_preview_is_the_tile_at_a_quarter(smear):
    preview = look(smear, (74, 60))[0].preview
    assert preview.shape == (TILE_SHAPE[0] // 4, TILE_SHAPE[1] // 4)
    assert np.median(preview) == pytest.approx(220, abs=1)


@pytest.mark.parametrize("pixel_um", [0.07, 0.17])
def test_tile_of_too_fine_or_too_coarse_pixels_is_refused(pixel_um):
    tile = tile_of(np.full(TILE_SHAPE, 3000, np.uint16), pixel_um=pixel_um)
    with pytest.raises(InputError, match=f"{pixel_um:g} um"):
        analyzer().analyze(tile)


def finer(tile, pixel_um):
    """The tile as a camera with finer pixels takes it."""
    factor = tile.pixel_um / pixel_um
    pixels = cv2.resize(tile.pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    return replace(tile, pixels=pixels, pixel_um=pixel_um)


@pytest.mark.parametrize("pixel_um", [0.09, 0.137, 0.163])
def test_finer_pixels_give_the_same_cells_in_the_same_places(pixel_um):
    smear = DrawnSmear()
    smear.white_cell(135, 100, CellKind.LYMPHOCYTE)
    smear.white_cell(165, 112, CellKind.MONOCYTE)
    usual = smear.tile(0, 150, 100)
    tile = finer(usual, pixel_um)
    found = analyzer(shape=tile.pixels.shape).analyze(tile)
    wanted = analyzer().analyze(usual)
    assert found.preview.shape == pytest.approx(wanted.preview.shape, abs=2)
    for cell, same in zip(found.cells, wanted.cells, strict=True):
        assert cell.kind is same.kind
        assert (cell.x_um, cell.y_um) == pytest.approx((same.x_um, same.y_um), abs=0.15)
        assert cell.area_um2 == pytest.approx(same.area_um2, rel=0.03)
        assert cell.nucleus_area_um2 == pytest.approx(same.nucleus_area_um2, rel=0.03)
        assert cell.thumbnail.shape == same.thumbnail.shape


def test_same_tile_gives_the_same_analysis_in_every_thread(smear):
    tile = smear.tile(0, 100, 60)
    results = []

    def work():
        results.append(analyzer().analyze(tile))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    places = [[(cell.x_um, cell.y_um, cell.kind) for cell in one.cells] for one in results]
    assert places[0] == places[1] == places[2]
    assert {cell.kind for cell in results[0].cells} <= set(FIVE_TYPES)
