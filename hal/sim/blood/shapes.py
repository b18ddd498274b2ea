"""Organic shapes on a small pixel grid: outlines, chains of lobes, textures, granules.

A shape is a *depth map*: the distance to its border in um, positive inside, float32 (n, n).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from hal.sim.blood.masses import Float32Array

Point = tuple[float, float]


def smooth_noise(rng: np.random.Generator, size_px: int, scale_px: float) -> Float32Array:
    """Return Gaussian noise of unit variance, blurred to ``scale_px``, (size_px, size_px)."""
    step = max(1, int(scale_px / 2.0))
    sigma = scale_px / step
    border = math.ceil(3.0 * sigma)
    coarse_px = size_px // step + 2
    noise = rng.standard_normal((coarse_px + 2 * border,) * 2, np.float32)
    noise = _blur(noise, sigma) * np.float32(2.0 * math.sqrt(math.pi) * sigma)
    noise = noise[border:-border, border:-border]
    if step == 1:
        return noise[:size_px, :size_px]
    fine_px = coarse_px * step
    fine = cv2.resize(noise, (fine_px, fine_px), interpolation=cv2.INTER_CUBIC)
    return np.asarray(fine[:size_px, :size_px], np.float32)


def _blur(image: Float32Array, sigma_px: float) -> Float32Array:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), np.float32)


class Sketch:
    """A square grid around an object's centre on which its shapes are drawn.

    Args:
        rng: the object's random stream.
        radius_um: half of the side.
        pixel_um: pixel size.
        warp_um: strength of a smooth random distortion that makes every outline organic.
        warp_scale_um: its correlation length.
        aspect: ratio of the axes of a round object drawn here.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        radius_um: float,
        pixel_um: float,
        *,
        warp_um: float = 0.0,
        warp_scale_um: float = 2.0,
        aspect: float = 1.0,
    ) -> None:
        self.rng = rng
        self.pixel_um = pixel_um
        self.half_px = math.ceil(radius_um / pixel_um) + 1
        self.size_px = 2 * self.half_px + 1
        axis = (np.arange(self.size_px, dtype=np.float32) - self.half_px) * np.float32(pixel_um)
        angle = rng.uniform(0.0, 2.0 * math.pi)
        cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
        stretch = np.float32(math.sqrt(aspect))
        self.x = (cos * axis[None, :] + sin * axis[:, None]) * stretch
        self.y = (cos * axis[:, None] - sin * axis[None, :]) / stretch
        if warp_um > 0.0:
            self.x += np.float32(warp_um) * self.noise(warp_scale_um)
            self.y += np.float32(warp_um) * self.noise(warp_scale_um)

    def noise(self, scale_um: float) -> Float32Array:
        """Return smooth noise of unit variance."""
        return smooth_noise(self.rng, self.size_px, scale_um / self.pixel_um)

    def outline(
        self, radius_um: float, irregularity: float, centre: Point = (0, 0)
    ) -> Float32Array:
        """Return a rounded blob whose radius varies by a random Fourier series."""
        x, y = self.x - np.float32(centre[0]), self.y - np.float32(centre[1])
        distance, angle = cv2.cartToPolar(x, y)
        radius = np.full_like(distance, radius_um)
        for order in range(2, 7):
            amount = radius_um * irregularity * self.rng.normal() / order
            phase = self.rng.uniform(0.0, 2.0 * math.pi)
            radius += np.float32(amount) * np.cos(order * angle + np.float32(phase))
        return np.asarray(radius - distance, np.float32)

    def chain(self, points: NDArray[np.float64], radii_um: NDArray[np.float64]) -> Float32Array:
        """Return the union of discs at ``points`` (n, 2) um with ``radii_um`` (n,)."""
        depth = np.full_like(self.x, -1e3)
        for (x, y), radius in zip(points.tolist(), radii_um.tolist(), strict=True):
            np.maximum(
                depth,
                np.float32(radius) - cv2.magnitude(self.x - np.float32(x), self.y - np.float32(y)),
                out=depth,
            )
        return depth

    def band(self, points: NDArray[np.float64], half_um: NDArray[np.float64]) -> Float32Array:
        """Return a band along ``points`` (n, 2) um whose half width is ``half_um`` (n,).

        Unlike :meth:`chain` it keeps constrictions that are shorter than the band is wide.
        """
        nearest = np.full_like(self.x, 1e3)
        half = np.zeros_like(self.x)
        for (x, y), width in zip(points.tolist(), half_um.tolist(), strict=True):
            distance = cv2.magnitude(self.x - np.float32(x), self.y - np.float32(y))
            closer = distance < nearest
            nearest = np.where(closer, distance, nearest)
            half[closer] = width
        return half - nearest

    def blurred(self, depth: Float32Array, radius_um: float) -> Float32Array:
        """Return ``depth`` with its corners rounded off."""
        return _blur(depth, radius_um / self.pixel_um)

    def grown_to(self, depth: Float32Array, area_um2: float) -> Float32Array:
        """Return ``depth`` shifted so that its inside covers ``area_um2``."""
        count = min(max(1, round(area_um2 / self.pixel_um**2)), depth.size - 1)
        level = np.partition(depth, depth.size - count, axis=None)[depth.size - count]
        return np.asarray(depth - level, np.float32)

    def soft(self, depth: Float32Array, width_um: float) -> Float32Array:
        """Return 0 outside to 1 inside, rising over ``width_um`` around the border."""
        ramp = np.clip(depth / np.float32(max(width_um, self.pixel_um)) + 0.5, 0.0, 1.0)
        return np.asarray(ramp * ramp * (3.0 - 2.0 * ramp), np.float32)

    def area_um2(self, depth: Float32Array) -> float:
        """Return the area of the inside."""
        return float(np.count_nonzero(depth > 0)) * self.pixel_um**2

    def granules(
        self, depth: Float32Array, spacing_um: float, diameter_um: Point, share: float = 1.0
    ) -> Float32Array:
        """Fill the inside of ``depth`` with soft spheres; return their thickness in um.

        Args:
            depth: shape to fill.
            spacing_um: of the jittered lattice on which the granules lie.
            diameter_um: smallest and largest.
            share: of the lattice sites that hold a granule.
        """
        reach = self.half_px * self.pixel_um
        sites = np.arange(-reach, reach, spacing_um)
        grid_y, grid_x = np.meshgrid(sites, sites, indexing="ij")
        grid_x[1::2] += spacing_um / 2.0
        jitter = self.rng.uniform(-0.42, 0.42, (2, *grid_x.shape)) * spacing_um
        taken = self.rng.random(grid_x.shape) < share
        x = ((grid_x + jitter[0])[taken] / self.pixel_um) + self.half_px
        y = ((grid_y + jitter[1])[taken] / self.pixel_um) + self.half_px
        return self._spheres(depth, x, y, diameter_um)

    def _spheres(
        self,
        depth: Float32Array,
        x_px: NDArray[np.float64],
        y_px: NDArray[np.float64],
        diameter_um: Point,
    ) -> Float32Array:
        reach_px = math.ceil(diameter_um[1] / 2.0 / self.pixel_um) + 1
        column, row = np.rint(x_px).astype(int), np.rint(y_px).astype(int)
        fits = (np.minimum(column, row) >= reach_px) & (
            np.maximum(column, row) < self.size_px - reach_px
        )
        column, row, x_px, y_px = column[fits], row[fits], x_px[fits], y_px[fits]
        radius_um = self.rng.uniform(*diameter_um, size=column.size) / 2.0
        inside = depth[row, column] > radius_um
        column, row, x_px, y_px = column[inside], row[inside], x_px[inside], y_px[inside]
        radius_um = radius_um[inside]
        offset = np.arange(-reach_px, reach_px + 1)
        dy = (offset[None, :] + (row - y_px)[:, None]) * self.pixel_um
        dx = (offset[None, :] + (column - x_px)[:, None]) * self.pixel_um
        height2 = radius_um[:, None, None] ** 2 - dy[:, :, None] ** 2 - dx[:, None, :] ** 2
        thickness = np.zeros_like(self.x)
        np.add.at(
            thickness,
            ((row[:, None] + offset)[:, :, None], (column[:, None] + offset)[:, None, :]),
            2.0 * np.sqrt(np.maximum(height2, 0.0)),
        )
        return self.blurred(thickness, 0.09)


def arc(radius_um: float, start_rad: float, end_rad: float, points: int) -> NDArray[np.float64]:
    """Return ``points`` points (n, 2) along a circle's arc around the origin."""
    angle = np.linspace(start_rad, end_rad, points)
    return radius_um * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def union(depths: Sequence[Float32Array]) -> Float32Array:
    """Return the union of shapes."""
    result = depths[0]
    for depth in depths[1:]:
        result = np.maximum(result, depth)
    return result
