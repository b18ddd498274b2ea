"""What the analysis costs, step by step: ratios carry over to other machines, seconds do not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from statistics import mean
from typing import TypeVar

from device.analysis.cell_finder import CellFinder
from device.analysis.flatfield import Background, Image, flat_field, saturated_fraction
from device.analysis.quality import TileQuality, assess, shrink
from device.analysis.tile_analyzer import TileAnalyzer
from device.config import AnalysisConfig, ScanConfig
from device.tile import Tile
from models.runtime import ModelSet

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Benchmark:
    """Mean CPU time per tile of one thread.

    Attributes:
        tiles: tiles measured.
        cells: white cells found in them.
        steps_ms: CPU time per tile of each step.
        whole_ms: CPU time per tile of the whole analysis, measured on its own.
        acquisition_ms: time a tile takes to settle and expose, from the settings.
    """

    tiles: int
    cells: int
    steps_ms: dict[str, float]
    whole_ms: float
    acquisition_ms: float

    def table(self) -> str:
        """Return ratios first, then the measured times of this machine."""
        total_ms = sum(self.steps_ms.values())
        lines = [
            f"{self.tiles} tiles, {self.cells} white cells",
            f"settle + exposure / analysis of a tile: {self.acquisition_ms / self.whole_ms:.1f}",
            "share of the analysis:",
        ]
        lines += [
            f"  {name:22}{step_ms / total_ms:6.1%}" for name, step_ms in self.steps_ms.items()
        ]
        lines.append(f"CPU time of one thread: {self.whole_ms:.1f} ms per tile on this machine")
        return "\n".join(lines)


def measure(
    tiles: Iterable[Tile],
    background: Background,
    models: ModelSet,
    config: AnalysisConfig,
    scan: ScanConfig,
) -> Benchmark:
    """Run every step of the analysis over ``tiles`` and time it.

    The first tile warms the networks up and is not counted.
    """
    analyzer, finder = TileAnalyzer(models, config, background), CellFinder(models, config)
    steps_ms: dict[str, list[float]] = {}
    whole_ms: list[float] = []
    cells, exposure_ms = 0, 0.0
    for tile in tiles:
        image, flat_ms = _timed(partial(flat_field, tile.pixels, background))
        _, quality_ms = _timed(partial(_quality, tile, image, config))
        seen, scout_ms = _timed(partial(models.scout.find, image))
        found, cells_ms = _timed(partial(finder.find, image, seen.nuclei))
        _, tile_ms = _timed(partial(analyzer.analyze, tile))
        whole_ms.append(tile_ms)
        measured = (flat_ms, quality_ms, scout_ms, cells_ms)
        for name, step_ms in zip(
            ("flat field", "quality", "scout", "cells"), measured, strict=True
        ):
            steps_ms.setdefault(name, []).append(step_ms)
        cells += len(found) if len(whole_ms) > 1 else 0
        exposure_ms = tile.exposure_ms
    return Benchmark(
        tiles=len(whole_ms) - 1,
        cells=cells,
        steps_ms={name: mean(values[1:]) for name, values in steps_ms.items()},
        whole_ms=mean(whole_ms[1:]),
        acquisition_ms=scan.settle_xy_ms + exposure_ms,
    )


def _quality(tile: Tile, image: Image, config: AnalysisConfig) -> TileQuality:
    saturated = saturated_fraction(tile.pixels, tile.full_scale)
    return assess(image, shrink(image), saturated, config)


def _timed(work: Callable[[], _Result]) -> tuple[_Result, float]:
    start_s = time.thread_time()
    result = work()
    return result, (time.thread_time() - start_s) * 1e3
