"""Cold start and peak memory of the analysis, in processes of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from hal.errors import LeukoluxError

_PROGRAM = "device.laboratory.benchmark.analysis_alone"


class BenchmarkError(LeukoluxError):
    """A figure of the benchmark could not be measured."""


@dataclass(frozen=True)
class FreshProcess:
    """The analysis alone in a process, on two threads.

    Attributes:
        cold_starts_s: from the start of Python to the first tile counted, of each start.
        tiles: tiles analysed for the peak.
        cells: white cells counted in them.
        peak_memory_mb: largest resident memory, 1e6 bytes.
    """

    cold_starts_s: tuple[float, ...]
    tiles: int
    cells: int
    peak_memory_mb: float

    @property
    def cold_start_s(self) -> float:
        """The median."""
        return median(self.cold_starts_s)


def measure_fresh_process(folder: Path, tiles: int, starts: int) -> FreshProcess:
    """Start the analysis several times for one tile, then once for all of them.

    Args:
        folder: of stored tiles.
        tiles: how many it holds.
        starts: number of cold starts; the files they read are in the system's memory.

    Raises:
        BenchmarkError: the process failed.
    """
    cold_starts_s = tuple(_start(folder, 1)[0] for _ in range(starts))
    _, figures = _start(folder, tiles)
    return FreshProcess(cold_starts_s, tiles, int(figures["cells"]), figures["peak_memory_mb"])


def _start(folder: Path, tiles: int) -> tuple[float, dict[str, float]]:
    """Return the time to the first tile and what the process reports."""
    start_s = time.monotonic()
    done = subprocess.run(  # noqa: S603 (this program, no shell)
        [sys.executable, "-m", _PROGRAM, str(folder), str(tiles)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BenchmarkError("BENCH-PROCESS-FAILED", exit_code=done.returncode)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures["first_tile_s"] - start_s, figures
