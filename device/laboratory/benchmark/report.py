"""Everything ``leukolux bench`` measured in one run: ratios first, each figure next to its bar."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from device.laboratory.benchmark.baseline import RUNS, PaperCost, Speed
from device.laboratory.benchmark.cost import StepCost, ThreadedRun
from device.laboratory.benchmark.fresh_process import FreshProcess
from models.reference.architectures import PATCH_PX, PATCHES_PER_TILE

HONEST_READING = "B"
"""The cheaper reading of the paper's networks is the one to be measured against."""


@dataclass(frozen=True)
class Bar:
    """What a figure should reach.

    Attributes:
        limit: in ``unit``.
        unit: of figure and limit.
        at_least: whether more is better.
    """

    limit: float
    unit: str
    at_least: bool = False

    def __str__(self) -> str:
        return f"at {'least' if self.at_least else 'most'} {self.limit:g} {self.unit}"

    def met(self, value: float) -> bool:
        """Return whether a figure reaches it."""
        return value >= self.limit if self.at_least else value <= self.limit


BARS = {
    "times_cheaper": Bar(300.0, "times", at_least=True),
    "tile_cpu_ms": Bar(30.0, "ms"),
    "hundred_tiles_s": Bar(2.0, "s"),
    "peak_memory_mb": Bar(300.0, "MB"),
    "cold_start_s": Bar(2.0, "s"),
}


@dataclass(frozen=True)
class Benchmark:
    """One run.

    Attributes:
        steps: the analysis on one thread.
        threaded: the analysis on two.
        fresh: the analysis in a process of its own.
        papers: the paper's networks by reading.
        ceilings: what one core can do, ``int8`` and ``fp32``.
        networks: the shipped networks by name.
        machine: what it ran on, by name.
    """

    steps: StepCost
    threaded: ThreadedRun
    fresh: FreshProcess
    papers: Mapping[str, PaperCost]
    ceilings: Mapping[str, Speed]
    networks: Mapping[str, Speed]
    machine: Mapping[str, str]

    def times_cheaper(self, reading: str) -> float:
        """Return CPU time of the paper's three networks over that of the whole analysis."""
        return self.papers[reading].tile_ms / self.steps.whole_ms

    @property
    def figures(self) -> dict[str, float]:
        """The figures that have a bar, by its name."""
        return {
            "times_cheaper": self.times_cheaper(HONEST_READING),
            "tile_cpu_ms": self.steps.whole_ms,
            "hundred_tiles_s": self.threaded.hundred_tiles_s,
            "peak_memory_mb": self.fresh.peak_memory_mb,
            "cold_start_s": self.fresh.cold_start_s,
        }

    def table(self) -> str:
        """Return all figures as text."""
        parts = (self._ratios(), self._times(), self._shares(), self._papers(), self._speeds())
        machine = ", ".join(f"{name} {value}" for name, value in self.machine.items())
        return "\n\n".join("\n".join(part) for part in (*parts, [f"Machine: {machine}"]))

    def as_dict(self) -> dict[str, Any]:
        """Return all figures as JSON takes them."""
        figures = self.figures
        return {
            "figures": {
                name: {"value": figures[name], "met": bar.met(figures[name]), **asdict(bar)}
                for name, bar in BARS.items()
            },
            "times_cheaper": {reading: self.times_cheaper(reading) for reading in self.papers},
            "analysis": {**asdict(self.steps), "whole_ms": self.steps.whole_ms},
            "threads": asdict(self.threaded),
            "fresh_process": asdict(self.fresh),
            "paper": {
                name: {**asdict(paper), "tile_ms": paper.tile_ms}
                for name, paper in self.papers.items()
            },
            "ceilings": {name: _speed(speed) for name, speed in self.ceilings.items()},
            "networks": {
                name: {**_speed(speed), "of_int8_ceiling": speed.gops / self._int8_gops}
                for name, speed in self.networks.items()
            },
            "machine": dict(self.machine),
        }

    @property
    def _int8_gops(self) -> float:
        return self.ceilings["int8"].gops

    def _ratios(self) -> Iterator[str]:
        paper = self.papers[HONEST_READING]
        yield (
            f"The whole analysis is {self.times_cheaper(HONEST_READING):.0f} times cheaper in CPU "
            f"time than the paper's three networks (reading {HONEST_READING}, FP32, "
            f"{PATCHES_PER_TILE} patches of {PATCH_PX}x{PATCH_PX} px a tile, extrapolated from "
            f"{paper.patches} timed patches); {self._bar('times_cheaper')}."
        )
        for reading in self.papers:
            if reading != HONEST_READING:
                yield f"Reading {reading}: {self.times_cheaper(reading):.0f} times."

    def _times(self) -> Iterator[str]:
        tiles, cells = self.steps.tiles, self.steps.cells
        yield f"Ordinary tiles: {tiles} with {cells} white cells, {cells / tiles:.2f} a tile"
        rows = (
            ("one core, CPU time per tile", "tile_cpu_ms", ".1f"),
            (f"100 tiles, {self.threaded.threads} worker threads", "hundred_tiles_s", ".2f"),
            ("peak memory of the analysis", "peak_memory_mb", ".0f"),
            ("cold start to first tile", "cold_start_s", ".2f"),
        )
        for words, name, form in rows:
            value = f"{self.figures[name]:{form}} {BARS[name].unit}"
            yield f"  {words:30}{value:>10}   {self._bar(name)}"

    def _bar(self, name: str) -> str:
        bar = BARS[name]
        return f"{bar}: {'met' if bar.met(self.figures[name]) else 'not met'}"

    def _shares(self) -> Iterator[str]:
        yield "Share of the whole analysis, CPU time of one thread:"
        for step, step_ms in self.steps.steps_ms.items():
            yield f"  {step:30}{step_ms / self.steps.whole_ms:7.1%}{step_ms:9.2f} ms"
        yield f"  {'together':30}{'':7}{self.steps.whole_ms:9.2f} ms"

    def _papers(self) -> Iterator[str]:
        yield "The paper's networks, FP32 on one thread:"
        for reading, paper in self.papers.items():
            for name, network in paper.networks.items():
                yield (
                    f"  {reading} {name:18}{network.parameters / 1e6:8.2f} M parameters"
                    f"{network.macs / 1e9:7.1f} GMAC{network.patch_ms:9.0f} ms a patch"
                )
            share = paper.gops / self.ceilings["fp32"].gops
            yield (
                f"  {reading} all three, {PATCHES_PER_TILE} patches: "
                f"{paper.tile_ms / 1e3:.2f} CPU-s a tile, {share:.2f} of the FP32 ceiling"
            )

    def _speeds(self) -> Iterator[str]:
        yield "This machine's ceilings, one core, dense 3x3 convolutions of 64 channels:"
        for name, speed in self.ceilings.items():
            yield f"  {name.upper():12}{speed.gops:7.0f} GOPS"
        yield f"The INT8 networks alone, best of {RUNS}, the scout on a tile, the others on a crop:"
        for name, speed in self.networks.items():
            yield (
                f"  {name:12}{speed.macs / 1e6:7.0f} MMAC{speed.best_ms:8.2f} ms"
                f"{speed.gops:7.0f} GOPS, {speed.gops / self._int8_gops:.2f} of the INT8 ceiling"
            )


def _speed(speed: Speed) -> dict[str, float]:
    return {**asdict(speed), "gops": speed.gops}
