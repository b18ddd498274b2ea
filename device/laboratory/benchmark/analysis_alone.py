"""A process that analyses stored tiles and does nothing else.

``python -m device.laboratory.benchmark.analysis_alone FOLDER TILES`` ends with a line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import islice
from pathlib import Path

import cv2

from device.analysis.registry import CellRegistry
from device.analysis.tile import Tile
from device.analysis.tile_analyzer import TileAnalyzer
from device.laboratory.benchmark.memory import peak_memory_mb
from device.laboratory.benchmark.stored_tiles import StoredTiles
from device.laboratory.benchmark.threads import THREADS, count_cells
from device.settings.sections import AnalysisConfig
from models.runtime import load_models


def analyse(folder: Path, tiles: int) -> dict[str, float]:
    """Analyse the first tiles of a folder, as fresh processes do, and return what it took.

    Returns:
        ``first_tile_s``, when the first tile was counted on the clock of ``time.monotonic``, which
        all processes share; ``cells`` counted; ``peak_memory_mb``.
    """
    cv2.setNumThreads(1)
    stored, config = StoredTiles(folder), AnalysisConfig()
    model_sets = [load_models(provider="cpu") for _ in range(THREADS)]
    registry = CellRegistry(model_sets[0].pixel_um, config.merge_distance_um)
    first_s: list[float] = []

    def note(tile: Tile) -> None:
        if tile.sequence == 0:
            first_s.append(time.monotonic())

    count_cells(
        islice(stored, tiles),
        [TileAnalyzer(models, config, stored.background) for models in model_sets],
        registry,
        note,
    )
    return {
        "first_tile_s": first_s[0],
        "cells": len(registry.cells),
        "peak_memory_mb": peak_memory_mb(),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(analyse(Path(sys.argv[1]), int(sys.argv[2]))) + "\n")
