"""How far two overlapping tiles lie from where the stage says: correlation of what both show."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from device.analysis.flatfield import Image

_MIN_TEMPLATE_PX = 6
_MIN_CONTRAST = 4.0
_MIN_CORRELATION = 0.6


def measure_shift_px(
    fixed: Image, moving: Image, expected_px: tuple[float, float], search_px: int
) -> tuple[float, float] | None:
    """Return where the moving image really lies minus where it was expected, x and y.

    The normalised cross-correlation of the common strip is searched around the expected place and
    its peak refined by a parabola in each direction.

    Args:
        fixed: one image, (h, w).
        moving: the other, of the same scale.
        expected_px: x and y of the moving image's corner in the fixed image.
        search_px: largest deviation looked for, along each axis.

    Returns:
        The deviation in pixels, or None where the strip is too narrow, too empty, or unlike.
    """
    offset_x, offset_y = round(expected_px[0]), round(expected_px[1])
    # The template must stay inside the fixed image wherever the search moves it.
    left, right = _common(fixed.shape[1], moving.shape[1], offset_x, search_px)
    top, bottom = _common(fixed.shape[0], moving.shape[0], offset_y, search_px)
    if right - left < _MIN_TEMPLATE_PX or bottom - top < _MIN_TEMPLATE_PX:
        return None
    template = moving[top:bottom, left:right]
    if template.std() < _MIN_CONTRAST:
        return None
    x0, y0 = left + offset_x - search_px, top + offset_y - search_px
    window = fixed[
        y0 : bottom + offset_y + search_px,
        x0 : right + offset_x + search_px,
    ]
    score = np.asarray(cv2.matchTemplate(window, template, cv2.TM_CCOEFF_NORMED), dtype=np.float32)
    _, best, _, (column, row) = cv2.minMaxLoc(score)
    if best < _MIN_CORRELATION or _at_edge(column, row, score.shape):
        return None
    found_x = offset_x - search_px + column + _vertex(score[row, column - 1 : column + 2])
    found_y = offset_y - search_px + row + _vertex(score[row - 1 : row + 2, column])
    return found_x - expected_px[0], found_y - expected_px[1]


def _common(fixed: int, moving: int, offset: int, search: int) -> tuple[int, int]:
    """Return start and end, in the moving image, of what stays inside the fixed one, one axis."""
    return max(0, search - offset), min(moving, fixed - offset - search)


def _at_edge(column: int, row: int, shape: tuple[int, ...]) -> bool:
    return column in (0, shape[1] - 1) or row in (0, shape[0] - 1)


def _vertex(values: NDArray[np.float32]) -> float:
    """Return where the parabola through three equidistant values peaks, from the middle one."""
    before, middle, after = (float(value) for value in values)
    bend = before - 2.0 * middle + after
    return 0.5 * (before - after) / bend if bend < 0 else 0.0
