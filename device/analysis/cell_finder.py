"""From one normalised image to its white cells: scout, segment, post-process, classify."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from device.analysis.candidates import corner, cut, inside, touches_border
from device.analysis.checkpoint import reconsider_dead
from device.analysis.flatfield import Image
from device.analysis.postprocess import CellShape, Rejection, central_cell
from device.results.cell import THUMBNAIL_PX, CellKind
from device.settings.sections import AnalysisConfig
from models.runtime import ModelSet

log = logging.getLogger(__name__)

_Item = TypeVar("_Item")

_BATCH = 16
_SAME_CELL_OVERLAP = 0.5


@dataclass(frozen=True)
class FoundCell:
    """One white cell in the pixels of the normalised image.

    Attributes:
        x_px: centroid of the cell region.
        y_px: centroid of the cell region.
        bbox_px: x0, y0, x1, y1 of the cell region, end exclusive.
        mask: uint8, shape of the bounding box: 0 not this cell, 1 cytoplasm, 2 nucleus.
        shape: what was measured on it.
        kind: class of highest probability.
        probabilities: calibrated, one per kind.
        identified: whether the highest probability reaches the confidence threshold.
        cut: whether the cell may continue beyond the image's border.
        score: the scout's, 0 to 1.
        thumbnail: uint8 (THUMBNAIL_PX, THUMBNAIL_PX) around the centroid.
        thumbnail_mask: its mask 0/1/2, same shape.
    """

    x_px: float
    y_px: float
    bbox_px: tuple[int, int, int, int]
    mask: NDArray[np.uint8]
    shape: CellShape
    kind: CellKind
    probabilities: Mapping[CellKind, float]
    identified: bool
    cut: bool
    score: float
    thumbnail: Image
    thumbnail_mask: NDArray[np.uint8]


@dataclass(frozen=True)
class _Outline:
    """An accepted candidate before it is classified; image pixels."""

    x_px: float
    y_px: float
    bbox_px: tuple[int, int, int, int]
    mask: NDArray[np.uint8]
    shape: CellShape
    score: float


class CellFinder:
    """Runs the two crop networks over the scout's candidates.  One per worker thread."""

    def __init__(self, models: ModelSet, config: AnalysisConfig) -> None:
        self._models = models
        self._config = config
        self._min_confidence = config.min_confidence or models.classifier.threshold

    def find(self, image: Image, nuclei: NDArray[np.float32]) -> list[FoundCell]:
        """Outline and name the cells at the scout's candidates, those the border cuts too.

        Args:
            image: normalised, (h, w), at the networks' pixel size.
            nuclei: columns x, y, score, highest score first; (N, 3).
        """
        # No find needs less than this, so fainter ones are not worth the two networks.
        candidates = [
            (float(x), float(y), float(score))
            for x, y, score in nuclei
            if score >= self._config.min_cell_score
        ]
        outlines: list[_Outline] = []
        for batch in _batches(candidates):
            for outline in self._outline(image, batch):
                if not _is_known(outline, outlines):
                    outlines.append(outline)
        named = (cell for batch in _batches(outlines) for cell in self._name(image, batch))
        return [cell for cell in named if cell.score >= self._needed_score(cell)]

    def _needed_score(self, cell: FoundCell) -> float:
        """Return the scout's score that a find needs: more, the less it looks like a white cell.

        The classifier calls ``other`` what the scout mistook for a cell, and also nucleated cells
        of further kinds, which the scout sees clearly.
        """
        doubt = cell.probabilities[CellKind.OTHER] + cell.shape.like_red_cells
        low, high = self._config.min_cell_score, self._config.min_doubtful_score
        return low + doubt * (high - low)

    def _outline(
        self, image: Image, points: Sequence[tuple[float, float, float]]
    ) -> Iterator[_Outline]:
        size = self._models.segmenter.crop_px
        crops = np.stack([cut(image, x, y, size) for x, y, _ in points])
        probabilities = self._models.segmenter.segment(crops)
        for (x, y, score), crop, probability in zip(points, crops, probabilities, strict=True):
            visible = inside(image.shape, x, y, size)
            shape = central_cell(probability, crop, visible, self._models.pixel_um)
            if isinstance(shape, Rejection):
                log.debug("no cell at (%.0f, %.0f) px: %s", x, y, shape)
                continue
            x0, y0 = corner(x, size), corner(y, size)
            left, top, right, bottom = shape.bbox_px
            yield _Outline(
                x_px=x0 + shape.x_px,
                y_px=y0 + shape.y_px,
                bbox_px=(x0 + left, y0 + top, x0 + right, y0 + bottom),
                mask=shape.mask[top:bottom, left:right],
                shape=shape,
                score=score,
            )

    def _name(self, image: Image, outlines: Sequence[_Outline]) -> Iterator[FoundCell]:
        classifier = self._models.classifier
        size = classifier.crop_px
        crops = np.stack([cut(image, cell.x_px, cell.y_px, size) for cell in outlines])
        masks = np.stack([_mask_around(cell, size) for cell in outlines])
        for cell, row in zip(outlines, classifier.classify(crops, masks), strict=True):
            probabilities = reconsider_dead(
                dict(zip(classifier.classes, row.tolist(), strict=True)),
                cell.shape,
                self._models.pixel_um,
            )
            kind = max(probabilities, key=lambda name: probabilities[name])
            yield FoundCell(
                x_px=cell.x_px,
                y_px=cell.y_px,
                bbox_px=cell.bbox_px,
                mask=cell.mask,
                shape=cell.shape,
                kind=kind,
                probabilities=probabilities,
                identified=probabilities[kind] >= self._min_confidence,
                cut=touches_border(cell.bbox_px, image.shape),
                score=cell.score,
                thumbnail=cut(image, cell.x_px, cell.y_px, THUMBNAIL_PX),
                thumbnail_mask=_mask_around(cell, THUMBNAIL_PX),
            )


def _batches(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]


def _mask_around(cell: _Outline, size_px: int) -> NDArray[np.uint8]:
    x0, y0 = cell.bbox_px[:2]
    return cut(cell.mask, cell.x_px - x0, cell.y_px - y0, size_px, outside=0)


def _is_known(cell: _Outline, known: Sequence[_Outline]) -> bool:
    """Return whether a cell found from a better candidate covers most of this one."""
    return any(
        _overlap_px(cell, other) > _SAME_CELL_OVERLAP * min(cell.shape.area_px, other.shape.area_px)
        for other in known
    )


def _overlap_px(one: _Outline, other: _Outline) -> int:
    x0, y0 = (max(a, b) for a, b in zip(one.bbox_px[:2], other.bbox_px[:2], strict=True))
    x1, y1 = (min(a, b) for a, b in zip(one.bbox_px[2:], other.bbox_px[2:], strict=True))
    if x0 >= x1 or y0 >= y1:
        return 0
    windows = (
        cell.mask[
            y0 - cell.bbox_px[1] : y1 - cell.bbox_px[1],
            x0 - cell.bbox_px[0] : x1 - cell.bbox_px[0],
        ]
        > 0
        for cell in (one, other)
    )
    first, second = windows
    return int(np.count_nonzero(first & second))
