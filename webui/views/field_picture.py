"""The picture of the latest field with a box around every white cell."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from device.analysis.quality import PREVIEW_STEP
from device.analysis.tile_analyzer import TileAnalysis
from webui.views.boxes import Box, draw
from webui.views.result import group_of

_SCALE: Final = 2


def field_picture_png(analysis: TileAnalysis) -> bytes:
    """Return the preview as PNG, twice its size, boxed and named where cells were found.

    Args:
        analysis: of one tile; its cells are in pixels of the whole picture.
    """
    size = (analysis.preview.shape[1] * _SCALE, analysis.preview.shape[0] * _SCALE)
    enlarged = cv2.resize(analysis.preview, size, interpolation=cv2.INTER_CUBIC)
    picture = cv2.cvtColor(enlarged, cv2.COLOR_GRAY2BGR).astype(np.uint8)
    scale = _SCALE / PREVIEW_STEP
    boxes = []
    for cell in analysis.cells:
        x0, y0, x1, y1 = (side * scale for side in cell.bbox_px)
        boxes.append(Box((x0, y0, x1, y1), group_of(cell)))
    draw(picture, boxes)
    return bytes(cv2.imencode(".png", picture)[1])
