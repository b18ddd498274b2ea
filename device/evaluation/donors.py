"""The whole analysis on simulated donors it never saw, against their truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from device.analysis.cell_finder import FoundCell
from device.analysis.registry import CellRegistry
from device.analysis.tile_analyzer import TileAnalyzer
from device.config import AnalysisConfig
from device.differential import tally
from device.evaluation.scores import DonorResult, Outline
from device.evaluation.truth import compare
from device.evaluation.virtual_scan import (
    OutlinedField,
    RenderingMicroscope,
    virtual_background,
    virtual_tiles,
)
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
    """Analyse the virtual tiles of a donor and compare with the truth.

    Args:
        name: of the donor.
        microscope: over the donor's smear.
        models: the networks.
        config: analysis settings.
        tiles: number of tiles.
        seed: of stage and focus errors.
    """
    analyzer = TileAnalyzer(models, config, virtual_background(microscope))
    registry = CellRegistry(microscope.pixel_um, config.merge_distance_um)
    outlines: list[Outline] = []
    analysis_ms: list[float] = []
    places_um: dict[int, tuple[float, float]] = {}
    for tile, true_um in virtual_tiles(microscope, tiles, seed):
        analysis, found = analyzer.outline(tile)
        registry.add(analysis, tile.x_um, tile.y_um)
        analysis_ms.append(analysis.elapsed_ms)
        if analysis.quality.usable:
            places_um[tile.sequence] = (tile.x_um, tile.y_um)
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
