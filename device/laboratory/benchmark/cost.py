"""The cost of the analysis: each step on one thread, and many tiles on two."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from device.analysis.flatfield import Background, flat_field
from device.analysis.registry import CellRegistry
from device.analysis.tile import Tile
from device.analysis.tile_analyzer import TileAnalyzer
from device.laboratory.benchmark.step_times import CpuClock, StepTimes, watched
from device.laboratory.benchmark.stored_tiles import StoredTiles
from device.laboratory.benchmark.threads import count_cells
from device.settings.sections import AnalysisConfig
from models.runtime import ModelSet

_BEFORE_SCOUT = "before the scout"
_BETWEEN_NETWORKS = "post-process"
_REGISTER = "registration"


@dataclass(frozen=True)
class StepCost:
    """Mean CPU time of one thread per tile.

    Attributes:
        tiles: tiles analysed.
        cells: white cells counted in them, each once.
        steps_ms: CPU time per tile of each step; together they are the whole analysis.
    """

    tiles: int
    cells: int
    steps_ms: dict[str, float]

    @property
    def whole_ms(self) -> float:
        """CPU time per tile of the whole analysis."""
        return sum(self.steps_ms.values())


@dataclass(frozen=True)
class ThreadedRun:
    """The analysis on several threads.

    Attributes:
        threads: worker threads, each with its own networks.
        tiles: tiles analysed.
        wall_s: from the first tile handed over to the last one counted.
    """

    threads: int
    tiles: int
    wall_s: float

    @property
    def hundred_tiles_s(self) -> float:
        """Time for 100 tiles."""
        return self.wall_s * 100 / self.tiles


def measure_steps(
    tiles: StoredTiles,
    models: ModelSet,
    config: AnalysisConfig,
    clock_s: CpuClock = time.thread_time,
) -> StepCost:
    """Analyse and register the tiles one after the other, booking all CPU time on a step.

    Flat field and quality are one stretch in the analysis; a second pass over the tiles does the
    flat field alone and divides it.
    """
    background = tiles.background
    for tile in islice(tiles, 1):
        TileAnalyzer(models, config, background).analyze(tile)
    step_times = StepTimes(clock_s)
    analyzer = TileAnalyzer(watched(models, step_times, _BETWEEN_NETWORKS), config, background)
    registry = CellRegistry(models.pixel_um, config.merge_distance_um)
    for tile in tiles:
        step_times.enter(_BEFORE_SCOUT)
        analysis = analyzer.analyze(tile)
        step_times.enter(_REGISTER)
        registry.add(analysis, tile.x_um, tile.y_um)
        step_times.stop()
    alone = StepTimes(clock_s)
    for tile in tiles:
        alone.enter("flat field")
        flat_field(tile.pixels, background)
        alone.stop()
    before_ms = step_times.spent_ms.pop(_BEFORE_SCOUT)
    flat_ms = alone.spent_ms["flat field"]
    order = ("scout", "segment", _BETWEEN_NETWORKS, "classify", _REGISTER)
    spent_ms = {"flat field": flat_ms, "quality": before_ms - flat_ms}
    spent_ms |= {step: step_times.spent_ms.get(step, 0.0) for step in order}
    return StepCost(
        tiles=len(tiles),
        cells=len(registry.cells),
        steps_ms={step: total_ms / len(tiles) for step, total_ms in spent_ms.items()},
    )


def measure_threads(
    tiles: Sequence[Tile],
    background: Background,
    model_sets: Sequence[ModelSet],
    config: AnalysisConfig,
) -> ThreadedRun:
    """Run the tiles through the instrument's own pipeline, one thread per set of networks.

    Args:
        tiles: in memory, numbered 0, 1, 2, ...
        background: of the tiles.
        model_sets: one per thread.
        config: of the analysis.
    """
    analyzers = [TileAnalyzer(models, config, background) for models in model_sets]
    for analyzer in analyzers:
        analyzer.analyze(tiles[0])
    registry = CellRegistry(model_sets[0].pixel_um, config.merge_distance_um)
    start_s = time.perf_counter()
    count_cells(tiles, analyzers, registry, counted=lambda _: None)
    return ThreadedRun(len(analyzers), len(tiles), time.perf_counter() - start_s)
