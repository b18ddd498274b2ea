"""Flat field: raw counts divided by an image of blank glass, drift of the light taken out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from hal.errors import InputError
from models.layout import BLANK_LEVEL

Image = NDArray[np.uint8]
"""Normalised image, (height, width): ``clip(round(T * BLANK_LEVEL), 0, 255)``."""

_MIN_BACKGROUND_SHARE = 0.02
_SAMPLE_STEP = 4
_HISTOGRAM_BINS = 320
_HISTOGRAM_TOP = 1.6
_MIN_PEAK_SHARE = 0.04
_MIN_PEAK_HEIGHT = 0.2
_MAX_DRIFT = 0.15


@dataclass(frozen=True, eq=False)
class Background:
    """An image of blank glass, the mean of several frames.

    Attributes:
        mean: raw counts, float32 (height, width).
        full_scale: largest count of the pixel format.
        dark_level: counts without light.

    Raises:
        InputError: so dark somewhere that dividing by it would only amplify noise.
    """

    mean: NDArray[np.float32]
    full_scale: int
    dark_level: float = 0.0

    def __post_init__(self) -> None:
        darkest = float(self.mean.min()) - self.dark_level
        if darkest < _MIN_BACKGROUND_SHARE * self.full_scale:
            raise InputError(
                f"The background image is too dark: {darkest:.0f} of {self.full_scale} counts "
                "above the dark level at its darkest place.",
                remedy="Take the background on blank glass, with the light on and in focus.",
            )

    @cached_property
    def gain(self) -> NDArray[np.float32]:
        """Transmission per count above dark, times 220; float32 (height, width)."""
        return (BLANK_LEVEL / (self.mean - np.float32(self.dark_level))).astype(np.float32)

    @cached_property
    def _sample_gain(self) -> NDArray[np.float32]:
        return np.ascontiguousarray(self.gain[::_SAMPLE_STEP, ::_SAMPLE_STEP]) / np.float32(
            BLANK_LEVEL
        )

    def blank_transmission(self, pixels: NDArray[np.uint16]) -> float:
        """Return the apparent transmission of blank glass in a tile: 1 without drift.

        Sampled at every fourth row and column; 1 where too little blank glass is visible or the
        drift would be larger than 15 %, since then the peak is more likely a carpet of cells.
        """
        sample = pixels[::_SAMPLE_STEP, ::_SAMPLE_STEP].astype(np.float32)
        sample -= np.float32(self.dark_level)
        sample *= self._sample_gain
        level = bright_mode(sample, _HISTOGRAM_TOP)
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


def flat_field(pixels: NDArray[np.uint16], background: Background) -> Image:
    """Return the normalised image of raw counts, blank glass at 220.

    Args:
        pixels: raw counts, uint16, of the background's shape.
        background: blank glass under the same exposure.

    Raises:
        InputError: the shapes differ.
    """
    if pixels.shape != background.mean.shape:
        raise InputError(
            f"The image has {_size(pixels.shape)} pixels, its background "
            f"{_size(background.mean.shape)}.",
            remedy="Take both with the same camera settings.",
        )
    scale = 1.0 / background.blank_transmission(pixels)
    lit = cv2.subtract(pixels, np.full(1, background.dark_level), dtype=cv2.CV_16U)
    image = cv2.multiply(lit, background.gain, scale=scale, dtype=cv2.CV_8U)
    return np.asarray(image, dtype=np.uint8)


def saturated_fraction(pixels: NDArray[np.uint16], full_scale: int) -> float:
    """Return the share of pixels at or above ``full_scale``, 0 to 1."""
    full = cv2.inRange(pixels, float(full_scale), 65535.0)
    return cv2.countNonZero(full) / pixels.size


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
