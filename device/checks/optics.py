"""Checks on blank glass: LED, evenness, cleanness, and the camera under light."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from device.checks.context import CheckContext
from device.checks.report import Reading
from device.imaging.background import brightness_per_s, roughness
from hal.interfaces.camera import Frame

BLANK_FRAMES: Final = 6
LINEARITY_STEPS: Final = (0.25, 0.5, 1.0, 1.0, 0.5, 0.25)
"""Shares of the suitable exposure; there and back, so that a drift of the LED cancels."""

_SAMPLE_STEP: Final = 8

NOISE_PAIRS: Final = (1.0, 0.25)


def blank_level(context: CheckContext) -> Reading:
    """Set the exposure on blank glass; return the LED's share of its first brightness, percent."""
    frame = context.rig.glass.find_exposure()
    context.blank = frame
    led = context.settings.light.led
    brightness = brightness_per_s(float(context.lit(frame).mean()), frame)
    record = context.records.light.judge(led, brightness, sound=False)
    first = record.first_brightness_per_s
    if not first:
        return Reading(100.0, f"LED {led!r} has no first brightness yet; the first run keeps it.")
    return Reading(100.0 * brightness / first)


def evenness(context: CheckContext) -> Reading:
    """Return the least light of the field as a share of the most, percent."""
    image = steady(context)
    smooth = cv2.GaussianBlur(image, (0, 0), image.shape[1] / 32.0)
    return Reading(100.0 * float(smooth.min()) / float(smooth.max()))


def cleanness(context: CheckContext) -> Reading:
    """Return how much the light varies on the scale of cells where all frames agree, percent."""
    image = steady(context)
    return Reading(100.0 * roughness(np.asarray(image / _slow_part(image), np.float32)))


def linearity(context: CheckContext) -> Reading:
    """Return the largest deviation of level per exposure time from its mean, percent."""
    exposure_ms = context.rig.glass.exposure_ms
    rates: dict[float, list[float]] = {}
    for share in LINEARITY_STEPS:
        frame = context.blank_frame(share * exposure_ms)
        rates.setdefault(share, []).append(float(context.lit(frame).mean()) / share)
    means = np.array([np.mean(found) for found in rates.values()])
    return Reading(100.0 * float(np.abs(means / means.mean() - 1.0).max()))


def noise(context: CheckContext) -> Reading:
    """Return the variance at little light as a multiple of what is to be expected.

    That is the noise of the photons and, if the camera's gain and noise are calibrated, its read
    noise.  Photon transfer (Janesick, Scientific Charge-Coupled Devices, 2001): without a
    calibrated gain the slope of variance over mean between two levels is the conversion of
    photoelectrons, whatever the other noise is.
    """
    exposure_ms = context.rig.glass.exposure_ms
    (bright, bright_variance), (weak, weak_variance) = (
        _level_and_variance(
            [context.lit(context.blank_frame(share * exposure_ms)) for _ in range(2)]
        )
        for share in NOISE_PAIRS
    )
    gain = context.effective.value("camera_noise", "gain_e_per_count")
    read_noise_e = context.effective.value("camera_noise", "read_noise_e")
    if gain is not None and read_noise_e is not None:
        return Reading(weak_variance / (weak / gain + (read_noise_e / gain) ** 2))
    slope = (bright_variance - weak_variance) / max(bright - weak, 1e-9)
    if slope <= 0.0:
        return Reading(float("inf"), "The noise does not grow with the light.")
    return Reading(weak_variance / (slope * weak))


def _level_and_variance(pair: Sequence[NDArray[np.float32]]) -> tuple[float, float]:
    """Return mean and variance in time of two frames of the same; the LED may differ."""
    one, two = pair
    level = 0.5 * (float(one.mean()) + float(two.mean()))
    difference = one / max(float(one.mean()), 1e-9) - two / max(float(two.mean()), 1e-9)
    return level, 0.5 * float(difference.var()) * level**2


def _slow_part(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the quadratic surface nearest to ``image``: vignetting and slope of the light."""
    rows = np.linspace(-1.0, 1.0, image.shape[0], dtype=np.float32)[:, None]
    columns = np.linspace(-1.0, 1.0, image.shape[1], dtype=np.float32)[None, :]
    terms = np.broadcast_arrays(
        np.float32(1.0), rows, columns, rows * rows, rows * columns, columns * columns, image
    )
    *sampled, seen = (term[::_SAMPLE_STEP, ::_SAMPLE_STEP].ravel() for term in terms)
    weights = np.linalg.lstsq(np.column_stack(sampled), seen, rcond=None)[0]
    return np.asarray(sum(w * term for w, term in zip(weights, terms, strict=False)), np.float32)


def steady(context: CheckContext) -> NDArray[np.float32]:
    """Return the median of frames next to each other: what stays is in the optics."""
    if context.steady is None:
        frames: list[Frame] = [context.rig.glass.take() for _ in range(BLANK_FRAMES)]
        context.steady = np.median(np.stack([context.lit(frame) for frame in frames]), axis=0)
    return context.steady
