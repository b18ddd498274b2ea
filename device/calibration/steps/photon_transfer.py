"""Gain and noise of a camera by the photon transfer method.

Light arrives in photons, so its noise is known; comparing it with the noise in counts gives the
photoelectrons per count, and with that everything else in electrons (Janesick, Photon Transfer,
2007; EMVA Standard 1288, release 4.0 linear, chapters 2 and 6).  The difference of two frames of
the same exposure has no pattern, only noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hal.errors import InputError

Pixels = NDArray[np.uint8] | NDArray[np.uint16]

MIN_POINTS = 3
FITTED_SHARE = 0.7
"""Up to this share of saturation the line is fitted, as in EMVA 1288."""

SATURATED_SHARE = 0.98
_MAX_SATURATED = 1e-4
_QUANTISATION = 1.0 / 12.0
"""Variance of rounding to whole counts."""


@dataclass(frozen=True)
class TransferPoint:
    """Mean signal above the dark level and temporal variance at one exposure, in counts."""

    exposure_ms: float
    signal: float
    variance: float
    saturated: bool


@dataclass(frozen=True)
class PhotonTransfer:
    """What the photon transfer curve gives.

    Attributes:
        gain_e_per_count: photoelectrons per count.
        read_noise_e: noise of a dark frame at the shortest exposure.
        full_well_e: photoelectrons that fill a pixel, or the counts, whichever comes first.
        full_well_reached: whether a frame was saturated; else the value is the counts' limit.
        dark_level: counts without light.
        linearity_error: largest departure from the line of signal over exposure, share.
        points: the measured curve.
    """

    gain_e_per_count: float
    read_noise_e: float
    full_well_e: float
    full_well_reached: bool
    dark_level: float
    linearity_error: float
    points: tuple[TransferPoint, ...]

    @property
    def dynamic_range_db(self) -> float:
        """Full well over read noise."""
        return 20.0 * math.log10(self.full_well_e / self.read_noise_e)


def measure_point(
    first: Pixels, second: Pixels, exposure_ms: float, dark_level: float, full_scale: int
) -> TransferPoint:
    """Return the point of two frames of one exposure, both (height, width).

    The second frame is scaled to the first one's mean, so that a lamp that flickers does not
    count as noise.
    """
    a, b = (np.asarray(pixels, np.float64) for pixels in (first, second))
    high = np.maximum(first, second) >= SATURATED_SHARE * full_scale
    signal = float((a.mean() + b.mean()) / 2.0 - dark_level)
    ratio = 1.0
    if min(a.mean(), b.mean()) - dark_level > 0.01 * full_scale:
        ratio = (a.mean() - dark_level) / (b.mean() - dark_level)
    difference = a - dark_level - (b - dark_level) * ratio
    variance = float(difference.var() / (1.0 + ratio**2))
    return TransferPoint(exposure_ms, signal, variance, bool(high.mean() > _MAX_SATURATED))


def photon_transfer(
    dark: tuple[Pixels, Pixels], points: Sequence[TransferPoint], full_scale: int
) -> PhotonTransfer:
    """Return gain, read noise and full well.

    Args:
        dark: two frames without light, of the shortest exposure.
        points: of at least three exposures that are neither dark nor saturated.
        full_scale: largest count.

    Raises:
        InputError: too few points, or the noise does not grow with the signal.
    """
    level = dark_level(dark)
    dark_variance = measure_point(*dark, 0.0, level, full_scale).variance
    limit = FITTED_SHARE * (full_scale - level)
    good = [p for p in points if not p.saturated and 0.005 * full_scale < p.signal <= limit]
    if len(good) < MIN_POINTS:
        raise InputError("NOISE-EXPOSURES", good=len(good), taken=len(points), needed=MIN_POINTS)
    signal = np.array([p.signal for p in good])
    shot = np.array([p.variance for p in good]) - dark_variance
    slope = float(signal @ shot / (signal @ signal))
    if not slope > 0.0:
        raise InputError("NOISE-NOT-LIGHT")
    gain = 1.0 / slope
    exposures = np.array([p.exposure_ms for p in good])
    rate = float(exposures @ signal / (exposures @ exposures))
    saturated = [p.signal for p in points if p.saturated]
    return PhotonTransfer(
        gain_e_per_count=gain,
        # Rounding hides noise that is smaller than its own.
        read_noise_e=gain * math.sqrt(max(dark_variance - _QUANTISATION, _QUANTISATION)),
        full_well_e=gain * (max(saturated) if saturated else full_scale - level),
        full_well_reached=bool(saturated),
        dark_level=level,
        linearity_error=float(np.max(np.abs(signal / (rate * exposures) - 1.0))),
        points=tuple(points),
    )


def dark_level(dark: tuple[Pixels, Pixels]) -> float:
    """Return the mean counts of the dark frames."""
    return float((dark[0].mean() + dark[1].mean()) / 2.0)
