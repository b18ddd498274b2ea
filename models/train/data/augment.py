"""Domain randomisation: what differs between two instruments, two smears or two stains."""

from __future__ import annotations

from collections.abc import Sequence
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


def moved_whole(
    images: Sequence[Image], rng: np.random.Generator, shift_px: int, size_px: int
) -> tuple[Image, ...]:
    """Cut the same window out of ``images``, without touching a pixel's value.

    Args:
        images: uint8 (s, s) or (s, s, c) of one size.
        rng: draws whole shifts, a quarter turn and whether to mirror.
        shift_px: largest shift of the window from the middle, along each axis.
        size_px: side of the window; s - size_px is even and at least 2 shift_px.
    """
    room_px = (images[0].shape[0] - size_px) // 2
    top, left = (room_px + int(v) for v in rng.integers(-shift_px, shift_px + 1, 2))
    turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
    windows = (image[top : top + size_px, left : left + size_px] for image in images)
    turned = (np.rot90(window[::-1] if mirrored else window, turns) for window in windows)
    return tuple(np.ascontiguousarray(image) for image in turned)


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


def randomise_compartments(
    image: Image, cell: Image, nucleus: Image, rng: np.random.Generator
) -> Image:
    """Return the image with cytoplasm and nucleus of the cell absorbing more or less than they do.

    What a cell holds decides its contrast at 260 nm, the stain decides it in a stained smear; shape
    and grain are the same in both.

    Args:
        image: uint8 (h, w).
        cell: mask of the whole cell, uint8 (h, w), 0 to 255.
        nucleus: mask of its nucleus, of the same form.
        rng: random stream.
    """
    inner = cv2.GaussianBlur(nucleus, (0, 0), 1.0).astype(np.float32) / 255
    outer = np.maximum(cv2.GaussianBlur(cell, (0, 0), 1.0).astype(np.float32) / 255 - inner, 0)
    density = -np.log(np.maximum(image, 1) / np.float32(BLANK_LEVEL))
    weights = outer.sum(), inner.sum()
    if min(weights) < 1:
        return image
    cytoplasmic = float((density * outer).sum() / weights[0])
    nuclear = float((density * inner).sum() / weights[1])
    wanted = nuclear * float(rng.uniform(0.05, 0.5))
    grain = float(np.clip(wanted / max(cytoplasmic, 0.01), 0.5, 2.5))
    moved = wanted + grain * (density - cytoplasmic)
    density = density + outer * (moved - density)
    density *= 1 + inner * np.float32(rng.uniform(-0.3, 0.3))
    return np.clip(np.round(np.exp(-density) * BLANK_LEVEL), 0, 255).astype(np.uint8)
