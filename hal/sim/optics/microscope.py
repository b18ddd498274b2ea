"""The virtual microscope: any field of a smear as the camera sees it, and its truth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from hal.sim.blood.cells import labels_of
from hal.sim.blood.masses import Float32Array
from hal.sim.blood.seeds import generator
from hal.sim.blood.smear import Smear, WhiteCell
from hal.sim.blood.specimen import (
    OBJECT_REACH_UM,
    WHITE_CELL_REACH_UM,
    PixelGrid,
    Specimen,
    moved_to,
)
from hal.sim.optics.faults import OpticalFaults
from hal.sim.optics.imaging import Imager, Optics
from hal.sim.optics.mounting import STRAIGHT
from hal.sim.optics.sensor import Sensor


@dataclass(frozen=True)
class CellTruth:
    """One white cell of a field.

    Attributes:
        id: the same in every field that shows the cell.
        kind: one of :data:`hal.sim.blood.donors.KINDS`.
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
        platelets: float32 (N, 2), x_um, y_um of the centres in the stage frame.
    """

    cells: tuple[CellTruth, ...]
    labels: NDArray[np.uint8]
    instances: NDArray[np.uint16]
    red_cells: Float32Array
    platelets: Float32Array


class VirtualMicroscope:
    """Renders fields of one smear.  Positions are in the stage frame; image x and y run with it.

    One thread may render while others ask for truth, which is that of a straight camera.

    Attributes:
        mounting: how the camera sits; a switch.
        faults: switches of what goes wrong with the light.
        sensor: camera chip; another one may be put in at any time.

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
        self.faults = OpticalFaults()
        self._blank_e_per_ms = (
            self.optics.illumination(height_px, width_px)
            * self.sensor.response(height_px, width_px)
            * np.float32(self.optics.blank_electrons_per_ms)
        )
        self.mounting = STRAIGHT
        self._specimen = Specimen(smear, pixel_um)
        self._imager = lru_cache(maxsize=3)(self._make_imager)
        self._spectrum = lru_cache(maxsize=1)(self._make_spectrum)

    @property
    def camera_axes(self) -> NDArray[np.float64]:
        """From steps of the stage to steps in the image, (2, 2)."""
        return np.asarray(np.linalg.inv(self.mounting.turn))

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
            photoelectrons *= self.faults.light(self.height_px, self.width_px)
        else:
            photoelectrons = np.zeros((self.height_px, self.width_px), np.float32)
        photoelectrons += np.float32(self.faults.leak_e_per_ms * exposure_ms)
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
        defocus_um = z_um + self.faults.defocus_um - self.smear.focus_z_um(x_um, y_um)
        spectrum = self._spectrum(float(x_um), float(y_um), float(wavelength_nm))
        return self.mounting.seen(self._imager(float(wavelength_nm)).image(spectrum, defocus_um))

    def truth(self, x_um: float, y_um: float) -> FieldTruth:
        """Return what is really in the field around (x_um, y_um)."""
        grid = self._grid(x_um, y_um)
        labels = np.zeros((self.height_px, self.width_px), np.uint8)
        instances = np.zeros((self.height_px, self.width_px), np.uint16)
        cells: list[CellTruth] = []
        for cell in self.smear.white_cells_near(*grid.rectangle_um(WHITE_CELL_REACH_UM)):
            seen = self._mark(cell, grid, labels, instances, len(cells) + 1)
            if seen is not None:
                cells.append(seen)
        chunks = self.smear.chunks_near(*grid.rectangle_um(OBJECT_REACH_UM))
        return FieldTruth(
            cells=tuple(cells),
            labels=labels,
            instances=instances,
            red_cells=_inside(grid, [chunk.red_cells for chunk in chunks]),
            platelets=_inside(grid, [chunk.platelets for chunk in chunks]),
        )

    def _grid(self, x_um: float, y_um: float) -> PixelGrid:
        return PixelGrid.centred(x_um, y_um, self.width_px, self.height_px, self.pixel_um)

    def _mark(
        self,
        cell: WhiteCell,
        grid: PixelGrid,
        labels: NDArray[np.uint8],
        instances: NDArray[np.uint16],
        index: int,
    ) -> CellTruth | None:
        """Draw a cell's masks where no earlier cell lies; None if no pixel is in the field."""
        stamp = self._specimen.stamp(cell)
        place = grid.column_row(cell.x_um, cell.y_um)
        depths = [moved_to(depth_um, place, cv2.INTER_LINEAR) for depth_um in stamp.depth_um]
        moved = labels_of(np.stack([depth_um for depth_um, _, _ in depths]))
        _, left, top = depths[0]
        y0, y1 = max(top, 0), min(top + moved.shape[0], self.height_px)
        x0, x1 = max(left, 0), min(left + moved.shape[1], self.width_px)
        if y0 >= y1 or x0 >= x1:
            return None
        part = moved[y0 - top : y1 - top, x0 - left : x1 - left]
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
            cut=bool(np.count_nonzero(part) < np.count_nonzero(moved)),
        )

    def _make_imager(self, wavelength_nm: float) -> Imager:
        return Imager(self.optics, self.height_px, self.width_px, self.pixel_um, wavelength_nm)

    def _make_spectrum(
        self, x_um: float, y_um: float, wavelength_nm: float
    ) -> NDArray[np.complex64]:
        imager = self._imager(wavelength_nm)
        grid = self._grid(x_um, y_um).padded(
            imager.left_px, imager.top_px, imager.padded_width_px, imager.padded_height_px
        )
        return imager.spectrum(*self._specimen.optical_maps(grid, wavelength_nm))


def _inside(grid: PixelGrid, groups: list[NDArray[np.float64]]) -> Float32Array:
    x_um, y_um, half_width_um, half_height_um = grid.rectangle_um(0.0)
    points = np.concatenate([group[:, :2] for group in groups])
    inside = (np.abs(points[:, 0] - x_um) <= half_width_um) & (
        np.abs(points[:, 1] - y_um) <= half_height_um
    )
    return points[inside].astype(np.float32)
