"""The queue between acquisition and analysis: it waits, keeps order, and hands failures on."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event as Signal

import numpy as np
import pytest

from device.analysis import pipeline as pipeline_module
from device.analysis.pipeline import AnalysisPipeline, AnalysisStuckError
from device.analysis.quality import TileQuality
from device.analysis.tile import Tile
from device.analysis.tile_analyzer import TileAnalysis
from hal.errors import Cancelled

TIMEOUT_S = 30.0


def tile(sequence: int) -> Tile:
    pixels = np.zeros((4, 4), np.uint16)
    return Tile(sequence, 0, sequence, 0.0, 0.0, 0.0, pixels, 4095, 0.165, 50.0)


def analysis(sequence: int) -> TileAnalysis:
    quality = TileQuality(1.0, 0.3, 0.0, usable=True, reason=None)
    return TileAnalysis(sequence, quality, (), 0, 0, 1.0, np.zeros((1, 1), np.uint8))


class Gate:
    """An analyzer that analyses a tile only when told to."""

    def __init__(self, *open_for: int) -> None:
        self.gates = {sequence: Signal() for sequence in range(10)}
        self.failures: dict[int, Exception] = {}
        for sequence in open_for:
            self.gates[sequence].set()

    def analyze(self, tile: Tile) -> TileAnalysis:
        assert self.gates[tile.sequence].wait(TIMEOUT_S)
        if tile.sequence in self.failures:
            raise self.failures[tile.sequence]
        return analysis(tile.sequence)

    def open_all(self) -> None:
        for gate in self.gates.values():
            gate.set()


class Sink:
    def __init__(self) -> None:
        self.sequences: list[int] = []

    def accept(self, tile: Tile, analysis: TileAnalysis) -> None:
        assert tile.sequence == analysis.sequence
        self.sequences.append(tile.sequence)


def patience() -> Callable[[], None]:
    """Return a callback that gives up instead of waiting for ever."""
    polls = iter(range(int(TIMEOUT_S / pipeline_module.POLL_S)))
    return lambda: (next(polls), None)[1]


def test_results_are_accepted_in_order_of_acquisition_whoever_is_faster() -> None:
    gate, sink = Gate(1, 2, 3), Sink()
    pipeline = AnalysisPipeline([gate, gate], 8, sink.accept)
    for sequence in range(4):
        pipeline.submit(tile(sequence), patience())
    assert sink.sequences == []
    gate.open_all()
    pipeline.drain(patience())
    assert sink.sequences == [0, 1, 2, 3]
    pipeline.close()


def test_a_full_queue_waits_until_it_is_wanted_no_more() -> None:
    gate, sink = Gate(), Sink()
    pipeline = AnalysisPipeline([gate], 2, sink.accept)
    for sequence in range(2):
        pipeline.submit(tile(sequence), patience())

    def give_up() -> None:
        raise Cancelled("The run")

    def fill() -> None:
        for sequence in range(2, 5):
            pipeline.submit(tile(sequence), give_up)

    with pytest.raises(Cancelled):
        fill()
    waiting = pipeline.waiting
    assert waiting in (2, 3)
    gate.open_all()
    pipeline.drain(patience())
    assert sink.sequences == list(range(waiting))
    pipeline.close()


def test_a_failed_analysis_reaches_the_owner_and_nothing_after_it_is_accepted() -> None:
    gate, sink = Gate(), Sink()
    gate.failures[1] = ValueError("a bug")
    pipeline = AnalysisPipeline([gate], 8, sink.accept)
    for sequence in range(4):
        pipeline.submit(tile(sequence), patience())
    gate.open_all()
    with pytest.raises(ValueError, match="a bug"):
        pipeline.drain(patience())
    with pytest.raises(ValueError, match="a bug"):
        pipeline.submit(tile(4), patience())
    pipeline.close()
    assert sink.sequences == [0]


def test_a_result_that_cannot_be_stored_is_a_failure_too() -> None:
    gate = Gate(*range(10))

    def accept(tile: Tile, analysis: TileAnalysis) -> None:
        raise OSError("disk full")

    pipeline = AnalysisPipeline([gate], 8, accept)
    pipeline.submit(tile(0), patience())
    with pytest.raises(OSError, match="disk full"):
        pipeline.drain(patience())
    pipeline.close()


def test_an_analysis_that_hangs_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_module, "STUCK_S", 0.1)
    gate, sink = Gate(), Sink()
    pipeline = AnalysisPipeline([gate], 8, sink.accept)
    pipeline.submit(tile(0), patience())
    with pytest.raises(AnalysisStuckError, match="tile 0"):
        pipeline.drain(patience())
    pipeline.close()
    gate.open_all()


def test_closing_analyses_what_is_queued() -> None:
    gate, sink = Gate(*range(10)), Sink()
    pipeline = AnalysisPipeline([gate, gate], 8, sink.accept)
    for sequence in range(6):
        pipeline.submit(tile(sequence), patience())
    pipeline.close()
    assert sink.sequences == list(range(6))


def test_a_tile_that_waits_for_something_else_is_not_a_stuck_analysis(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pipeline_module, "STUCK_S", 0.1)
    free = Signal()

    def accept(tile: Tile, analysis: TileAnalysis) -> None:
        while not free.wait(0.01):
            pipeline.excuse()

    pipeline = AnalysisPipeline([Gate(0)], 8, accept)
    pipeline.submit(tile(0), patience())
    looks = iter(range(6))
    pipeline.drain(lambda: free.set() if next(looks, None) is None else None)
    pipeline.close()
