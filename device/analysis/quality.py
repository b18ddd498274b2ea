"""Can this tile be counted, and if not, why not."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

import cv2
import numpy as np

from device.analysis.flatfield import Image
from device.settings.sections import AnalysisConfig
from models.layout import BLANK_LEVEL

PREVIEW_STEP = 4

_CELL_LEVEL = 0.92 * BLANK_LEVEL
_MIN_FILL_FRACTION = 0.0005


class Unusable(StrEnum):
    """Why a tile is not counted."""

    EMPTY = "empty"
    TOO_THICK = "too thick"
    OUT_OF_FOCUS = "out of focus"
    SATURATED = "saturated"


@dataclass(frozen=True)
class TileQuality:
    """How good a tile is.

    Attributes:
        sharpness: energy of fine detail over energy of coarse detail; independent of exposure and
            nearly so of the number of cells.  0 for a tile without detail.
        fill_fraction: share of the tile that cells cover, 0 to 1.
        saturated_fraction: share of pixels at full scale, 0 to 1.
        usable: whether its cells count.
        reason: why not, a value of :class:`Unusable`, or None.
    """

    sharpness: float
    fill_fraction: float
    saturated_fraction: float
    usable: bool
    reason: Unusable | None

    def refused(self, reason: Unusable) -> TileQuality:
        """Return the same tile as unusable for ``reason``."""
        return replace(self, usable=False, reason=reason)


def shrink(image: Image) -> Image:
    """Return the image at a quarter of its size, averaged over blocks of 4x4 pixels.

    What is left of a block at the right and lower border is not shown.
    """
    width, height = (max(1, side // PREVIEW_STEP) for side in reversed(image.shape))
    whole = image[: height * PREVIEW_STEP, : width * PREVIEW_STEP]
    small = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)


def sharpness(image: Image, preview: Image) -> float:
    """Return the ratio of fine to coarse detail of a normalised image.

    Mean squared Sobel gradient (Tenengrad) at half resolution over that at an eighth, so that
    more cells raise both alike and defocus lowers mostly the first.

    Args:
        image: normalised, (h, w).
        preview: the same from :func:`shrink`.
    """
    coarse = _gradient_energy(_halved(preview))
    return _gradient_energy(_halved(image)) / coarse if coarse > 0 else 0.0


def _halved(image: Image) -> Image:
    size = (max(1, image.shape[1] // 2), max(1, image.shape[0] // 2))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _gradient_energy(image: Image) -> float:
    across = cv2.norm(cv2.Sobel(image, cv2.CV_16S, 1, 0), cv2.NORM_L2SQR)
    down = cv2.norm(cv2.Sobel(image, cv2.CV_16S, 0, 1), cv2.NORM_L2SQR)
    return (across + down) / image.size


def fill_fraction(preview: Image) -> float:
    """Return the share of a preview that is darker than 92 % transmission."""
    return float(np.count_nonzero(preview < _CELL_LEVEL)) / preview.size


def cell_density(preview: Image) -> float | None:
    """Return the median optical density of what is darker than 92 % transmission.

    In a smear these are nearly all red cells.  None where nothing is.
    """
    covered = preview[preview < _CELL_LEVEL]
    if not covered.size:
        return None
    return math.log10(BLANK_LEVEL / max(1.0, float(np.median(covered))))


def assess(
    image: Image, preview: Image, saturated_fraction: float, config: AnalysisConfig
) -> TileQuality:
    """Judge a normalised tile.

    Args:
        image: normalised, (h, w).
        preview: the same from :func:`shrink`.
        saturated_fraction: share of raw pixels at full scale.
        config: the limits.
    """
    sharp = sharpness(image, preview)
    fill = fill_fraction(preview)
    reason = None
    if saturated_fraction > config.max_saturated_fraction:
        reason = Unusable.SATURATED
    elif fill < _MIN_FILL_FRACTION:
        reason = Unusable.EMPTY
    elif fill > config.max_fill_fraction:
        reason = Unusable.TOO_THICK
    elif sharp < config.min_sharpness:
        reason = Unusable.OUT_OF_FOCUS
    return TileQuality(sharp, fill, saturated_fraction, reason is None, reason)
