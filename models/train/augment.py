"""Domain randomisation: what differs between two instruments, two smears or two stains."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.layout import BLANK_LEVEL

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Geometry:
    """Ranges of the random similarity transform of a crop.

    Attributes:
        shift_px: largest shift along each axis: how far off the scout may centre a cell.
        scale: largest relative change of size.
    """

    shift_px: float
    scale: float = 0.08


def random_matrix(
    rng: np.random.Generator, geometry: Geometry, source_px: int, target_px: int
) -> NDArray[np.float64]:
    """Return a 2x3 matrix (source to target) of random rotation, mirror, scale and shift."""
    angle = rng.uniform(0, 2 * np.pi)
    scale = float(np.exp(rng.uniform(-geometry.scale, geometry.scale)))
    mirror = rng.choice((-1.0, 1.0))
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.array([[mirror * cosine, -sine], [mirror * sine, cosine]])
    shift = rng.uniform(-geometry.shift_px, geometry.shift_px, 2)
    source, target = (source_px - 1) / 2, (target_px - 1) / 2
    offset = target + shift - linear @ np.array([source, source])
    return np.concatenate([linear, offset[:, None]], 1)


def warp(image: Image, matrix: NDArray[np.float64], size_px: int, fill: int) -> Image:
    """Apply ``matrix`` with bilinear interpolation; outside the source lies ``fill``."""
    return np.asarray(
        cv2.warpAffine(
            image,
            matrix,
            (size_px, size_px),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(fill,) * 4,
        ),
        np.uint8,
    )


def _curve(rng: np.random.Generator) -> Image:
    """Return a 256-entry table of random absorption scale, gain and offset.

    Scaling the optical density is what a change of wavelength, staining or thickness does; gain
    and offset are what LED drift and stray light leave after the flat field.
    """
    transmission = np.arange(256, dtype=np.float32) / BLANK_LEVEL
    curve = np.power(np.maximum(transmission, 1e-3), rng.uniform(0.78, 1.28))
    curve = curve * rng.uniform(0.96, 1.04) + rng.uniform(-0.02, 0.03)
    return np.clip(np.round(curve * BLANK_LEVEL), 0, 255).astype(np.uint8)


def randomise_intensity(image: Image, rng: np.random.Generator) -> Image:
    """Return the image with random contrast, focus, illumination slope and noise."""
    out = np.asarray(cv2.LUT(image, _curve(rng)), np.float32)
    focus = rng.uniform()
    if focus < 0.45:
        sigma_px = float(rng.uniform(0.3, 1.4))
        out = np.asarray(cv2.GaussianBlur(out, (0, 0), sigma_px), np.float32)
    elif focus < 0.6:
        blurred = np.asarray(cv2.GaussianBlur(out, (0, 0), 1.2), np.float32)
        out += np.float32(rng.uniform(0.2, 0.8)) * (out - blurred)
    height, width = image.shape
    if rng.uniform() < 0.5:
        slope_y, slope_x = rng.uniform(-0.03, 0.03, 2).astype(np.float32)
        ramp = np.linspace(-1, 1, height, dtype=np.float32)[:, None] * slope_y
        out *= 1 + ramp + np.linspace(-1, 1, width, dtype=np.float32)[None] * slope_x
    noise = rng.standard_normal((height, width), dtype=np.float32)
    out += float(rng.uniform(0.3, 4.0)) * noise
    return np.clip(np.round(out), 0, 255).astype(np.uint8)
