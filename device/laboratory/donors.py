"""The whole analysis on simulated donors it never saw, against their truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from device.analysis.cell_finder import FoundCell
from device.analysis.flatfield import Background, Image, flat_field
from device.analysis.registry import CellRegistry, Settled
from device.analysis.tile import Tile
from device.analysis.tile_analyzer import TileAnalysis, TileAnalyzer
from device.laboratory.cell_samples import CellSamples
from device.laboratory.figures import ObjectCount
from device.laboratory.mosaic_truth import BorderCells, MosaicScore, position_errors_px
from device.laboratory.scores import DonorResult, Outline
from device.laboratory.truth import Comparison, CountedCell, compare, kind_of
from device.laboratory.virtual_scan import (
    ORDINARY,
    Conditions,
    OutlinedField,
    RenderingMicroscope,
    virtual_background,
    virtual_tiles,
)
from device.results.cell import Cell
from device.results.differential import tally
from device.settings.sections import AnalysisConfig
from models.runtime import ModelSet

FIRST_UNSEEN_SEED = 3000
"""Donors of smaller seeds may have been trained on."""

PAPER_COHORT = 23
"""Donors of Kaza et al., BME Frontiers 2022: 4 healthy, 4 sickle, 4 with few platelets, 11 with
few neutrophils."""

_COHORT = (
    "healthy",
    "neutropenia-severe",
    "sickle",
    "neutropenia-moderate",
    "thrombocytopenia",
    "neutropenia-mild",
)

_NO_PICTURE = np.zeros((0, 0), np.uint8)


def unseen_donors(count: int, first_seed: int = FIRST_UNSEEN_SEED) -> list[str]:
    """Return the names of ``count`` donors, NAME:SEED; 23 are mixed like the paper's cohort.

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
    *,
    conditions: Conditions = ORDINARY,
    background: Background | None = None,
    samples: CellSamples | None = None,
) -> DonorResult:
    """Analyse the virtual tiles of a donor and compare with the truth.

    Args:
        name: of the donor.
        microscope: over the donor's smear.
        models: the networks.
        config: analysis settings.
        tiles: number of tiles.
        seed: of stage and focus errors.
        conditions: how the tiles are taken.
        background: taken under them; None takes it.
        samples: takes example cells.
    """
    if background is None:
        background = virtual_background(microscope, conditions.exposure_ms)
    analyzer = TileAnalyzer(models, config, background)
    registry = CellRegistry(microscope.pixel_um, config.merge_distance_um)
    seen = _Seen(microscope)
    for tile, true_um in virtual_tiles(microscope, tiles, seed, conditions):
        analysis, found = analyzer.outline(tile)
        registry.add(analysis, tile.x_um, tile.y_um)
        seen.add(tile, analysis, found, true_um)
        if samples is not None:
            seen.images[tile.sequence] = flat_field(tile.pixels, background)
    settled = registry.settle()
    comparison = compare(settled.cells, seen.true_um, microscope)
    if samples is not None:
        samples.add(name, comparison, seen.images, seen.truth)
    counts, unidentified = tally(settled.cells)
    return DonorResult(
        name=name,
        comparison=_without_pictures(comparison),
        counts=counts,
        unidentified=unidentified,
        outlines=tuple(seen.outlines),
        red_cells=seen.red_cells,
        platelets=seen.platelets,
        area_mm2=len(seen.true_um) * _field_mm2(microscope),
        analysis_ms=tuple(seen.analysis_ms),
        tiles_refused=len(seen.analysis_ms) - len(seen.true_um),
        mosaic=seen.mosaic_score(settled, comparison),
    )


@dataclass
class _Seen:
    """What the tiles of one donor showed; mappings are by sequence number."""

    microscope: RenderingMicroscope
    outlines: list[Outline] = field(default_factory=list)
    red_cells: ObjectCount = field(default_factory=ObjectCount)
    platelets: ObjectCount = field(default_factory=ObjectCount)
    true_um: dict[int, tuple[float, float]] = field(default_factory=dict)
    images: dict[int, Image] = field(default_factory=dict)
    analysis_ms: list[float] = field(default_factory=list)
    every_true_um: list[tuple[float, float]] = field(default_factory=list)
    border_cells: BorderCells = field(init=False)

    def __post_init__(self) -> None:
        pixel_um, width_px = self.microscope.pixel_um, self.microscope.width_px
        self.border_cells = BorderCells(
            (width_px * pixel_um / 2.0, self.microscope.height_px * pixel_um / 2.0)
        )

    def add(
        self,
        tile: Tile,
        analysis: TileAnalysis,
        found: Sequence[FoundCell],
        true_um: tuple[float, float],
    ) -> None:
        self.analysis_ms.append(analysis.elapsed_ms)
        self.every_true_um.append(true_um)
        if not analysis.quality.usable:
            return
        self.true_um[tile.sequence] = true_um
        truth = self.truth(tile.sequence)
        self.border_cells.add(true_um, truth.cells)
        self.outlines += _outlines(found, truth)
        self.red_cells += ObjectCount(analysis.red_cell_count, len(truth.red_cells))
        self.platelets += ObjectCount(analysis.platelet_count, len(truth.platelets))

    def mosaic_score(self, settled: Settled, comparison: Comparison) -> MosaicScore:
        lost = self.border_cells.lost(comparison.found_ids)
        return MosaicScore(
            errors_px=position_errors_px(
                settled.placement.centres_um,
                np.array(self.every_true_um),
                self.microscope.camera_axes,
                self.microscope.pixel_um,
            ),
            counted=len(settled.cells),
            counted_twice=comparison.counted_twice,
            border_cells=lost.n,
            border_lost=lost.k,
        )

    def truth(self, sequence: int) -> OutlinedField:
        return self.microscope.truth(*self.true_um[sequence])


def _field_mm2(microscope: RenderingMicroscope) -> float:
    return microscope.width_px * microscope.height_px * (microscope.pixel_um * 1e-3) ** 2


def _without_pictures(comparison: Comparison) -> Comparison:
    """Return the comparison with cells that hold no pictures, so that many donors fit in memory."""
    return replace(
        comparison,
        matches=tuple((kind, _light(cell)) for kind, cell in comparison.matches),
        false_cells=tuple(_light(cell) for cell in comparison.false_cells),
    )


def _light(cell: CountedCell) -> CountedCell:
    if not isinstance(cell, Cell):
        return cell
    return replace(cell, thumbnail=_NO_PICTURE, mask=_NO_PICTURE)


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
            kind=kind_of(truth.cells[instance - 1].kind),
            dice_cell=_dice(ours[window] > 0, true_cell),
            dice_nucleus=_dice(ours[window] == 2, true_nucleus),
        )


def _dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    both = int(np.count_nonzero(one)) + int(np.count_nonzero(other))
    return 2.0 * int(np.count_nonzero(one & other)) / both if both else 1.0
