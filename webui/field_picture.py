"""The picture of the latest field with a box around every white cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

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
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
_FONT_SCALE: Final = 0.8


def field_picture_png(analysis: TileAnalysis, tile_width_px: int) -> bytes:
    """Return the preview as PNG, twice its size, boxed and named where cells were found.

    Args:
        analysis: of one tile; its cells are in pixels of the whole tile.
        tile_width_px: width of the whole tile.
    """
    size = (analysis.preview.shape[1] * _SCALE, analysis.preview.shape[0] * _SCALE)
    enlarged = cv2.resize(analysis.preview, size, interpolation=cv2.INTER_CUBIC)
    picture = cv2.cvtColor(enlarged, cv2.COLOR_GRAY2BGR).astype(np.uint8)
    for cell in analysis.cells:
        _box(picture, cell, size[0] / tile_width_px)
    return bytes(cv2.imencode(".png", picture)[1])


def _box(picture: NDArray[np.uint8], cell: Cell, scale: float) -> None:
    colour = KIND_BGR[cell.kind] if cell.identified else UNIDENTIFIED_BGR
    name = label("kind_short", cell.kind.value if cell.identified else "unidentified")
    left, top, right, bottom = (round(side * scale) for side in cell.bbox_px)
    cv2.rectangle(picture, (left - 4, top - 4), (right + 4, bottom + 4), colour, 3)
    (width, height), _ = cv2.getTextSize(name, _FONT, _FONT_SCALE, 2)
    x = max(0, min(left - 4, picture.shape[1] - width - 8))
    y = top - 6 if top - 6 > height + 8 else bottom + height + 14
    cv2.rectangle(picture, (x, y - height - 6), (x + width + 8, y + 4), colour, -1)
    cv2.putText(picture, name, (x + 4, y - 2), _FONT, _FONT_SCALE, (255, 255, 255), 2, cv2.LINE_AA)
