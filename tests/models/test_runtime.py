from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from hal.sim.optics.microscope import FieldTruth
from models.layout import BLANK_LEVEL
from models.runtime import CASCADE, ModelSet, load_models

Field = tuple[NDArray[np.uint8], FieldTruth]


def blank(*shape: int) -> NDArray[np.uint8]:
    return np.full(shape, BLANK_LEVEL, np.uint8)


def test_each_network_has_a_version(models: ModelSet) -> None:
    assert set(models.versions) == {*CASCADE, "runtime"}
    assert all(len(models.versions[name]) == 12 for name in CASCADE)
    assert models.versions["runtime"].endswith(", CPU")


@pytest.mark.parametrize("shape", [(640, 640), (100, 100), (37, 451), (1, 1)])
def test_the_scout_takes_any_size_and_finds_nothing_on_blank_glass(
    models: ModelSet, shape: tuple[int, int]
) -> None:
    found = models.scout.find(blank(*shape))
    for centres in (found.nuclei, found.red_cells, found.platelets):
        assert centres.shape == (0, 3)
        assert centres.dtype == np.float32
    assert found.usability == 1.0


def test_the_scout_refuses_what_is_no_gray_image(models: ModelSet) -> None:
    with pytest.raises(TypeError, match="uint8"):
        models.scout.find(np.zeros((64, 64), np.uint16))  # type: ignore[arg-type]


def test_detections_lie_in_the_image_best_first(models: ModelSet, simulated_field: Field) -> None:
    image, _ = simulated_field
    found = models.scout.find(image)
    for centres in (found.nuclei, found.red_cells):
        assert len(centres) > 3
        assert ((centres[:, :2] >= -0.5) & (centres[:, :2] <= max(image.shape))).all()
        assert (np.diff(centres[:, 2]) <= 0).all()
        assert ((centres[:, 2] > 0) & (centres[:, 2] <= 1)).all()
    assert 0 <= found.usability <= 1


def test_a_lower_threshold_finds_no_fewer_candidates(
    models: ModelSet, simulated_field: Field
) -> None:
    image, _ = simulated_field
    counts = [len(models.scout.find(image, threshold=t).nuclei) for t in (0.9, 0.5, 0.1, 0.02)]
    assert counts == sorted(counts)


def test_moving_the_image_by_whole_strides_moves_the_detections(
    models: ModelSet, simulated_field: Field
) -> None:
    image, _ = simulated_field
    shift_px = 64
    first = models.scout.find(image[:512, :512].copy()).nuclei
    second = models.scout.find(image[:512, shift_px : 512 + shift_px].copy()).nuclei
    inner = first[(first[:, 0] > 200) & (first[:, 0] < 400)]
    assert len(inner) > 0
    for x_px, y_px, _ in inner:
        assert np.hypot(second[:, 0] + shift_px - x_px, second[:, 1] - y_px).min() < 2.0


@pytest.mark.parametrize("count", [0, 1, 5])
def test_the_segmenter_gives_two_probabilities_per_pixel(models: ModelSet, count: int) -> None:
    size = models.segmenter.crop_px
    out = models.segmenter.segment(blank(count, size, size))
    assert out.shape == (count, 2, size, size)
    assert out.dtype == np.float32
    assert ((out >= 0) & (out <= 1)).all()
    assert (out < 0.5).all()


def test_the_classifier_gives_probabilities_that_sum_to_one(models: ModelSet) -> None:
    size = models.classifier.crop_px
    rng = np.random.default_rng(1)
    crops = rng.integers(0, 256, (4, size, size), dtype=np.uint8)
    masks = rng.integers(0, 3, (4, size, size), dtype=np.uint8)
    out = models.classifier.classify(crops, masks)
    assert out.shape == (4, len(models.classifier.classes))
    assert out.dtype == np.float32
    assert out.sum(1) == pytest.approx(1.0, abs=1e-5)
    assert 0.0 < models.classifier.threshold < 1.0


@pytest.mark.parametrize("size", [64, 191])
def test_crops_of_another_size_are_refused(models: ModelSet, size: int) -> None:
    with pytest.raises(TypeError, match="px"):
        models.segmenter.segment(blank(1, size, size))
    with pytest.raises(TypeError, match="px"):
        models.classifier.classify(blank(1, size, size), blank(1, size, size))


def test_two_sessions_agree_bit_by_bit_and_do_not_depend_on_the_batch(
    models: ModelSet, simulated_field: Field
) -> None:
    image, _ = simulated_field
    other = load_models()
    assert np.array_equal(models.scout.maps(image).nucleus, other.scout.maps(image).nucleus)
    size = models.segmenter.crop_px
    crops = np.stack([image[:size, :size], image[100 : 100 + size, 60 : 60 + size]])
    together = models.segmenter.segment(crops)
    alone = np.concatenate([other.segmenter.segment(crop[None]) for crop in crops])
    assert np.array_equal(together, alone)
