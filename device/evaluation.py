"""The whole analysis on simulated donors it never saw, against their truth."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from device.analysis.cell_finder import FoundCell
from device.analysis.flatfield import Background
from device.analysis.registry import CellRegistry
from device.analysis.tile_analyzer import TileAnalyzer
from device.config import AnalysisConfig, ScanConfig
from device.differential import tally
from device.plan import Field, make_plan
from device.scores import DonorResult, Outline
from device.tile import Tile
from device.truth import Microscope, TrueField, compare
from hal.config import CameraConfig
from models.runtime import ModelSet

FIRST_UNSEEN_SEED = 3000
"""Donors of smaller seeds may have been trained on."""

# Half the cohort neutropenia, a sixth each of the others, close to the 11/4/4/4 of Kaza et al.
_COHORT = (
    "neutropenia-severe",
    "healthy",
    "neutropenia-moderate",
    "sickle",
    "neutropenia-mild",
    "thrombocytopenia",
)
_FULL_SCALE = 4095
_EXPOSURE_MS = 50.0
_TILE_PERIOD_S = 0.5
_STAGE_ERROR_UM = 1.5
_LARGEST_STAGE_ERROR_UM = 3.0
_FOCUS_ERROR_UM = 0.4
_BLANK_FRAMES = 8
_BLANK_STEP_UM = 300.0


class FocalPlane(Protocol):
    """Where a smear is in focus."""

    def focus_z_um(self, x_um: float, y_um: float) -> float:
        """Return the focus at a place of the stage frame."""


class OutlinedField(TrueField, Protocol):
    """A true field with the outlines of its cells."""

    @property
    def labels(self) -> NDArray[np.uint8]:
        """0 background, 1 cytoplasm, 2 nucleus, (h, w)."""

    @property
    def instances(self) -> NDArray[np.uint16]:
        """0 or the 1-based index into ``cells``, (h, w)."""


class RenderingMicroscope(Microscope, Protocol):
    """A virtual microscope with its smear."""

    @property
    def smear(self) -> FocalPlane:
        """What lies under it."""

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
    ) -> NDArray[np.uint16]:
        """Return one frame, (height, width)."""


def unseen_donors(count: int, first_seed: int = FIRST_UNSEEN_SEED) -> list[str]:
    """Return the names of ``count`` donors of changing disease, NAME:SEED.

    Raises ValueError for a seed that training may have used.
    """
    if first_seed < FIRST_UNSEEN_SEED:
        raise ValueError(f"seed {first_seed} is below {FIRST_UNSEEN_SEED}")
    return [f"{_COHORT[i % len(_COHORT)]}:{first_seed + i}" for i in range(count)]


def evaluate_donor(
    name: str,
    microscope: RenderingMicroscope,
    models: ModelSet,
    config: AnalysisConfig,
    tiles: int,
    seed: int,
) -> DonorResult:
    """Scan a block of tiles in the middle of a simulated smear and compare with its truth.

    The stage is off by up to 3 um, the focus by 0.4 um (standard deviation), and the lamp drifts,
    as they would in the instrument.

    Args:
        name: of the donor.
        microscope: over the donor's smear.
        models: the networks.
        config: analysis settings.
        tiles: number of tiles.
        seed: of stage and focus errors.
    """
    scan = ScanConfig()
    background = _background(microscope, scan)
    analyzer = TileAnalyzer(models, config, background)
    registry = CellRegistry(microscope.pixel_um, config.merge_distance_um)
    rng = np.random.default_rng(seed)
    outlines: list[Outline] = []
    analysis_ms: list[float] = []
    places_um: dict[int, tuple[float, float]] = {}
    for sequence, place in enumerate(_block(scan, microscope, tiles)):
        error_um = np.clip(
            rng.normal(0.0, _STAGE_ERROR_UM, 2), -_LARGEST_STAGE_ERROR_UM, _LARGEST_STAGE_ERROR_UM
        )
        true_um = (place.x_um + float(error_um[0]), place.y_um + float(error_um[1]))
        tile = _take(microscope, sequence, place, true_um, float(rng.normal(0, _FOCUS_ERROR_UM)))
        analysis, found = analyzer.outline(tile)
        registry.add(analysis, tile.x_um, tile.y_um)
        analysis_ms.append(analysis.elapsed_ms)
        if analysis.quality.usable:
            places_um[sequence] = (tile.x_um, tile.y_um)
            outlines += _outlines(found, microscope.truth(*true_um))
    counts, unidentified = tally(registry.cells)
    return DonorResult(
        name=name,
        comparison=compare(registry.cells, places_um, microscope),
        counts=counts,
        unidentified=unidentified,
        outlines=tuple(outlines),
        analysis_ms=tuple(analysis_ms),
        tiles_refused=len(analysis_ms) - len(places_um),
    )


def _background(microscope: RenderingMicroscope, scan: ScanConfig) -> Background:
    frames = []
    for i in range(_BLANK_FRAMES):
        x_um = scan.blank_x_um + i * _BLANK_STEP_UM
        z_um = microscope.smear.focus_z_um(x_um, scan.blank_y_um)
        frames.append(
            microscope.render(
                x_um, scan.blank_y_um, z_um, exposure_ms=_EXPOSURE_MS, frame_seed=-1 - i
            )
        )
    return Background(np.mean(frames, axis=0, dtype=np.float32), _FULL_SCALE)


def _block(scan: ScanConfig, microscope: Microscope, tiles: int) -> Sequence[Field]:
    """Return a compact block of tiles in the middle of the scan area, in serpentine order."""
    camera = CameraConfig(
        width_px=microscope.width_px, height_px=microscope.height_px, pixel_um=microscope.pixel_um
    )
    columns = math.ceil(math.sqrt(tiles))
    rows = math.ceil(tiles / columns)
    width_um = columns * (camera.width_px * camera.pixel_um - scan.overlap_um) + scan.overlap_um
    height_um = rows * (camera.height_px * camera.pixel_um - scan.overlap_um) + scan.overlap_um
    block = scan.model_copy(
        update={
            "left_um": scan.left_um + (scan.width_um - width_um) / 2,
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
) -> Tile:
    z_um = microscope.smear.focus_z_um(*true_um) + focus_error_um
    pixels = microscope.render(
        *true_um,
        z_um,
        exposure_ms=_EXPOSURE_MS,
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
        exposure_ms=_EXPOSURE_MS,
    )


def _outlines(found: Sequence[FoundCell], truth: OutlinedField) -> Iterator[Outline]:
    """Yield how well each whole cell that lies on a true one is outlined."""
    for cell in found:
        instance = int(truth.instances[round(cell.y_px), round(cell.x_px)])
        if cell.cut or instance == 0:
            continue
        x0, y0, x1, y1 = truth.cells[instance - 1].bbox_px
        ours = np.zeros(truth.labels.shape, np.uint8)
        left, top, right, bottom = cell.bbox_px
        ours[top:bottom, left:right] = cell.mask
        window = (
            slice(min(top, y0), max(bottom, y1)),
            slice(min(left, x0), max(right, x1)),
        )
        true_cell = truth.instances[window] == instance
        true_nucleus = true_cell & (truth.labels[window] == 2)
        yield Outline(
            dice_cell=_dice(ours[window] > 0, true_cell),
            dice_nucleus=_dice(ours[window] == 2, true_nucleus),
        )


def _dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    both = int(np.count_nonzero(one)) + int(np.count_nonzero(other))
    return 2.0 * int(np.count_nonzero(one & other)) / both if both else 1.0
