"""The mathematics of focusing: contrast of an image, and the peak of a stack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

MIN_RISE = 0.05
"""A stack whose contrast rises less than this share above its least shows an empty field."""

BLOCKS = 4
"""Rows and columns into which a field is divided to find its focus."""

MIN_BLOCKS = 3
"""If fewer blocks show anything, it may be a speck of dust."""

MIN_FALL = 0.03
"""A peak falls by at least this share on both sides; less is an error of a stage step."""


def _float(image: NDArray[np.generic]) -> NDArray[np.float32]:
    return np.asarray(image, np.float32)


def _smooth(pixels: NDArray[np.generic]) -> NDArray[np.float32]:
    return _float(cv2.GaussianBlur(_float(pixels), (0, 0), 1.0))


def _gradient_energy(image: NDArray[np.float32]) -> float:
    gx = cv2.Sobel(image, cv2.CV_32F, 1, 0)
    gy = cv2.Sobel(image, cv2.CV_32F, 0, 1)
    return float(cv2.norm(gx, cv2.NORM_L2SQR) + cv2.norm(gy, cv2.NORM_L2SQR)) / image.size


def contrasts(pixels: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return the focus measure of each of 4 x 4 blocks of an image: Tenengrad over squared mean.

    Mean squared Sobel gradient (Tenengrad; Krotkov, Int. J. Computer Vision 1, 1987) of the image
    smoothed with sigma 1 px against noise, divided by the squared mean of the whole image against
    lamp drift.  Only values of the same place can be compared.

    Args:
        pixels: (height, width), any real dtype.

    Returns:
        float64 (16,).
    """
    image = _smooth(pixels)
    gx = cv2.Sobel(image, cv2.CV_32F, 1, 0)
    gy = cv2.Sobel(image, cv2.CV_32F, 0, 1)
    energy = cv2.resize(gx * gx + gy * gy, (BLOCKS, BLOCKS), interpolation=cv2.INTER_AREA)
    return energy.ravel().astype(np.float64) / max(float(image.mean()) ** 2, 1e-12)


def contrast(pixels: NDArray[np.generic]) -> float:
    """Return the mean of :func:`contrasts`."""
    return float(contrasts(pixels).mean())


def sharpness(pixels: NDArray[np.generic]) -> float:
    """Return fine over coarse detail, so that fields of different content compare.

    Mean squared Laplacian at half resolution over mean squared gradient at an eighth: more cells
    raise both alike, defocus lowers only the former.

    Args:
        pixels: (height, width), any real dtype.
    """
    image = _float(pixels)
    half = _smooth(cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    eighth = _float(cv2.resize(image, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA))
    fine = cv2.norm(cv2.Laplacian(half, cv2.CV_32F), cv2.NORM_L2SQR) / half.size
    return float(fine) / max(_gradient_energy(eighth), 1e-12)


class Miss(Enum):
    """Why a stack has no peak."""

    BELOW = auto()
    """The contrast still rises towards the lower end."""
    ABOVE = auto()
    """The contrast still rises towards the upper end."""
    EMPTY = auto()
    """Nothing to focus on."""


@dataclass(frozen=True)
class Peak:
    """Best focus of a stack, in the stage frame."""

    z_um: float


def find_peak(z_um: Sequence[float], contrasts: ArrayLike) -> Peak | Miss:
    """Find the best focus of a stack of at least 3 ascending positions.

    The vertex of the parabola through the largest value and its neighbours.  A stack whose
    largest value is less than :data:`MIN_RISE` above its least is empty; if the values do not
    fall by :data:`MIN_FALL` from the largest to one end, the peak may lie beyond that end.
    """
    values = np.asarray(contrasts, float)
    best = int(values.argmax())
    if values[best] < (1.0 + MIN_RISE) * values.min():
        return Miss.EMPTY
    fallen = (1.0 - MIN_FALL) * values[best]
    if not (values[:best] <= fallen).any():
        return Miss.BELOW
    if not (values[best:] <= fallen).any():
        return Miss.ABOVE
    return _vertex(np.asarray(z_um[best - 1 : best + 2], float), values[best - 1 : best + 2])


def _vertex(z_um: NDArray[np.float64], values: NDArray[np.float64]) -> Peak:
    centre_um = z_um[1]
    a, b, _ = np.polyfit(z_um - centre_um, values, 2)
    if a >= 0.0:
        return Peak(float(centre_um))
    shift_um = float(np.clip(-b / (2.0 * a), z_um[0] - centre_um, z_um[2] - centre_um))
    return Peak(float(centre_um) + shift_um)


def find_common_peak(z_um: Sequence[float], blocks: Sequence[NDArray[np.float64]]) -> Peak | Miss:
    """Find the best focus on which the blocks of a field agree: the median of their peaks.

    A speck of dust outshines all cells of a field and lies in a plane of its own; it moves the peak
    of the whole field by half a micrometre, but only that of its own block.

    Args:
        z_um: at least 3 ascending positions.
        blocks: :func:`contrasts` at each of them.
    """
    found = [find_peak(z_um, block) for block in np.stack(blocks, axis=1)]
    seen = [outcome for outcome in found if outcome is not Miss.EMPTY]
    if len(seen) < MIN_BLOCKS:
        return Miss.EMPTY
    peaks_um = [outcome.z_um for outcome in seen if isinstance(outcome, Peak)]
    if 2 * len(peaks_um) >= len(seen):
        return Peak(float(np.median(peaks_um)))
    below, above = seen.count(Miss.BELOW), seen.count(Miss.ABOVE)
    return Miss.BELOW if below > above else Miss.ABOVE


@dataclass(frozen=True)
class FocusPoint:
    """Measured best focus at one place of the stage frame."""

    x_um: float
    y_um: float
    z_um: float
