"""The paper's own networks, the machine's ceilings, and how near the shipped networks come."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import mean

from device.laboratory.benchmark.step_times import CpuClock
from hal.config import CameraConfig
from models.manifest import NetworkEntry, read_manifest
from models.reference.architectures import PATCHES_PER_TILE, Reading
from models.reference.ceilings import CEILINGS
from models.reference.operations import workload
from models.reference.sessions import open_ceiling, open_network
from models.runtime import PACKAGE_DIRECTORY, cascade_entries
from models.scout import MULTIPLE_PX
from models.session import Network

RUNS = 20
"""Runs of which the fastest counts."""


@dataclass(frozen=True)
class PaperNetwork:
    """One of the paper's networks, FP32 on one thread.

    Attributes:
        parameters: weights and biases.
        macs: multiply-accumulates per patch of 512x512.
        patch_ms: CPU time per patch.
    """

    parameters: int
    macs: int
    patch_ms: float


@dataclass(frozen=True)
class PaperCost:
    """One reading of the paper's networks.

    Attributes:
        reading: its letter.
        patches: patches timed per network, after one that warmed it up.
        networks: by name.
    """

    reading: str
    patches: int
    networks: dict[str, PaperNetwork]

    @property
    def tile_ms(self) -> float:
        """CPU time of all networks over a tile, extrapolated from the patches timed."""
        return PATCHES_PER_TILE * sum(network.patch_ms for network in self.networks.values())

    @property
    def gops(self) -> float:
        """Billions of operations per second over all networks; two per multiply-accumulate."""
        macs = sum(network.macs for network in self.networks.values())
        return gops(macs, sum(network.patch_ms for network in self.networks.values()))


@dataclass(frozen=True)
class Speed:
    """How fast a graph runs at best on one thread.

    Attributes:
        macs: multiply-accumulates of a run.
        best_ms: least CPU time of a run.
    """

    macs: int
    best_ms: float

    @property
    def gops(self) -> float:
        """Billions of operations per second; two per multiply-accumulate."""
        return gops(self.macs, self.best_ms)


def gops(macs: int, time_ms: float) -> float:
    """Return billions of operations per second; two per multiply-accumulate."""
    return 2 * macs / time_ms / 1e6


def measure_paper(
    reading: Reading, patches: int, clock_s: CpuClock = time.thread_time
) -> PaperCost:
    """Time each of the paper's three networks over some patches, one after the other.

    Raises:
        ModelError: a graph file is missing or damaged.
    """
    networks = {}
    for seed, (name, architecture) in enumerate(reading.networks.items()):
        graph = open_network(architecture, seed)
        graph.run()
        networks[name] = PaperNetwork(
            architecture.parameters,
            architecture.macs,
            mean(_cpu_ms(graph.run, clock_s) for _ in range(patches)),
        )
    return PaperCost(reading.letter, patches, networks)


def measure_ceilings(runs: int = RUNS) -> dict[str, Speed]:
    """Return what one core reaches with the fastest convolutions, ``int8`` and ``fp32``.

    Raises:
        ModelError: a graph file is missing or damaged.
    """
    return {
        ceiling.name: Speed(ceiling.macs, _best_ms(open_ceiling(ceiling, seed=0).run, runs))
        for ceiling in CEILINGS
    }


def measure_networks(runs: int = RUNS) -> dict[str, Speed]:
    """Return how fast the shipped networks run: the scout on a tile, the others on one crop.

    Raises:
        ModelError: a network file is missing or damaged.
    """
    speeds = {}
    for name, entry in cascade_entries(read_manifest(PACKAGE_DIRECTORY)).items():
        network = Network(PACKAGE_DIRECTORY, entry)
        work = workload(PACKAGE_DIRECTORY / entry.file, _grid(entry), seed=0)
        speeds[name] = Speed(work.macs, _best_ms(partial(network.run, work.image), runs))
    return speeds


def _grid(entry: NetworkEntry) -> tuple[int, int]:
    """Return rows and columns of the folded image a network sees in the instrument."""
    if entry.crop_px is not None:
        side = entry.crop_px // entry.block_px
        return side, side
    camera = CameraConfig()
    rows_px, columns_px = (
        -(-size_px // MULTIPLE_PX) * MULTIPLE_PX for size_px in (camera.height_px, camera.width_px)
    )
    return rows_px // entry.block_px, columns_px // entry.block_px


def _best_ms(work: Callable[[], object], runs: int) -> float:
    work()
    return min(_cpu_ms(work, time.thread_time) for _ in range(runs))


def _cpu_ms(work: Callable[[], object], clock_s: CpuClock) -> float:
    start_s = clock_s()
    work()
    return (clock_s() - start_s) * 1e3
