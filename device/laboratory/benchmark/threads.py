"""Many tiles through the instrument's own pipeline, as a run does it, without disk and screen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from device.analysis.pipeline import AnalysisPipeline
from device.analysis.registry import CellRegistry
from device.analysis.tile import Tile
from device.analysis.tile_analyzer import TileAnalysis, TileAnalyzer
from device.settings.sections import ScanConfig

THREADS = 2
"""Worker threads, each with its own networks, of the figures for two cores."""


def count_cells(
    tiles: Iterable[Tile],
    analyzers: Sequence[TileAnalyzer],
    registry: CellRegistry,
    counted: Callable[[Tile], None],
) -> None:
    """Analyse tiles on one thread per analyzer and count their cells.

    Args:
        tiles: numbered 0, 1, 2, ...
        analyzers: one per thread.
        registry: counts the cells.
        counted: called after each tile, in order.
    """

    def accept(tile: Tile, analysis: TileAnalysis) -> None:
        registry.add(analysis, tile.x_um, tile.y_um)
        counted(tile)

    pipeline = AnalysisPipeline(analyzers, ScanConfig().queue_tiles, accept)
    try:
        for tile in tiles:
            pipeline.submit(tile, _go_on)
        pipeline.drain(_go_on)
    finally:
        pipeline.close()


def _go_on() -> None:
    """Keep waiting."""
