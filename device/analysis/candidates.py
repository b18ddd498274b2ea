"""From places where the scout saw a nucleus to crops for the networks."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from device.analysis.flatfield import Image
from models.layout import BLANK_LEVEL


def corner(centre_px: float, size_px: int) -> int:
    """Return where a crop of ``size_px`` around ``centre_px`` starts, along one axis."""
    return math.floor(centre_px + 0.5) - size_px // 2


def cut(image: Image, x_px: float, y_px: float, size_px: int, outside: int = BLANK_LEVEL) -> Image:
    """Return the square of ``size_px`` around a point; what lies beyond the image is ``outside``.

    The pixel at (x_px, y_px), rounded, comes to lie at (size_px // 2, size_px // 2).
    """
    x0, y0 = corner(x_px, size_px), corner(y_px, size_px)
    crop: Image = np.full((size_px, size_px), outside, np.uint8)
    height, width = image.shape
    left, right = max(0, x0), min(width, x0 + size_px)
    top, bottom = max(0, y0), min(height, y0 + size_px)
    if left < right and top < bottom:
        crop[top - y0 : bottom - y0, left - x0 : right - x0] = image[top:bottom, left:right]
    return crop


def inside(shape: tuple[int, int], x_px: float, y_px: float, size_px: int) -> NDArray[np.uint8]:
    """Return 1 where the crop of :func:`cut` shows the image of ``shape`` and 0 beyond it."""
    x0, y0 = corner(x_px, size_px), corner(y_px, size_px)
    rows, columns = np.arange(y0, y0 + size_px), np.arange(x0, x0 + size_px)
    in_rows = (rows >= 0) & (rows < shape[0])
    in_columns = (columns >= 0) & (columns < shape[1])
    return np.outer(in_rows, in_columns).astype(np.uint8)


def touches_border(bbox_px: tuple[int, int, int, int], shape: tuple[int, int]) -> bool:
    """Return whether a region may continue beyond the image: it comes within one pixel of its edge.

    Args:
        bbox_px: x0, y0, x1, y1, end exclusive.
        shape: height and width of the image.
    """
    x0, y0, x1, y1 = bbox_px
    return x0 <= 1 or y0 <= 1 or x1 >= shape[1] - 1 or y1 >= shape[0] - 1
