"""Flat field: raw counts divided by an image of blank glass, drift of the light taken out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from hal.errors import InputError
from models.blank_glass import blank_transmission
from models.layout import BLANK_LEVEL

Image = NDArray[np.uint8]
"""Normalised image, (height, width): ``clip(round(T * BLANK_LEVEL), 0, 255)``."""

_MIN_BACKGROUND_SHARE = 0.02
_SAMPLE_STEP = 4


@dataclass(frozen=True, eq=False)
class Background:
    """An image of blank glass, the mean of several frames.

    Attributes:
        mean: raw counts, float32 (height, width).
        full_scale: largest count of the pixel format.
        dark_level: counts without light.

    Raises:
        InputError: the image is so dark somewhere that dividing by it would only amplify noise.
    """

    mean: NDArray[np.float32]
    full_scale: int
    dark_level: float = 0.0

    def __post_init__(self) -> None:
        darkest = float(self.mean.min()) - self.dark_level
        if darkest < _MIN_BACKGROUND_SHARE * self.full_scale:
            raise InputError("IMAGE-BACKGROUND-DARK", darkest=darkest, full_scale=self.full_scale)

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
        """Return :func:`~models.blank_glass.blank_transmission` of every fourth row and column."""
        sample = pixels[::_SAMPLE_STEP, ::_SAMPLE_STEP].astype(np.float32)
        sample -= np.float32(self.dark_level)
        sample *= self._sample_gain
        return blank_transmission(sample)


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
            "IMAGE-BACKGROUND-SIZE",
            found=_size(pixels.shape),
            background=_size(background.mean.shape),
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
