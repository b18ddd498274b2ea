"""How far two overlapping tiles lie from where the stage says: correlation of what both show."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from device.analysis.flatfield import Image

MIN_CORRELATION: Final = 0.8
"""Of the whole overlap after refinement.  Neighbours of a simulated smear reach 0.99; 4 of 3,073
pairs of tiles with nothing in common passed all the same: the fit of all positions must bear it."""

_FIRST_CORRELATION: Final = 0.6
"""Of the strip that is searched for, which lies up to half a pixel off."""

_MIN_TEMPLATE_PX: Final = 6
_MIN_CONTRAST: Final = 4.0
_MAX_SIGMA_PX: Final = 0.5
_SIGMA_OF_NOISE: Final = 10.0
"""Standard error over that of uncorrelated noise, measured on 216 links of simulated scans: what
tiles differ by (focus, noise through interpolation, optics) is alike over many pixels."""
_LEAST_SIGMA_PX: Final = 0.01
"""Of images that differ in nothing."""

_ROUNDS: Final = 6
_STEP_PX: Final = 0.01
"""A round that moves the image less than this is the last one."""

_BORDER_PX: Final = 2
"""What interpolation needs around the overlap."""

_Vector = NDArray[np.float64]
_Corner = tuple[float, float]


@dataclass(frozen=True)
class Shift:
    """Where one image lies against another.

    Attributes:
        x_px: where the image really lies minus where it was expected.
        y_px: the same along y.
        correlation: of what both show, -1 to 1.
        sigma_px: standard error along the direction that is known least: large where only the
            edge of one object lies in the overlap.
    """

    x_px: float
    y_px: float
    correlation: float
    sigma_px: float


def measure_shift(
    fixed: Image, moving: Image, expected_px: _Corner, search_px: int
) -> Shift | None:
    """Return where the moving image lies against its expected place.

    The normalised cross-correlation of a strip that both show is searched around the expected
    place, then around places next to it, so that up to twice ``search_px`` is found.  The peak is
    refined over the whole overlap by least squares on the gray levels (Lucas and Kanade, IJCAI
    1981), with a free offset and contrast.

    Args:
        fixed: one image, (h, w).
        moving: the other, of the same scale.
        expected_px: x and y of the moving image's corner in the fixed image.
        search_px: largest deviation looked for at first, along each axis.

    Returns:
        The shift, or None where the overlap is too narrow, too empty, unlike, or shows structure
        in one direction only.
    """
    corner = _search(fixed, moving, expected_px, search_px)
    if corner is None:
        around = (-search_px, 0, search_px)
        places = [
            _search(fixed, moving, (expected_px[0] + x, expected_px[1] + y), search_px)
            for x, y in product(around, around)
            if (x, y) != (0, 0)
        ]
        refined = [_refine(fixed, moving, place) for place in places if place is not None]
    else:
        refined = [_refine(fixed, moving, corner)]
    good = [shift for shift in refined if shift is not None]
    if not good:
        return None
    best = max(good, key=lambda shift: shift.correlation)
    return Shift(
        best.x_px - expected_px[0], best.y_px - expected_px[1], best.correlation, best.sigma_px
    )


def _search(fixed: Image, moving: Image, expected_px: _Corner, search_px: int) -> _Corner | None:
    """Return the moving image's corner in the fixed image, to about a pixel."""
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
    if best < _FIRST_CORRELATION or _at_edge(column, row, score.shape):
        return None
    return offset_x - search_px + column, offset_y - search_px + row


def _common(fixed: int, moving: int, offset: int, search: int) -> tuple[int, int]:
    """Return start and end, in the moving image, of what stays inside the fixed one, one axis."""
    return max(0, search - offset), min(moving, fixed - offset - search)


def _at_edge(column: int, row: int, shape: tuple[int, ...]) -> bool:
    return column in (0, shape[1] - 1) or row in (0, shape[0] - 1)


def _refine(fixed: Image, moving: Image, corner: _Corner) -> Shift | None:
    """Return the corner of the moving image in the fixed one, as a shift from (0, 0)."""
    place = np.array(corner, dtype=np.float64)
    for _ in range(_ROUNDS):
        pair = _overlap(fixed, moving, place)
        if pair is None:
            return None
        step, correlation, sigma_px = _step(*pair)
        if sigma_px > _MAX_SIGMA_PX or np.hypot(*(place + step - corner)) > 2.0:
            return None
        place += step
        if np.hypot(*step) < _STEP_PX:
            break
    if correlation < MIN_CORRELATION:
        return None
    return Shift(float(place[0]), float(place[1]), correlation, sigma_px)


def _overlap(
    fixed: Image, moving: Image, corner: _Vector
) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """Return what both images show if the moving one lies at ``corner``, at its pixels."""
    x, y = corner
    left = max(0, math.ceil(-x)) + _BORDER_PX
    top = max(0, math.ceil(-y)) + _BORDER_PX
    right = min(moving.shape[1], math.floor(fixed.shape[1] - x)) - _BORDER_PX
    bottom = min(moving.shape[0], math.floor(fixed.shape[0] - y)) - _BORDER_PX
    if right - left < _MIN_TEMPLATE_PX or bottom - top < _MIN_TEMPLATE_PX:
        return None
    moved = np.array([[1.0, 0.0, left + x], [0.0, 1.0, top + y]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    shown = cv2.warpAffine(fixed, moved, (right - left, bottom - top), flags=flags)
    return shown.astype(np.float32), moving[top:bottom, left:right].astype(np.float32)


def _step(fixed: NDArray[np.float32], moving: NDArray[np.float32]) -> tuple[_Vector, float, float]:
    """Return one step of the least-squares fit, the correlation, and the standard error."""
    fixed, moving = fixed - fixed.mean(), moving - moving.mean()
    energy = math.sqrt(float(np.vdot(fixed, fixed)) * float(np.vdot(moving, moving)))
    if energy == 0.0:
        return np.zeros(2), 0.0, math.inf
    correlation = float(np.vdot(fixed, moving)) / energy
    mean = fixed + moving
    # Scharr's weights sum to 32 for a ramp of 2 pixels; ``mean`` is twice the mean image.
    across = cv2.Scharr(mean, cv2.CV_32F, 1, 0, scale=1.0 / 64.0)
    down = cv2.Scharr(mean, cv2.CV_32F, 0, 1, scale=1.0 / 64.0)
    slopes = np.stack([across[1:-1, 1:-1].ravel(), down[1:-1, 1:-1].ravel()])
    difference = (moving - fixed)[1:-1, 1:-1].ravel()
    normal = (slopes @ slopes.T).astype(np.float64)
    weakest, strongest = np.linalg.eigvalsh(normal)
    if weakest <= 1e-6 * strongest:
        return np.zeros(2), correlation, math.inf
    step = np.asarray(np.linalg.solve(normal, (slopes @ difference)), dtype=np.float64)
    left_over = difference - step.astype(np.float32) @ slopes
    variance = float(np.vdot(left_over, left_over)) / len(left_over)
    sigma_px = _SIGMA_OF_NOISE * math.sqrt(variance / float(weakest))
    return step, correlation, max(_LEAST_SIGMA_PX, sigma_px)
