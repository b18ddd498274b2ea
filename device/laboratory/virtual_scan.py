"""Tiles of a virtual smear as the instrument would take them, without an instrument."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from device.acquisition.plan import make_plan
from device.analysis.flatfield import Background
from device.analysis.tile import Tile
from device.imaging.field import Field
from device.laboratory.truth import Microscope, TrueCell, TrueField
from device.settings.sections import ScanConfig
from hal.config import CameraConfig

_FULL_SCALE = 4095
_TILE_PERIOD_S = 0.5
_LARGEST_STAGE_ERROR = 2.0
"""In standard deviations."""

_BLANK_FRAMES = 8
_BLANK_STEP_UM = 300.0

FOCUS_LEFT_UM = (-0.08, 0.21)
"""Mean and standard deviation of the defocus of a tile that the instrument takes: measured on 912
tiles of 8 donors that :class:`~device.acquisition.acquirer.Acquisition` took, against the truth."""


@dataclass(frozen=True)
class Conditions:
    """How the tiles of a virtual smear are taken.

    Attributes:
        defocus_um: of every tile; None for what autofocus leaves, normal as
            :data:`FOCUS_LEFT_UM` says.
        exposure_ms: of tiles and blank frames.
        x_um: middle of the tiles along the smear; None for the middle of the scan area.
        stage_error_um: standard deviation of what the stage is off by, x and y; never more than
            twice that.
        backlash_um: by how much rows that are scanned backwards lie farther right.
    """

    defocus_um: float | None = None
    exposure_ms: float = 50.0
    x_um: float | None = None
    stage_error_um: float = 1.5
    backlash_um: float = 0.0


ORDINARY = Conditions()


class FocalPlane(Protocol):
    """Where a smear is in focus."""

    def focus_z_um(self, x_um: float, y_um: float) -> float:
        """Return the focus at a place of the stage frame."""


class OutlinedCell(TrueCell, Protocol):
    """A true cell with its size."""

    @property
    def area_um2(self) -> float:
        """Of the whole cell, whether or not the field cuts it."""


class OutlinedField(TrueField, Protocol):
    """A true field with the outlines of its cells."""

    @property
    def cells(self) -> Sequence[OutlinedCell]:
        """White cells with at least one pixel in the field."""

    @property
    def labels(self) -> NDArray[np.uint8]:
        """0 background, 1 cytoplasm, 2 nucleus, (h, w)."""

    @property
    def instances(self) -> NDArray[np.uint16]:
        """0 or the 1-based index into ``cells``, (h, w)."""

    @property
    def red_cells(self) -> NDArray[np.float32]:
        """Centres of the red cells inside the field, stage frame, (N, 2)."""

    @property
    def platelets(self) -> NDArray[np.float32]:
        """Centres of the platelets inside the field, stage frame, (N, 2)."""


class RenderingMicroscope(Microscope, Protocol):
    """A virtual microscope with its smear."""

    @property
    def smear(self) -> FocalPlane:
        """What lies under it."""

    @property
    def camera_axes(self) -> NDArray[np.float64]:
        """From steps of the stage to steps in the image, (2, 2)."""

    def truth(self, x_um: float, y_um: float) -> OutlinedField:
        """Return what is in the field around a place."""

    def render(
        self,
        x_um: float,
        y_um: float,
        z_um: float,
        *,
        exposure_ms: float,
        full_scale: int = ...,
        frame_seed: int = ...,
        time_s: float = ...,
        lit_fraction: float = ...,
    ) -> NDArray[np.uint16]:
        """Return one frame, (height, width); without light where ``lit_fraction`` is 0."""


def virtual_tiles(
    microscope: RenderingMicroscope, tiles: int, seed: int, conditions: Conditions = ORDINARY
) -> Iterator[tuple[Tile, tuple[float, float]]]:
    """Yield a block of tiles in the middle of a smear, each with where it truly lies, um.

    Stage and focus are off as the conditions say, and the lamp drifts, as they would in the
    instrument.

    Args:
        microscope: over the smear.
        tiles: number of tiles.
        seed: of stage and focus errors.
        conditions: how the tiles are taken.
    """
    rng = np.random.default_rng(seed)
    for sequence, place in enumerate(_block(ScanConfig(), microscope, tiles, conditions.x_um)):
        largest_um = _LARGEST_STAGE_ERROR * conditions.stage_error_um
        error_um = np.clip(rng.normal(0.0, conditions.stage_error_um, 2), -largest_um, largest_um)
        if place.row % 2:
            error_um[0] += conditions.backlash_um
        true_um = (place.x_um + float(error_um[0]), place.y_um + float(error_um[1]))
        left_um = float(rng.normal(*FOCUS_LEFT_UM))
        focus_error_um = left_um if conditions.defocus_um is None else conditions.defocus_um
        tile = _take(microscope, sequence, place, true_um, focus_error_um, conditions.exposure_ms)
        yield tile, true_um


def virtual_background(
    microscope: RenderingMicroscope, exposure_ms: float = ORDINARY.exposure_ms
) -> Background:
    """Return the mean of blank frames next to the smear, with the level of a dark one."""
    scan = ScanConfig()
    frames = []
    for i in range(_BLANK_FRAMES):
        x_um = scan.blank_x_um + i * _BLANK_STEP_UM
        z_um = microscope.smear.focus_z_um(x_um, scan.blank_y_um)
        frames.append(
            microscope.render(
                x_um, scan.blank_y_um, z_um, exposure_ms=exposure_ms, frame_seed=-1 - i
            )
        )
    dark = microscope.render(
        scan.blank_x_um, scan.blank_y_um, 0.0, exposure_ms=exposure_ms, lit_fraction=0.0
    )
    blank = np.asarray(np.mean(frames, axis=0, dtype=np.float32))
    return Background(blank, _FULL_SCALE, dark_level=float(dark.mean()))


def _block(
    scan: ScanConfig, microscope: Microscope, tiles: int, x_um: float | None
) -> Sequence[Field]:
    """Return a compact block of tiles around ``x_um`` halfway up the scan area, in serpentines."""
    middle_um = scan.left_um + scan.width_um / 2 if x_um is None else x_um
    camera = CameraConfig(
        width_px=microscope.width_px, height_px=microscope.height_px, pixel_um=microscope.pixel_um
    )
    columns = math.ceil(math.sqrt(tiles))
    rows = math.ceil(tiles / columns)
    width_um = columns * (camera.width_px * camera.pixel_um - scan.overlap_um) + scan.overlap_um
    height_um = rows * (camera.height_px * camera.pixel_um - scan.overlap_um) + scan.overlap_um
    block = scan.model_copy(
        update={
            "left_um": middle_um - width_um / 2,
            "top_um": scan.top_um + (scan.height_um - height_um) / 2,
            "width_um": width_um,
            "height_um": height_um,
        }
    )
    return make_plan(block, camera).fields[:tiles]


def _take(
    microscope: RenderingMicroscope,
    sequence: int,
    place: Field,
    true_um: tuple[float, float],
    focus_error_um: float,
    exposure_ms: float,
) -> Tile:
    z_um = microscope.smear.focus_z_um(*true_um) + focus_error_um
    pixels = microscope.render(
        *true_um,
        z_um,
        exposure_ms=exposure_ms,
        full_scale=_FULL_SCALE,
        frame_seed=sequence,
        time_s=sequence * _TILE_PERIOD_S,
    )
    return Tile(
        sequence=sequence,
        row=place.row,
        column=place.column,
        x_um=place.x_um,
        y_um=place.y_um,
        z_um=z_um,
        pixels=pixels,
        full_scale=_FULL_SCALE,
        pixel_um=microscope.pixel_um,
        exposure_ms=exposure_ms,
    )
