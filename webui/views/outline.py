"""Outlines of a cell and its nucleus as polygons for the screen."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

NUCLEUS = 2


@dataclass(frozen=True)
class Outlines:
    """Polygons in pixels of the picture, as the ``points`` attribute of SVG wants them."""

    cell: tuple[str, ...]
    nucleus: tuple[str, ...]


def outlines(mask_png: bytes) -> Outlines:
    """Return the outlines in a mask picture (0 background, 1 cytoplasm, 2 nucleus).

    Raises:
        ValueError: ``mask_png`` is not a PNG picture.
    """
    mask = cv2.imdecode(np.frombuffer(mask_png, np.uint8), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise ValueError("not a PNG picture")
    return Outlines(cell=_polygons(mask > 0), nucleus=_polygons(mask == NUCLEUS))


def _polygons(region: NDArray[np.bool_]) -> tuple[str, ...]:
    contours, _ = cv2.findContours(
        region.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_TC89_L1
    )
    # The centre of a pixel is half a pixel from the corner the picture's coordinates start at.
    return tuple(
        " ".join(f"{x + 0.5:g},{y + 0.5:g}" for x, y in contour.reshape(-1, 2))
        for contour in contours
        if len(contour) > 2
    )
