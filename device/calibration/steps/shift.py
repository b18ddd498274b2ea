"""How far the image moved between two frames, to a fraction of a pixel."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

MIN_RESPONSE = 0.3
"""Height of the correlation peak: above 1 for a field with cells, 0.1 for blank glass."""

_SMOOTH_PX = 1.5
_BACKGROUND_PX = 20.0
_REFINED_PX = 1.0
"""The overlap is cut to whole pixels; a shift in it up to this needs no new cut."""

_REFINEMENTS = 4
_MIN_OVERLAP_PX = 48

Structure = NDArray[np.float32]


def structure(pixels: NDArray[np.generic]) -> Structure:
    """Keep what moves with the slide: neither noise nor the pattern of lamp and optics."""
    image = np.asarray(pixels, np.float32)
    fine = cv2.GaussianBlur(image, (0, 0), _SMOOTH_PX)
    coarse = cv2.GaussianBlur(image, (0, 0), _BACKGROUND_PX)
    return np.asarray(fine / np.maximum(coarse, 1.0) - 1.0, np.float32)


def shift_px(fixed: Structure, moving: Structure) -> tuple[float, float] | None:
    """Return by how much ``moving`` shows the same farther right and down; None when it does not.

    Phase correlation (Kuglin and Hines, Proc. Int. Conf. Cybernetics and Society, 1975) under a
    Hann window, so the shift must be small against the frame.
    """
    height, width = (_even_size(length) for length in fixed.shape)
    top, left = (fixed.shape[0] - height) // 2, (fixed.shape[1] - width) // 2
    first, second = (
        np.ascontiguousarray(image[top : top + height, left : left + width])
        for image in (fixed, moving)
    )
    window = cv2.createHanningWindow((width, height), cv2.CV_32F)
    (dx, dy), response = cv2.phaseCorrelate(first, second, window)
    return (float(dx), float(dy)) if response >= MIN_RESPONSE else None


def _even_size(length: int) -> int:
    """Return the largest even length not above ``length`` that needs no padding.

    OpenCV pads to such a length, and if that is odd the peak is half a pixel off.
    """
    while length % 2 or cv2.getOptimalDFTSize(length) != length:
        length -= 1
    return length


def large_shift_px(
    fixed: Structure, moving: Structure, guess_px: tuple[float, float] = (0.0, 0.0)
) -> tuple[float, float] | None:
    """Return the shift between two frames that overlap in part.

    What both show by ``guess_px`` is cut out and correlated, again until that is the same to the
    pixel: a window around the middle of the frames would see less and less of it.
    """
    whole = (round(guess_px[0]), round(guess_px[1]))
    for _ in range(_REFINEMENTS):
        parts = _overlap(fixed, moving, whole)
        rest = shift_px(*parts) if parts is not None else None
        if rest is None:
            return None
        found = (whole[0] + rest[0], whole[1] + rest[1])
        if max(abs(rest[0]), abs(rest[1])) <= _REFINED_PX:
            return found
        whole = (round(found[0]), round(found[1]))
    return None


def _overlap(
    fixed: Structure, moving: Structure, by: tuple[int, int]
) -> tuple[Structure, Structure] | None:
    """Return the parts of both that show the same when ``moving`` is shifted ``by``."""
    height, width = fixed.shape
    dx, dy = by
    if width - abs(dx) < _MIN_OVERLAP_PX or height - abs(dy) < _MIN_OVERLAP_PX:
        return None
    columns = slice(max(0, -dx), width - max(0, dx))
    rows = slice(max(0, -dy), height - max(0, dy))
    moved_columns = slice(max(0, dx), width - max(0, -dx))
    moved_rows = slice(max(0, dy), height - max(0, -dy))
    return (
        np.ascontiguousarray(fixed[rows, columns]),
        np.ascontiguousarray(moving[moved_rows, moved_columns]),
    )
