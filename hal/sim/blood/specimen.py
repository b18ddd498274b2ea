"""The objects of a smear as optical maps on any pixel grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hal.sim.blood.artefacts import Artefact, artefact_masses
from hal.sim.blood.cells import CellStamp, white_cell
from hal.sim.blood.masses import Channel, Float32Array, optical_coefficients, optical_maps
from hal.sim.blood.red_cells import platelet_bank, red_cell_bank
from hal.sim.blood.smear import Chunk, Smear, WhiteCell

# How far an object can reach from its centre; red cells also drift from the chunk that holds them.
WHITE_CELL_REACH_UM = 24.0
OBJECT_REACH_UM = 60.0


@dataclass(frozen=True)
class PixelGrid:
    """Pixels in the stage frame; column and row run with the stage's x and y.

    Attributes:
        left_um: stage x of the centre of the first column.
        top_um: stage y of the centre of the first row.
        width_px: columns.
        height_px: rows.
        pixel_um: distance of two pixels.
    """

    left_um: float
    top_um: float
    width_px: int
    height_px: int
    pixel_um: float

    @classmethod
    def centred(
        cls, x_um: float, y_um: float, width_px: int, height_px: int, pixel_um: float
    ) -> PixelGrid:
        """Return the grid of an image whose centre lies at (x_um, y_um)."""
        return cls(
            x_um - (width_px - 1) / 2.0 * pixel_um,
            y_um - (height_px - 1) / 2.0 * pixel_um,
            width_px,
            height_px,
            pixel_um,
        )

    def padded(self, left_px: int, top_px: int, width_px: int, height_px: int) -> PixelGrid:
        """Return a larger grid in which this one starts at (left_px, top_px)."""
        return PixelGrid(
            self.left_um - left_px * self.pixel_um,
            self.top_um - top_px * self.pixel_um,
            width_px,
            height_px,
            self.pixel_um,
        )

    @property
    def columns_um(self) -> NDArray[np.floating]:
        """Stage x of each column."""
        return self.left_um + np.arange(self.width_px) * self.pixel_um

    @property
    def rows_um(self) -> NDArray[np.floating]:
        """Stage y of each row."""
        return self.top_um + np.arange(self.height_px) * self.pixel_um

    def column_row(self, x_um: float, y_um: float) -> tuple[float, float]:
        """Return the pixel coordinates of a stage position."""
        return (x_um - self.left_um) / self.pixel_um, (y_um - self.top_um) / self.pixel_um

    def rectangle_um(self, reach_um: float) -> tuple[float, float, float, float]:
        """Return centre x, y and half width, height of the grid with a border of ``reach_um``."""
        half_width_um = self.width_px * self.pixel_um / 2.0
        half_height_um = self.height_px * self.pixel_um / 2.0
        return (
            self.left_um + half_width_um - self.pixel_um / 2.0,
            self.top_um + half_height_um - self.pixel_um / 2.0,
            half_width_um + reach_um,
            half_height_um + reach_um,
        )


class Specimen:
    """Draws the objects of ``smear`` on grids of ``pixel_um``, keeping what was drawn lately."""

    def __init__(self, smear: Smear, pixel_um: float) -> None:
        self.smear = smear
        self.pixel_um = pixel_um
        self.stamp = lru_cache(maxsize=256)(self._draw_stamp)
        self._banks = lru_cache(maxsize=3)(self._make_banks)
        self._maps_of = lru_cache(maxsize=160)(self._make_maps)

    def optical_maps(self, grid: PixelGrid, wavelength_nm: float) -> Float32Array:
        """Return optical density and phase in rad, (2, height_px, width_px)."""
        maps = np.zeros((2, grid.height_px, grid.width_px), np.float32)
        maps[0] = self.smear.film_density(grid.columns_um, grid.rows_um)
        chunks = self.smear.chunks_near(*grid.rectangle_um(OBJECT_REACH_UM))
        red, platelets = self._banks(wavelength_nm)
        _add_from_bank(maps, grid, red, [chunk.red_cells for chunk in chunks])
        _add_from_bank(maps, grid, platelets, [chunk.platelets for chunk in chunks])
        self._add_drawn(maps, grid, chunks, wavelength_nm)
        return maps

    def _add_drawn(
        self, maps: Float32Array, grid: PixelGrid, chunks: Sequence[Chunk], wavelength_nm: float
    ) -> None:
        items: list[WhiteCell | Artefact] = []
        for chunk in chunks:
            items += [*chunk.white_cells, *chunk.artefacts]
        for item in items:
            reach_um = WHITE_CELL_REACH_UM if isinstance(item, WhiteCell) else OBJECT_REACH_UM
            x_um, y_um, half_width_um, half_height_um = grid.rectangle_um(reach_um)
            if abs(item.x_um - x_um) > half_width_um or abs(item.y_um - y_um) > half_height_um:
                continue
            stack = self._maps_of(item, wavelength_nm)
            for plane, source in zip(maps, stack, strict=True):
                moved, left, top = moved_to(
                    source, grid.column_row(item.x_um, item.y_um), cv2.INTER_CUBIC
                )
                _add(plane[None], moved[None], left, top)

    def _draw_stamp(self, cell: WhiteCell) -> CellStamp:
        return white_cell(cell.kind, cell.key, cell.diameter_um, self.smear.donor, self.pixel_um)

    def _make_maps(self, item: WhiteCell | Artefact, wavelength_nm: float) -> Float32Array:
        if isinstance(item, WhiteCell):
            return optical_maps(self.stamp(item).masses, wavelength_nm)
        return optical_maps(artefact_masses(item, self.pixel_um), wavelength_nm)

    def _make_banks(self, wavelength_nm: float) -> tuple[Float32Array, Float32Array]:
        """Return the optical maps of red cells and platelets, (N, 2, n, n) each."""
        hemoglobin = red_cell_bank(self.smear.donor, self.pixel_um)
        protein = platelet_bank(self.smear.donor, self.pixel_um)
        coefficients = optical_coefficients(wavelength_nm)[:, :, None, None]
        return (
            coefficients[:, Channel.HEMOGLOBIN] * hemoglobin[:, None],
            coefficients[:, Channel.PROTEIN] * protein[:, None],
        )


def moved_to(
    image: NDArray[Any], column_row: tuple[float, float], interpolation: int
) -> tuple[NDArray[Any], int, int]:
    """Move a centred square image to a sub-pixel place; return it and its left and top pixel."""
    column, row = column_row
    left, top = math.floor(column), math.floor(row)
    half_px = image.shape[0] // 2
    shift = np.array([[1.0, 0.0, column - left], [0.0, 1.0, row - top]])
    size_px = image.shape[0] + 1
    moved = cv2.warpAffine(image, shift, (size_px, size_px), flags=interpolation)
    return moved, left - half_px, top - half_px


def _add_from_bank(
    maps: Float32Array, grid: PixelGrid, bank: Float32Array, groups: list[NDArray[np.float64]]
) -> None:
    """Add objects of a bank at the nearest whole pixel."""
    objects = np.concatenate(groups)
    half_px = bank.shape[-1] // 2
    left = np.rint((objects[:, 0] - grid.left_um) / grid.pixel_um).astype(int) - half_px
    top = np.rint((objects[:, 1] - grid.top_um) / grid.pixel_um).astype(int) - half_px
    choices = objects[:, 2:].astype(int).tolist()
    for x, y, (index, turn) in zip(left.tolist(), top.tolist(), choices, strict=True):
        _add(maps, _turned(bank[index], turn), x, y)


def _turned(stack: Float32Array, turn: int) -> Float32Array:
    """Return one of the eight turned and mirrored views of a (2, n, n) stack."""
    if turn & 4:
        stack = stack.transpose(0, 2, 1)
    return stack[:, :: -1 if turn & 1 else 1, :: -1 if turn & 2 else 1]


def _add(maps: Float32Array, stack: Float32Array, left: int, top: int) -> None:
    """Add a stack to the maps, clipped to them."""
    height, width = maps.shape[1:]
    y0, y1 = max(top, 0), min(top + stack.shape[1], height)
    x0, x1 = max(left, 0), min(left + stack.shape[2], width)
    if y0 < y1 and x0 < x1:
        maps[:, y0:y1, x0:x1] += stack[:, y0 - top : y1 - top, x0 - left : x1 - left]
