"""The virtual microscope: any field of a smear as the camera sees it, and its truth."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hal.sim.artefacts import Artefact, artefact_masses
from hal.sim.cells import CellStamp, white_cell
from hal.sim.masses import Float32Array, optical_maps
from hal.sim.optics import Imager, Optics
from hal.sim.red_cells import platelet_bank, red_cell_bank
from hal.sim.seeds import generator
from hal.sim.sensor import Sensor
from hal.sim.smear import Chunk, Smear, WhiteCell

# The furthest that an object can reach from its centre, and red cells move from their chunk.
_REACH_UM = 60.0
_WHITE_CELL_REACH_UM = 16.0


@dataclass(frozen=True)
class CellTruth:
    """One white cell of a field.

    Attributes:
        id: the same in every field that shows the cell.
        kind: one of :data:`hal.sim.donors.KINDS`.
        alive: false for ``dead``.
        x_um: centre of the whole cell in the stage frame.
        y_um: centre of the whole cell in the stage frame.
        area_um2: of the whole cell, nucleus included, whether or not the field cuts it.
        nucleus_area_um2: of the whole nucleus.
        nucleic_acid_pg: of the whole cell.
        bbox_px: x0, y0, x1, y1 of its pixels in the field, half open.
        cut: whether the border of the field cuts it.
    """

    id: str
    kind: str
    alive: bool
    x_um: float
    y_um: float
    area_um2: float
    nucleus_area_um2: float
    nucleic_acid_pg: float
    bbox_px: tuple[int, int, int, int]
    cut: bool


@dataclass(frozen=True)
class FieldTruth:
    """What is really in one field.

    Attributes:
        cells: the white cells of which at least one pixel lies in the field.
        labels: uint8 (h, w), 0 background, 1 white-cell cytoplasm, 2 white-cell nucleus.
        instances: uint16 (h, w), 0 or the 1-based index into ``cells``.
        red_cells: float32 (N, 2), x_um, y_um of the centres in the stage frame.
        platelets: float32 (N, 2), likewise.
    """

    cells: tuple[CellTruth, ...]
    labels: NDArray[np.uint8]
    instances: NDArray[np.uint16]
    red_cells: Float32Array
    platelets: Float32Array


class VirtualMicroscope:
    """Renders fields of one smear.  Positions are in the stage frame; image x and y run with it.

    One thread may render while others ask for truth.

    Args:
        smear: what lies on the slide.
        width_px: of the image.
        height_px: of the image.
        pixel_um: pixel size on the slide.
        optics: objective, condenser, lamp.
        sensor: camera chip.
    """

    def __init__(
        self,
        smear: Smear,
        *,
        width_px: int = 1392,
        height_px: int = 1040,
        pixel_um: float = 0.165,
        optics: Optics | None = None,
        sensor: Sensor | None = None,
    ) -> None:
        self.smear = smear
        self.width_px = width_px
        self.height_px = height_px
        self.pixel_um = pixel_um
        self.optics = optics if optics is not None else Optics()
        self.sensor = sensor if sensor is not None else Sensor()
        self._blank_e_per_ms = (
            self.optics.illumination(height_px, width_px)
            * self.sensor.response(height_px, width_px)
            * np.float32(self.optics.blank_electrons_per_ms)
        )
        self._imager = lru_cache(maxsize=3)(self._make_imager)
        self._banks = lru_cache(maxsize=3)(self._make_banks)
        self._stamp = lru_cache(maxsize=256)(self._draw_stamp)
        self._white_maps = lru_cache(maxsize=128)(self._make_white_maps)
        self._artefact_maps = lru_cache(maxsize=64)(self._make_artefact_maps)
        self._spectrum = lru_cache(maxsize=1)(self._make_spectrum)

    def render(
        self,
        x_um: float,
        y_um: float,
        z_um: float,
        *,
        exposure_ms: float,
        wavelength_nm: float = 260,
        gain_db: float = 0.0,
        full_scale: int = 4095,
        frame_seed: int = 0,
        time_s: float = 0.0,
        lit_fraction: float = 1.0,
    ) -> NDArray[np.uint16]:
        """Return one camera frame, counts 0 to ``full_scale``, (height_px, width_px).

        Args:
            x_um: stage position of the centre of the field.
            y_um: stage position of the centre of the field.
            z_um: stage position of the focal plane.
            exposure_ms: exposure time.
            wavelength_nm: of the light, 260 to 300.
            gain_db: analog gain.
            full_scale: largest count, 4095 or 255.
            frame_seed: of the noise and of the energy of the light pulse.
            time_s: since the LED began to warm up.
            lit_fraction: share of the exposure during which the LED was on; 0 is a dark frame.
        """
        if lit_fraction > 0.0:
            pulse = 1.0 + self.optics.pulse_jitter * float(
                np.clip(generator("pulse", frame_seed).normal(), -3.0, 3.0)
            )
            lit_ms = exposure_ms * lit_fraction * self.optics.light_output(time_s) * pulse
            photoelectrons = self.transmission(x_um, y_um, z_um, wavelength_nm)
            photoelectrons = photoelectrons * self._blank_e_per_ms * np.float32(lit_ms)
        else:
            photoelectrons = np.zeros((self.height_px, self.width_px), np.float32)
        return self.sensor.read_out(
            photoelectrons,
            exposure_ms=exposure_ms,
            gain_db=gain_db,
            full_scale=full_scale,
            frame_seed=frame_seed,
        )

    def transmission(
        self, x_um: float, y_um: float, z_um: float, wavelength_nm: float = 260
    ) -> Float32Array:
        """Return the noise-free image after the optics, (height_px, width_px); 1 is blank glass."""
        defocus_um = z_um - self.smear.focus_z_um(x_um, y_um)
        spectrum = self._spectrum(float(x_um), float(y_um), float(wavelength_nm))
        return self._imager(float(wavelength_nm)).image(spectrum, defocus_um)

    def truth(self, x_um: float, y_um: float) -> FieldTruth:
        """Return what is really in the field around (x_um, y_um)."""
        half_width_um, half_height_um = self._half_size_um()
        labels = np.zeros((self.height_px, self.width_px), np.uint8)
        instances = np.zeros((self.height_px, self.width_px), np.uint16)
        cells: list[CellTruth] = []
        for cell in self.smear.white_cells_near(
            x_um, y_um, half_width_um + _WHITE_CELL_REACH_UM, half_height_um + _WHITE_CELL_REACH_UM
        ):
            seen = self._mark(cell, x_um, y_um, labels, instances, len(cells) + 1)
            if seen is not None:
                cells.append(seen)
        chunks = self.smear.chunks_near(
            x_um, y_um, half_width_um + _REACH_UM, half_height_um + _REACH_UM
        )
        return FieldTruth(
            cells=tuple(cells),
            labels=labels,
            instances=instances,
            red_cells=self._inside([chunk.red_cells for chunk in chunks], x_um, y_um),
            platelets=self._inside([chunk.platelets for chunk in chunks], x_um, y_um),
        )

    def _half_size_um(self) -> tuple[float, float]:
        return self.width_px * self.pixel_um / 2.0, self.height_px * self.pixel_um / 2.0

    def _inside(self, groups: list[NDArray[np.float64]], x_um: float, y_um: float) -> Float32Array:
        half_width_um, half_height_um = self._half_size_um()
        points = np.concatenate([group[:, :2] for group in groups])
        inside = (np.abs(points[:, 0] - x_um) <= half_width_um) & (
            np.abs(points[:, 1] - y_um) <= half_height_um
        )
        return points[inside].astype(np.float32)

    def _column_row(
        self, object_x_um: float, object_y_um: float, x_um: float, y_um: float
    ) -> tuple[float, float]:
        """Return the pixel coordinates of an object; pixel centres are whole numbers."""
        return (
            (object_x_um - x_um) / self.pixel_um + (self.width_px - 1) / 2.0,
            (object_y_um - y_um) / self.pixel_um + (self.height_px - 1) / 2.0,
        )

    def _mark(
        self,
        cell: WhiteCell,
        x_um: float,
        y_um: float,
        labels: NDArray[np.uint8],
        instances: NDArray[np.uint16],
        index: int,
    ) -> CellTruth | None:
        """Draw a cell's masks where no earlier cell lies; None when no pixel is in the field."""
        stamp = self._stamp(cell)
        column, row = self._column_row(cell.x_um, cell.y_um, x_um, y_um)
        shifted, left, top = _shifted(stamp.labels, column, row, cv2.INTER_NEAREST)
        y0, y1 = max(top, 0), min(top + shifted.shape[0], self.height_px)
        x0, x1 = max(left, 0), min(left + shifted.shape[1], self.width_px)
        if y0 >= y1 or x0 >= x1:
            return None
        part = shifted[y0 - top : y1 - top, x0 - left : x1 - left]
        own = (part > 0) & (instances[y0:y1, x0:x1] == 0)
        if not own.any():
            return None
        labels[y0:y1, x0:x1][own] = part[own]
        instances[y0:y1, x0:x1][own] = index
        rows, columns = np.nonzero(own.any(axis=1))[0], np.nonzero(own.any(axis=0))[0]
        return CellTruth(
            id=cell.id,
            kind=cell.kind,
            alive=cell.kind != "dead",
            x_um=cell.x_um,
            y_um=cell.y_um,
            area_um2=stamp.area_um2,
            nucleus_area_um2=stamp.nucleus_area_um2,
            nucleic_acid_pg=stamp.nucleic_acid_pg,
            bbox_px=(
                x0 + int(columns[0]),
                y0 + int(rows[0]),
                x0 + int(columns[-1]) + 1,
                y0 + int(rows[-1]) + 1,
            ),
            cut=np.count_nonzero(part) < np.count_nonzero(shifted),
        )

    def _make_imager(self, wavelength_nm: float) -> Imager:
        return Imager(self.optics, self.height_px, self.width_px, self.pixel_um, wavelength_nm)

    def _make_banks(self, wavelength_nm: float) -> tuple[Float32Array, Float32Array]:
        """Return the optical maps of red cells and platelets, (N, 2, n, n) each."""
        red, platelets = self._mass_banks()
        return (
            np.stack([optical_maps(masses, wavelength_nm) for masses in red]),
            np.stack([optical_maps(masses, wavelength_nm) for masses in platelets]),
        )

    def _mass_banks(self) -> tuple[Float32Array, Float32Array]:
        donor = self.smear.donor
        return red_cell_bank(donor, self.pixel_um), platelet_bank(donor, self.pixel_um)

    def _draw_stamp(self, cell: WhiteCell) -> CellStamp:
        return white_cell(cell.kind, cell.key, cell.diameter_um, self.smear.donor, self.pixel_um)

    def _make_white_maps(self, cell: WhiteCell, wavelength_nm: float) -> Float32Array:
        return optical_maps(self._stamp(cell).masses, wavelength_nm)

    def _make_artefact_maps(self, artefact: Artefact, wavelength_nm: float) -> Float32Array:
        return optical_maps(artefact_masses(artefact, self.pixel_um), wavelength_nm)

    def _make_spectrum(
        self, x_um: float, y_um: float, wavelength_nm: float
    ) -> NDArray[np.complex64]:
        imager = self._imager(wavelength_nm)
        half_width_um, half_height_um = self._half_size_um()
        chunks = self.smear.chunks_near(
            x_um, y_um, half_width_um + _REACH_UM, half_height_um + _REACH_UM
        )
        maps = np.zeros((2, imager.padded_height_px, imager.padded_width_px), np.float32)
        columns = np.arange(imager.padded_width_px) - imager.left_px - (self.width_px - 1) / 2.0
        rows = np.arange(imager.padded_height_px) - imager.top_px - (self.height_px - 1) / 2.0
        maps[0] = self.smear.film_density(
            x_um + columns * self.pixel_um, y_um + rows * self.pixel_um
        )
        self._add_bank_objects(maps, imager, chunks, (x_um, y_um), wavelength_nm)
        self._add_drawn_objects(maps, imager, chunks, (x_um, y_um), wavelength_nm)
        return imager.spectrum(maps[0], maps[1])

    def _add_bank_objects(
        self,
        maps: Float32Array,
        imager: Imager,
        chunks: list[Chunk],
        centre_um: tuple[float, float],
        wavelength_nm: float,
    ) -> None:
        red, platelets = self._banks(wavelength_nm)
        for bank, groups in (
            (red, [chunk.red_cells for chunk in chunks]),
            (platelets, [chunk.platelets for chunk in chunks]),
        ):
            objects = np.concatenate(groups)
            columns, rows = self._column_row(objects[:, 0], objects[:, 1], *centre_um)
            half_px = bank.shape[-1] // 2
            left = np.rint(columns).astype(int) - half_px + imager.left_px
            top = np.rint(rows).astype(int) - half_px + imager.top_px
            choices = objects[:, 2:].astype(int)
            for x, y, (index, turn) in zip(
                left.tolist(), top.tolist(), choices.tolist(), strict=True
            ):
                _add(maps, _turned(bank[index], turn), x, y)

    def _add_drawn_objects(
        self,
        maps: Float32Array,
        imager: Imager,
        chunks: Iterable[Chunk],
        centre_um: tuple[float, float],
        wavelength_nm: float,
    ) -> None:
        half_width_um, half_height_um = self._half_size_um()
        for chunk in chunks:
            for item in (*chunk.white_cells, *chunk.artefacts):
                reach_um = _WHITE_CELL_REACH_UM if isinstance(item, WhiteCell) else _REACH_UM
                if (
                    abs(item.x_um - centre_um[0]) > half_width_um + reach_um
                    or abs(item.y_um - centre_um[1]) > half_height_um + reach_um
                ):
                    continue
                if isinstance(item, WhiteCell):
                    stack = self._white_maps(item, wavelength_nm)
                else:
                    stack = self._artefact_maps(item, wavelength_nm)
                column, row = self._column_row(item.x_um, item.y_um, *centre_um)
                for plane, source in zip(maps, stack, strict=True):
                    shifted, left, top = _shifted(source, column, row, cv2.INTER_CUBIC)
                    _add(plane[None], shifted[None], left + imager.left_px, top + imager.top_px)


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


def _shifted(
    image: NDArray[Any], column: float, row: float, interpolation: int
) -> tuple[NDArray[Any], int, int]:
    """Move a centred image to sub-pixel (column, row); return it and its left and top pixel."""
    left, top = math.floor(column), math.floor(row)
    half_px = image.shape[0] // 2
    shift = np.array([[1.0, 0.0, column - left], [0.0, 1.0, row - top]])
    size_px = image.shape[0] + 1
    moved = cv2.warpAffine(image, shift, (size_px, size_px), flags=interpolation)
    return moved, left - half_px, top - half_px
