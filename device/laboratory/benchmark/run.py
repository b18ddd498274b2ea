"""All measurements of ``leukolux bench``, one after the other in one process."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import onnxruntime

from device.laboratory.benchmark.baseline import (
    PaperCost,
    measure_ceilings,
    measure_networks,
    measure_paper,
)
from device.laboratory.benchmark.cost import measure_steps, measure_threads
from device.laboratory.benchmark.fresh_process import measure_fresh_process
from device.laboratory.benchmark.report import Benchmark
from device.laboratory.benchmark.stored_tiles import StoredTiles, store
from device.laboratory.benchmark.threads import THREADS
from device.laboratory.virtual_scan import virtual_background, virtual_tiles
from device.settings.sections import AnalysisConfig
from hal.factory import virtual_microscope
from models.reference.architectures import READINGS
from models.runtime import load_models

_COLD_STARTS = 3
_TILES_IN_MEMORY = 100


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes:
        smear: donor of the tiles, NAME:SEED.
        tiles: tiles to analyse.
        patches: patches each of the paper's networks is timed on.
    """

    smear: str = "healthy:3002"
    tiles: int = 100
    patches: int = 2


def run_benchmark(effort: Effort, folder: Path, say: Callable[[str], None]) -> Benchmark:
    """Measure everything.

    Args:
        effort: how much.
        folder: empty, for the tiles: 3 MB each.
        say: told what is being done.

    Raises:
        InputError: there is no such donor.
        ModelError: a network or graph file is missing or damaged.
        BenchmarkError: the analysis failed in a process of its own.
    """
    machine = _machine()
    say(f"rendering {effort.tiles} tiles of {effort.smear}")
    tiles = _render(effort, folder)
    config, model_sets = AnalysisConfig(), [load_models(provider="cpu") for _ in range(THREADS)]
    say("the analysis, step by step")
    steps = measure_steps(tiles, model_sets[0], config)
    say(f"the analysis on {THREADS} threads")
    in_memory = list(islice(tiles, _TILES_IN_MEMORY))
    threaded = measure_threads(in_memory, tiles.background, model_sets, config)
    del in_memory
    say("the analysis in processes of its own")
    fresh = measure_fresh_process(folder, len(tiles), _COLD_STARTS)
    say("the networks and the ceilings")
    ceilings, networks = measure_ceilings(), measure_networks()
    papers: dict[str, PaperCost] = {}
    for reading in READINGS:
        say(f"the paper's networks, reading {reading.letter}")
        papers[reading.letter] = measure_paper(reading, effort.patches)
    return Benchmark(steps, threaded, fresh, papers, ceilings, networks, machine)


def _render(effort: Effort, folder: Path) -> StoredTiles:
    microscope = virtual_microscope(effort.smear)
    tiles = (tile for tile, _ in virtual_tiles(microscope, effort.tiles, seed=0))
    return store(folder, virtual_background(microscope), tiles)


def _machine() -> dict[str, str]:
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "onnxruntime": onnxruntime.__version__,
        "load at the start": f"{os.getloadavg()[0]:.1f}",
    }
