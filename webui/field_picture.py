"""The picture of the latest field with a box around every white cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from device.analysis.tile_analyzer import TileAnalysis
from device.cell import Cell, CellKind
from webui.catalogue import label

UNIDENTIFIED_BGR: Final = (113, 105, 91)
# As in screen.css.
KIND_BGR: Final[Mapping[CellKind, tuple[int, int, int]]] = {
    CellKind.NEUTROPHIL: (184, 95, 43),
    CellKind.EOSINOPHIL: (44, 69, 194),
    CellKind.BASOPHIL: (144, 51, 106),
    CellKind.LYMPHOCYTE: (90, 121, 22),
    CellKind.MONOCYTE: (8, 106, 165),
    CellKind.DEAD: (128, 119, 106),
    CellKind.OTHER: (68, 61, 51),
}
_SCALE: Final = 2
_MARGIN: Final = 4
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
_FONT_SCALE: Final = 0.8
_Rectangle: TypeAlias = tuple[int, int, int, int]


def field_picture_png(analysis: TileAnalysis, tile_width_px: int) -> bytes:
    """Return the preview as PNG, twice its size, boxed and named where cells were found.

    Args:
        analysis: of one tile; its cells are in pixels of the whole tile.
        tile_width_px: width of the whole tile.
    """
    size = (analysis.preview.shape[1] * _SCALE, analysis.preview.shape[0] * _SCALE)
    enlarged = cv2.resize(analysis.preview, size, interpolation=cv2.INTER_CUBIC)
    picture = cv2.cvtColor(enlarged, cv2.COLOR_GRAY2BGR).astype(np.uint8)
    scale = size[0] / tile_width_px
    boxes = [_box(cell, scale) for cell in analysis.cells]
    for cell, (left, top, right, bottom) in zip(analysis.cells, boxes, strict=True):
        cv2.rectangle(picture, (left, top), (right, bottom), _colour(cell), 3)
    named: list[_Rectangle] = []
    for cell, box in zip(analysis.cells, boxes, strict=True):
        named.append(_name(picture, cell, box, [*boxes, *named]))
    return bytes(cv2.imencode(".png", picture)[1])


def _box(cell: Cell, scale: float) -> _Rectangle:
    left, top, right, bottom = (round(side * scale) for side in cell.bbox_px)
    return left - _MARGIN, top - _MARGIN, right + _MARGIN, bottom + _MARGIN


def _name(
    picture: NDArray[np.uint8], cell: Cell, box: _Rectangle, taken: list[_Rectangle]
) -> _Rectangle:
    """Write the name above the box, or below where that is taken; return the place it takes."""
    name = label("kind_short", cell.kind.value if cell.identified else "unidentified")
    (width, height), _ = cv2.getTextSize(name, _FONT, _FONT_SCALE, 2)
    width, height = width + 8, height + 10
    left = max(0, min(box[0], picture.shape[1] - width))
    above = (left, box[1] - height, left + width, box[1] - 1)
    below = (left, box[3] + 1, left + width, box[3] + height)
    free = above[1] >= 0 and not any(_overlap(above, other) for other in taken)
    place = above if free else below
    cv2.rectangle(picture, place[:2], place[2:], _colour(cell), -1)
    at = (place[0] + 4, place[3] - 6)
    cv2.putText(picture, name, at, _FONT, _FONT_SCALE, (255, 255, 255), 2, cv2.LINE_AA)
    return place


def _overlap(one: _Rectangle, other: _Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _colour(cell: Cell) -> tuple[int, int, int]:
    return KIND_BGR[cell.kind] if cell.identified else UNIDENTIFIED_BGR
