import cv2
import numpy as np
import pytest
from drawn_smear import TILE_SHAPE, DrawnSmear, analyzer, drawn_models, tile_of

from device.analysis.quality import Unusable, assess, cell_density, sharpness, shrink
from device.settings.sections import AnalysisConfig


@pytest.fixture(scope="module")
def smear():
    smear = DrawnSmear()
    smear.white_cell(100, 100)
    smear.red_cells(250, seed=3)
    return smear


def counts(image):
    return np.rint(image.astype(np.float32) * (3000 / 220)).astype(np.uint16)


def reason_of(pixels, **config):
    return analyzer(AnalysisConfig(**config)).analyze(tile_of(pixels)).quality.reason


def test_ordinary_tile_is_usable(smear):
    quality = analyzer().analyze(smear.tile(0, 100, 100)).quality
    assert quality.usable
    assert quality.reason is None
    assert 0.05 < quality.fill_fraction < 0.6


def test_blank_glass_is_empty():
    assert reason_of(np.full(TILE_SHAPE, 3000, np.uint16)) is Unusable.EMPTY


def test_noise_on_blank_glass_is_empty():
    noise = np.random.default_rng(5).normal(3000, 60, TILE_SHAPE)
    assert reason_of(noise.astype(np.uint16)) is Unusable.EMPTY


def test_one_lymphocyte_on_a_full_size_tile_is_not_empty():
    image = np.full((1040, 1392), 220, np.uint8)
    cv2.circle(image, (700, 500), 21, 120, -1)
    assert assess(image, shrink(image), 0.0, AnalysisConfig()).usable


def test_pixels_of_the_preview_are_four_whatever_the_size_of_the_image():
    image = np.tile(np.arange(1, 48, dtype=np.uint8), (47, 1))
    preview = shrink(image)
    assert preview.shape == (11, 11)
    assert preview[0].tolist() == pytest.approx([2.5 + 4 * i for i in range(11)], abs=0.5)


def test_carpet_of_cells_is_too_thick():
    carpet = np.full(TILE_SHAPE, round(3000 * 0.7), np.uint16)
    carpet[:40] = 3000
    assert reason_of(carpet) is Unusable.TOO_THICK


def test_overexposed_tile_is_saturated(smear):
    pixels = smear.tile(0, 100, 100).pixels.copy()
    pixels[:10] = 4095
    assert reason_of(pixels) is Unusable.SATURATED


def test_blurred_tile_is_less_sharp_whatever_it_shows(smear):
    sharp = [smear.canvas[200:600, 200:600], smear.canvas[600:1000, 1000:1400]]
    for image in sharp:
        blurred = cv2.GaussianBlur(image, (0, 0), 4)
        assert sharpness(blurred, shrink(blurred)) < 0.5 * sharpness(image, shrink(image))


def test_sharpness_does_not_depend_on_the_light(smear):
    image = smear.canvas[200:600, 200:600]
    dim = (image * 0.8).astype(np.uint8)
    assert sharpness(dim, shrink(dim)) == pytest.approx(sharpness(image, shrink(image)), rel=0.05)


def test_blurred_tile_is_out_of_focus(smear):
    image = smear.canvas[200 : 200 + TILE_SHAPE[0], 200 : 200 + TILE_SHAPE[1]]
    limit = 0.5 * sharpness(image, shrink(image))
    assert reason_of(counts(image), min_sharpness=limit) is None
    blurred = cv2.GaussianBlur(image, (0, 0), 4)
    assert reason_of(counts(blurred), min_sharpness=limit) is Unusable.OUT_OF_FOCUS


def test_cells_of_an_unreadable_tile_are_not_counted(smear):
    models = drawn_models()
    models.scout.usability = 0.2
    config = AnalysisConfig(min_usability=0.5)
    analysis = analyzer(config, models=models).analyze(smear.tile(0, 100, 100))
    assert analysis.quality.reason is Unusable.OUT_OF_FOCUS
    assert not analysis.quality.usable
    assert analysis.cells == ()


def test_density_is_that_of_the_cells_whatever_area_they_cover():
    for share in (0.1, 0.5):
        preview = np.full((100, 100), 220, np.uint8)
        preview[: round(100 * share)] = 165
        assert cell_density(preview) == pytest.approx(np.log10(220 / 165))


def test_blank_glass_has_no_density():
    assert cell_density(np.full((100, 100), 218, np.uint8)) is None
