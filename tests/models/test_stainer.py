"""The virtual stain as it runs: shapes, colours, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from hal.sim.optics.microscope import FieldTruth
from models.errors import ModelError
from models.layout import BLANK_LEVEL
from models.manifest import MANIFEST_NAME
from models.stainer import Stainer, finished, load_stainer, retint

Field = tuple[NDArray[np.uint8], FieldTruth]
WHITE = 235


@pytest.fixture(scope="module")
def stainer() -> Stainer:
    return load_stainer()


@pytest.fixture(scope="module")
def stained(stainer: Stainer, simulated_field: Field) -> NDArray[np.uint8]:
    return stainer.stain(simulated_field[0])


@pytest.mark.parametrize("shape", [(16, 16), (17, 131), (128, 128), (160, 160), (333, 95)])
def test_any_size_gives_a_picture_of_that_size(stainer: Stainer, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    picture = stainer.stain(rng.integers(60, 230, shape).astype(np.uint8))
    assert picture.shape == (*shape, 3)
    assert picture.dtype == np.uint8


@pytest.mark.parametrize("level", [BLANK_LEVEL - 6, BLANK_LEVEL, BLANK_LEVEL + 6])
def test_blank_glass_is_white_whatever_the_light(stainer: Stainer, level: int) -> None:
    noise = np.random.default_rng(2).normal(0, 2, (160, 160))
    picture = stainer.stain(np.round(level + noise).astype(np.uint8))
    assert picture.mean((0, 1)).min() > WHITE
    assert np.ptp(picture.mean((0, 1))) < 4


def test_a_whole_field_is_drawn_on_warmer_glass(stainer: Stainer) -> None:
    glass = np.full((64, 64), BLANK_LEVEL, np.uint8)
    red, green, blue = stainer.stain(glass, wide_field=True).reshape(-1, 3).mean(0)
    assert red <= 0.95 * 255 + 0.5
    assert max(green, blue) <= 0.93 * 255 + 0.5
    assert red > green


def test_red_cells_are_salmon_and_nuclei_violet(
    stained: NDArray[np.uint8], simulated_field: Field
) -> None:
    image, truth = simulated_field
    nucleus = cv2.erode((truth.labels == 2).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    elsewhere = cv2.dilate((truth.labels > 0).astype(np.uint8), np.ones((25, 25), np.uint8)) == 0
    red_cell = elsewhere & (image < 180)
    assert nucleus.sum() > 500
    assert red_cell.sum() > 500
    red, green, blue = np.median(stained[red_cell], 0)
    assert red > green + 40
    assert red > blue + 40
    red, green, blue = np.median(stained[nucleus], 0)
    assert blue > red > green


def test_lightness_follows_the_image(stained: NDArray[np.uint8], simulated_field: Field) -> None:
    lab = cv2.cvtColor(stained.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    assert np.corrcoef(lab[..., 0].ravel(), simulated_field[0].ravel())[0, 1] > 0.98


def test_a_thumbnail_has_the_colours_of_its_tile(
    stainer: Stainer, stained: NDArray[np.uint8], simulated_field: Field
) -> None:
    image, truth = simulated_field
    cell = next(cell for cell in truth.cells if not cell.cut)
    x0, y0, x1, y1 = cell.bbox_px
    left = int(np.clip((x0 + x1) // 2 - 80, 0, image.shape[1] - 160))
    top = int(np.clip((y0 + y1) // 2 - 80, 0, image.shape[0] - 160))
    part = np.s_[top : top + 160, left : left + 160]
    alone = stainer.stain(np.ascontiguousarray(image[part])).astype(int)
    assert np.abs(alone - stained[part]).mean() < 4


def test_the_same_image_gives_the_same_picture(
    stainer: Stainer, stained: NDArray[np.uint8], simulated_field: Field
) -> None:
    assert np.array_equal(stainer.stain(simulated_field[0]), stained)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((64, 64), np.uint16),
        np.zeros((64, 64, 3), np.uint8),
        np.zeros((15, 64), np.uint8),
    ],
    ids=["16 bit", "colour", "too small"],
)
def test_what_is_no_gray_image_is_refused(stainer: Stainer, image: NDArray[np.uint8]) -> None:
    with pytest.raises(TypeError, match="uint8 image of at least 16 px"):
        stainer.stain(image)


def test_post_processing_brightens_as_the_paper_says() -> None:
    rgb = np.full((8, 8, 3), (0.5, 0.4, 0.3), np.float32)
    shown = finished(rgb, np.zeros((8, 8), bool))
    # +0.02 on each, then +0.07 on the largest with hue and saturation kept.
    wanted = np.array([0.52, 0.42, 0.32]) * (0.59 / 0.52) * 255
    assert np.allclose(shown[0, 0], wanted, atol=0.6)


def test_glass_of_a_tint_is_balanced_to_neutral() -> None:
    rgb = np.full((8, 8, 3), (0.80, 0.76, 0.72), np.float32)
    assert np.ptp(finished(rgb, np.ones((8, 8), bool))[0, 0]) == 0


def lab_of(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB))


@pytest.fixture
def disc() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a gray cell on white, and its mask."""
    y, x = np.mgrid[:96, :96] - 48
    radius = np.hypot(x, y)
    mask = (radius < 36).astype(np.uint8) + (radius < 20)
    return np.array([250, 205, 110], np.uint8)[mask][..., None].repeat(3, 2), mask.astype(np.uint8)


def test_a_known_eosinophil_turns_orange_around_a_violet_nucleus(
    disc: tuple[NDArray[np.uint8], NDArray[np.uint8]],
) -> None:
    picture, mask = disc
    after = retint(picture, mask, "eosinophil")
    inner = cv2.erode((mask == 2).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    ring = cv2.erode((mask == 1).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    red, green, blue = np.median(after[ring], 0)
    assert red > green > blue
    red, green, blue = np.median(after[inner], 0)
    assert blue > red > green


@pytest.mark.parametrize("kind", ["neutrophil", "eosinophil", "basophil", "lymphocyte", "monocyte"])
def test_retinting_keeps_the_lightness_and_what_lies_outside(
    kind: str, disc: tuple[NDArray[np.uint8], NDArray[np.uint8]]
) -> None:
    picture, mask = disc
    before = picture.copy()
    after = retint(picture, mask, kind)
    assert np.array_equal(picture, before)
    assert np.abs(lab_of(after)[..., 0] - lab_of(picture)[..., 0]).max() < 3
    far = cv2.dilate(mask, np.ones((11, 11), np.uint8)) == 0
    assert np.array_equal(after[far], picture[far])
    assert not np.array_equal(after, picture)


def test_known_kinds_look_different(disc: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> None:
    ring = disc[1] == 1
    chroma = [
        lab_of(retint(*disc, kind))[ring][:, 1:].mean(0)
        for kind in ("neutrophil", "eosinophil", "basophil", "lymphocyte", "monocyte")
    ]
    apart = [np.linalg.norm(a - b) for i, a in enumerate(chroma) for b in chroma[:i]]
    assert min(apart) > 5


@pytest.mark.parametrize("kind", ["dead", "other", "unidentified"])
def test_a_cell_of_no_known_kind_keeps_its_colours(
    kind: str, disc: tuple[NDArray[np.uint8], NDArray[np.uint8]]
) -> None:
    assert np.array_equal(retint(*disc, kind), disc[0])


def test_an_unknown_kind_and_a_mask_that_does_not_fit_are_refused(
    disc: tuple[NDArray[np.uint8], NDArray[np.uint8]],
) -> None:
    picture, mask = disc
    with pytest.raises(ValueError, match="plasma cell"):
        retint(picture, mask, "plasma cell")
    with pytest.raises(TypeError, match="does not fit"):
        retint(picture, mask[:-1], "monocyte")


def test_a_manifest_without_a_stainer_is_refused(copied_models: Path) -> None:
    path = copied_models / MANIFEST_NAME
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["networks"]["stainer"]
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ModelError, match="no stainer"):
        load_stainer(copied_models)


def test_a_damaged_stainer_is_refused(copied_models: Path) -> None:
    file = copied_models / "stainer.onnx"
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    file.write_bytes(damaged)
    with pytest.raises(ModelError, match=r"stainer\.onnx"):
        load_stainer(copied_models)
