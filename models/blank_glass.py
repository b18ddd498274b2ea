"""How bright blank glass is in an image: the level that the networks' images are brought to."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_HISTOGRAM_BINS = 320
_HISTOGRAM_TOP = 1.6
_MIN_PEAK_SHARE = 0.04
_MIN_PEAK_HEIGHT = 0.2
_MAX_DRIFT = 0.15


def blank_transmission(transmission: NDArray[np.float32]) -> float:
    """Return the apparent transmission of blank glass in an image: 1 without drift of the light.

    1 also where too little blank glass is visible or the drift would be larger than 15 %, since
    then the peak is more likely a carpet of cells.

    Args:
        transmission: float32 (h, w), the image over its background.
    """
    level = bright_mode(transmission, _HISTOGRAM_TOP)
    return level if level is not None and abs(level - 1.0) <= _MAX_DRIFT else 1.0


def bright_mode(values: NDArray[np.float32], top: float) -> float | None:
    """Return the brightest clear peak of the histogram of ``values`` between 0 and ``top``.

    None when no peak holds at least 4 % of the values.
    """
    found = cv2.calcHist([values], [0], None, [_HISTOGRAM_BINS], [0.0, top]).ravel()
    smooth = np.convolve(found, np.array([1, 2, 3, 2, 1]) / 9.0, mode="same")
    inner = smooth[1:-1]
    peaks = 1 + np.flatnonzero(
        (inner >= smooth[:-2]) & (inner > smooth[2:]) & (inner >= _MIN_PEAK_HEIGHT * smooth.max())
    )
    for peak in peaks[::-1]:
        around = np.arange(max(0, peak - 3), min(_HISTOGRAM_BINS, peak + 4))
        weight = found[around]
        if weight.sum() >= _MIN_PEAK_SHARE * values.size:
            centre = float((around * weight).sum() / weight.sum())
            return (centre + 0.5) * top / _HISTOGRAM_BINS
    return None
