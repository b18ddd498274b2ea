"""Structural similarity of two pictures, on one scale and on five."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

Float64Array = NDArray[np.float64]

WINDOW_PX = 11
WINDOW_SIGMA_PX = 1.5
K1, K2 = 0.01, 0.03
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
LEAST_PX = WINDOW_PX * 2 ** (len(SCALE_WEIGHTS) - 1)


def _windowed(image: Float64Array) -> Float64Array:
    """Return the Gaussian mean of every window that lies wholly inside the image."""
    mean = cv2.GaussianBlur(
        image, (WINDOW_PX, WINDOW_PX), WINDOW_SIGMA_PX, borderType=cv2.BORDER_REFLECT_101
    )
    border = WINDOW_PX // 2
    return np.asarray(mean[border:-border, border:-border], np.float64)


def _terms(first: Float64Array, second: Float64Array, data_range: float) -> tuple[float, float]:
    """Return the mean similarity and the mean of its contrast-and-structure part."""
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    mean_1, mean_2 = _windowed(first), _windowed(second)
    variance_1 = _windowed(first * first) - mean_1**2
    variance_2 = _windowed(second * second) - mean_2**2
    covariance = _windowed(first * second) - mean_1 * mean_2
    structure = (2 * covariance + c2) / (variance_1 + variance_2 + c2)
    luminance = (2 * mean_1 * mean_2 + c1) / (mean_1**2 + mean_2**2 + c1)
    return float((luminance * structure).mean()), float(structure.mean())


def ssim_and_ms_ssim(
    first: NDArray[np.generic], second: NDArray[np.generic], data_range: float = 255.0
) -> tuple[float, float]:
    """Return the structural similarity of two planes on one scale and on five.

    One scale: the mean over the image (Wang et al., IEEE TIP 2004); Gaussian window of 11 px and
    1.5 px standard deviation, K1 = 0.01, K2 = 0.03, population covariances, windows wholly inside
    the image.  Five scales (Wang et al., Asilomar 2003): halved by 2x2 means, weights of the
    paper; a negative structure term counts as zero.

    Args:
        first: (h, w), at least 176 px.
        second: (h, w).
        data_range: difference of the largest and the least possible value.

    Raises:
        ValueError: the planes differ in shape or are too small.
    """
    if first.shape != second.shape or first.ndim != 2 or min(first.shape) < LEAST_PX:
        raise ValueError(
            f"expected two planes of one shape, at least {LEAST_PX} px,"
            f" not {first.shape} and {second.shape}"
        )
    one, two = first.astype(np.float64), second.astype(np.float64)
    terms = []
    for _ in SCALE_WEIGHTS:
        terms.append(_terms(one, two, data_range))
        one, two = _halved(one), _halved(two)
    factors = [max(structure, 0.0) for _, structure in terms[:-1]] + [max(terms[-1][0], 0.0)]
    product = math.prod(f**weight for f, weight in zip(factors, SCALE_WEIGHTS, strict=True))
    return terms[0][0], product


def _halved(image: Float64Array) -> Float64Array:
    height, width = (side // 2 for side in image.shape)
    even = image[: 2 * height, : 2 * width]
    return np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.float64)
