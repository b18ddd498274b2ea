"""Stained bright-field images to a gray image ordered like deep-UV absorption.

Real morphology is available only on stained smears.  What a 260 nm image must keep is the order:
nucleus darkest, red cell middle gray, blank glass near 1.  Two conversions with random gains are
blended, so that a network cannot learn one formula.  Two more are held out of training, to see what
another stain and microscope would do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from models.layout import BLANK_LEVEL

FloatImage = NDArray[np.float32]
Conversion = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""From a uint8 BGR image (h, w, 3) to a uint8 UV-like image (h, w)."""

NUCLEUS_OD_260 = 0.45
RED_CELL_OD_260 = 0.13


@dataclass(frozen=True)
class StainMaps:
    """What a stained image says about absorption, float32, shape (height, width).

    Attributes:
        nuclear: amount of nuclear stain; 1 in a typical nucleus.
        red_cell: amount of red-cell colour; 1 in a typical red cell.
        green_od: optical density of the green channel over its value in a typical nucleus.
    """

    nuclear: FloatImage
    red_cell: FloatImage
    green_od: FloatImage

    def crop(self, rows: slice, columns: slice) -> StainMaps:
        """Return the maps of a part of the image."""
        return StainMaps(
            self.nuclear[rows, columns],
            self.red_cell[rows, columns],
            self.green_od[rows, columns],
        )


def optical_density(image_bgr: NDArray[np.uint8]) -> FloatImage:
    """Return -log10(transmission) per channel, float32 (h, w, 3), of a uint8 BGR image.

    The blank level of each channel is the brightest mode of its histogram: glass covers at least
    a few percent of a monolayer field.
    """
    od = np.empty(image_bgr.shape, np.float32)
    levels = np.arange(256, dtype=np.float32)
    for channel in range(3):
        plane = image_bgr[..., channel]
        histogram = cv2.calcHist([plane], [0], None, [256], [0, 256]).ravel()
        histogram = np.convolve(histogram, np.ones(5), "same")
        bright = int(np.searchsorted(np.cumsum(histogram), 0.4 * histogram.sum()))
        blank = bright + int(np.argmax(histogram[bright:]))
        lookup = -np.log10(np.maximum(levels, 1.0) / max(blank, 1))
        od[..., channel] = np.maximum(lookup, 0.0)[plane]
    return od


def stain_vectors(od: FloatImage) -> tuple[FloatImage, FloatImage]:
    """Estimate the unit colour vectors (B, G, R optical density) of nuclei and of red cells.

    Only nuclear dyes absorb red light strongly, so the pixels with the largest red optical
    density are nucleus; coloured pixels with the smallest share of red are red cells.
    """
    pixels = od.reshape(-1, 3)
    total = pixels.sum(1)
    red = pixels[:, 2]
    nuclear = pixels[red >= max(float(np.quantile(red, 0.985)), 1e-3)].mean(0)
    coloured = pixels[(total > 0.15) & (red < 0.5 * float(nuclear[2]))]
    if len(coloured) < 50:
        red_cell = np.array([0.7, 0.7, 0.15], np.float32)
    else:
        share = coloured[:, 2] / coloured.sum(1)
        red_cell = coloured[share <= np.quantile(share, 0.6)].mean(0)
    return (
        (nuclear / np.linalg.norm(nuclear)).astype(np.float32),
        (red_cell / np.linalg.norm(red_cell)).astype(np.float32),
    )


def unmix(image_bgr: NDArray[np.uint8]) -> StainMaps:
    """Separate a stained image into nuclear and red-cell absorption, non-negative per pixel.

    Args:
        image_bgr: uint8 (h, w, 3).
    """
    od = optical_density(image_bgr)
    return _separated(od, *stain_vectors(od))


def _separated(
    od: FloatImage, nuclear_vector: FloatImage, red_cell_vector: FloatImage
) -> StainMaps:
    """Solve per pixel for the amounts of two stains, and scale them to typical nuclei and cells."""
    dot = float(nuclear_vector @ red_cell_vector)
    a, b = od @ nuclear_vector, od @ red_cell_vector
    determinant = max(1.0 - dot * dot, 1e-3)
    nuclear = (a - dot * b) / determinant
    red_cell = (b - dot * a) / determinant
    nuclear, red_cell = (
        np.where(red_cell < 0, a, nuclear),
        np.where(nuclear < 0, b, red_cell),
    )
    nuclear, red_cell = np.maximum(nuclear, 0), np.maximum(red_cell, 0)
    nucleus = nuclear >= np.quantile(nuclear, 0.97)
    red_pixels = red_cell[(red_cell > 0.05) & (nuclear < 0.3 * nuclear[nucleus].mean())]
    red_scale = float(np.median(red_pixels)) if red_pixels.size > 50 else 0.3
    green = od[..., 1]
    return StainMaps(
        (nuclear / max(float(nuclear[nucleus].mean()), 1e-3)).astype(np.float32),
        (red_cell / max(red_scale, 1e-3)).astype(np.float32),
        (green / max(float(green[nucleus].mean()), 1e-3)).astype(np.float32),
    )


def uv_like(maps: StainMaps, rng: np.random.Generator | None = None) -> NDArray[np.uint8]:
    """Return the normalised UV-like image, uint8 (h, w), blank glass at the runtime's level.

    Without ``rng`` the plain unmixing formula with its nominal gains; with it, random gains and
    a random blend of the unmixing and the green-channel conversion.
    """
    if rng is None:
        return _blend(maps, NUCLEUS_OD_260, RED_CELL_OD_260, 0.0)
    nuclear_od = NUCLEUS_OD_260 * float(rng.uniform(0.7, 1.25))
    red_od = RED_CELL_OD_260 * float(rng.uniform(0.6, 1.5))
    green_share = float(rng.choice([0.0, 1.0, rng.uniform()], p=[0.4, 0.25, 0.35]))
    return _blend(maps, nuclear_od, red_od, green_share)


def _blend(
    maps: StainMaps, nuclear_od: float, red_od: float, green_share: float
) -> NDArray[np.uint8]:
    unmixed = nuclear_od * maps.nuclear + red_od * maps.red_cell
    return _gray((1.0 - green_share) * unmixed + green_share * nuclear_od * maps.green_od)


def _gray(od: FloatImage) -> NDArray[np.uint8]:
    return np.clip(np.round(np.power(10.0, -od) * BLANK_LEVEL), 0, 255).astype(np.uint8)


def luminance(image_bgr: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert by the optical density of the luminance, scaled to a typical nucleus."""
    gray = np.asarray(cv2.cvtColor(image_bgr, cv2.COLOR_BGR2GRAY), np.uint8)
    return _gray(_to_nucleus(optical_density(np.dstack([gray] * 3))[..., 0]))


def _to_nucleus(od: FloatImage) -> FloatImage:
    """Scale an optical density so that the darkest three percent have that of a nucleus."""
    darkest = od[od >= np.quantile(od, 0.97)]
    return np.asarray(od * np.float32(NUCLEUS_OD_260 / max(float(darkest.mean()), 1e-3)))


def macenko(image_bgr: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert by unmixing with the stain vectors of Macenko et al. (ISBI 2009).

    They are the extreme directions of the coloured pixels in the plane of the two largest
    principal components.
    """
    od = optical_density(image_bgr)
    pixels = od.reshape(-1, 3)
    coloured = pixels[np.linalg.norm(pixels, axis=1) > 0.15]
    if len(coloured) < 50:
        return uv_like(unmix(image_bgr))
    _, axes = np.linalg.eigh(np.cov(coloured.T))
    plane = axes[:, [2, 1]] * np.where(axes[:, [2, 1]].sum(0) < 0, -1.0, 1.0)
    along = coloured @ plane
    angles = np.quantile(np.arctan2(along[:, 1], along[:, 0]), (0.01, 0.99))
    vectors = np.abs(plane @ np.stack([np.cos(angles), np.sin(angles)])).T.astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    nuclear, red_cell = sorted(vectors, key=lambda vector: -float(vector[2] / vector.sum()))
    maps = _separated(od, nuclear, red_cell)
    return _gray(_to_nucleus(NUCLEUS_OD_260 * maps.nuclear + RED_CELL_OD_260 * maps.red_cell))


def _blending(green_share: float) -> Conversion:
    return lambda image: _blend(unmix(image), NUCLEUS_OD_260, RED_CELL_OD_260, green_share)


REPORTED: Mapping[str, Conversion] = MappingProxyType(
    {
        "unmixed": _blending(0.0),
        "half unmixed, half green": _blending(0.5),
        "green channel": _blending(1.0),
        "luminance": luminance,
        "Macenko": macenko,
    }
)
"""Conversions that results are reported under."""

HELD_OUT = ("luminance", "Macenko")
"""Those of them that no training sample was made with."""
