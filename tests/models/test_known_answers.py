"""Each shipped network on a rendered field whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from hal.sim.optics.microscope import CellTruth, FieldTruth
from models.layout import BLANK_LEVEL
from models.runtime import ModelSet

Field = tuple[NDArray[np.uint8], FieldTruth]
MATCH_PX = 25.0


def whole_cells(truth: FieldTruth) -> list[tuple[int, CellTruth, float, float]]:
    """Number, cell and the middle of its box, of the cells that no border cuts."""
    return [
        (
            number,
            cell,
            (cell.bbox_px[0] + cell.bbox_px[2]) / 2,
            (cell.bbox_px[1] + cell.bbox_px[3]) / 2,
        )
        for number, cell in enumerate(truth.cells, start=1)
        if not cell.cut
    ]


def cut(image: NDArray[np.uint8], x: float, y: float, size: int, fill: int) -> NDArray[np.uint8]:
    padded = np.pad(image, size, constant_values=fill)
    top, left = round(y - size / 2) + size, round(x - size / 2) + size
    return padded[top : top + size, left : left + size]


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float(2 * (a & b).sum() / max(a.sum() + b.sum(), 1))


@pytest.fixture(scope="module")
def outlined(
    models: ModelSet, simulated_field: Field
) -> list[tuple[CellTruth, NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint8]]]:
    """Per whole cell: truth, probabilities, true labels and gray crop."""
    image, truth = simulated_field
    size = models.segmenter.crop_px
    out = []
    for number, cell, x, y in whole_cells(truth):
        own = np.where(truth.instances == number, truth.labels, 0).astype(np.uint8)
        crop = cut(image, x, y, size, BLANK_LEVEL)
        out.append((cell, models.segmenter.segment(crop[None])[0], cut(own, x, y, size, 0), crop))
    return out


def test_the_field_is_worth_looking_at(simulated_field: Field) -> None:
    assert len(whole_cells(simulated_field[1])) >= 4


def test_the_scout_finds_every_whole_white_cell_and_little_else(
    models: ModelSet, simulated_field: Field
) -> None:
    image, truth = simulated_field
    found = models.scout.find(image).nuclei[:, :2]
    for _, cell, x, y in whole_cells(truth):
        assert np.hypot(*(found - (x, y)).T).min() < MATCH_PX, cell
    assert len(found) <= len(truth.cells) + 2


def test_the_scout_counts_the_red_cells_within_a_tenth(
    models: ModelSet, simulated_field: Field
) -> None:
    image, truth = simulated_field
    found = len(models.scout.find(image).red_cells)
    assert found == pytest.approx(len(truth.red_cells), rel=0.1, abs=3)


def test_a_blurred_field_is_less_usable_than_a_sharp_one(
    models: ModelSet, simulated_field: Field
) -> None:
    image, _ = simulated_field
    soft = np.stack(
        [np.roll(image, (dy, dx), (0, 1)) for dy in range(-9, 10, 3) for dx in (-9, 0, 9)]
    )
    assert models.scout.find(image).usability > 0.6
    assert models.scout.find(soft.mean(0).astype(np.uint8)).usability < 0.5


def test_the_segmenter_outlines_cells_and_nuclei(
    outlined: list[tuple[CellTruth, NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint8]]],
) -> None:
    cell_dice = [dice(p[0] > 0.5, labels > 0) for _, p, labels, _ in outlined]
    nucleus_dice = [dice(p[1] > 0.5, labels == 2) for _, p, labels, _ in outlined]
    assert np.median(cell_dice) > 0.95
    assert np.median(nucleus_dice) > 0.92


def test_the_classifier_names_most_cells_right(
    models: ModelSet,
    outlined: list[tuple[CellTruth, NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint8]]],
) -> None:
    size = models.classifier.crop_px
    right = 0
    for cell, p, _, crop in outlined:
        labels = (p[0] > 0.5).astype(np.uint8) + ((p[0] > 0.5) & (p[1] > 0.5)).astype(np.uint8)
        margin = (crop.shape[0] - size) // 2
        inner = slice(margin, margin + size)
        (row,) = models.classifier.classify(crop[None, inner, inner], labels[None, inner, inner])
        right += models.classifier.classes[int(row.argmax())] == cell.kind
    assert right >= 0.8 * len(outlined)
