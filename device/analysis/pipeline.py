"""Analysis during acquisition: a bounded queue that waits, and results in order of acquisition."""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable, Sequence
from threading import Lock, Thread
from typing import Protocol

from device.analysis.tile import Tile
from device.analysis.tile_analyzer import TileAnalysis
from hal.errors import LeukoluxError

log = logging.getLogger(__name__)

POLL_S = 0.05
"""Longest time between two looks at whether waiting still makes sense; real seconds."""

STUCK_S = 30.0
"""An analysis takes a fraction of a second; after this long it hangs; real seconds."""


class AnalysisStuckError(LeukoluxError):
    """The analysis of a tile does not end."""


class Analyzer(Protocol):
    """Analyses tiles; one per thread."""

    def analyze(self, tile: Tile) -> TileAnalysis:
        """Analyse one tile."""


class AnalysisPipeline:
    """Analyses tiles on one thread per analyzer and hands the results on in order.

    A tile is acknowledged only when ``accept`` has returned, so nothing is ever dropped: a full
    queue makes :meth:`submit` wait.  Tiles must come with sequence numbers 0, 1, 2, ...  After a
    failure of ``analyze`` or ``accept`` nothing more is accepted; :meth:`check` raises it.

    Args:
        analyzers: one per thread.
        capacity: tiles that may wait for analysis.
        accept: stores one result; called by one thread at a time, in order of the sequence.
    """

    def __init__(
        self,
        analyzers: Sequence[Analyzer],
        capacity: int,
        accept: Callable[[Tile, TileAnalysis], None],
    ) -> None:
        self._accept = accept
        self._tiles: queue.Queue[Tile | None] = queue.Queue(capacity)
        # Held while a result is accepted; all else is read without it, so nobody waits for a disk.
        self._order = Lock()
        self._early: dict[int, tuple[Tile, TileAnalysis]] = {}
        self._next = 0
        self._submitted = 0
        self._failure: Exception | None = None
        self._started_s: dict[int, float] = {}
        self._excused_s = 0.0
        self._threads = [
            Thread(target=self._work, args=(analyzer,), name=f"analysis-{i}", daemon=True)
            for i, analyzer in enumerate(analyzers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Tiles submitted and not yet accepted."""
        return self._submitted - self._next

    def check(self) -> None:
        """Raise what made the analysis fail, if anything did; AnalysisStuckError when it hangs."""
        if self._failure is not None:
            raise self._failure
        now_s = time.monotonic()
        for sequence, started_s in self._started_s.copy().items():
            if now_s - max(started_s, self._excused_s) > STUCK_S:
                raise AnalysisStuckError("ANALYSIS-STUCK", tile=sequence, limit_s=STUCK_S)

    def excuse(self) -> None:
        """Begin the time limit of the analysis again: a tile waits for something else."""
        self._excused_s = time.monotonic()

    def submit(self, tile: Tile, while_waiting: Callable[[], None]) -> None:
        """Queue ``tile``; a full queue waits, calling ``while_waiting``, which may raise."""
        while True:
            self.check()
            try:
                self._tiles.put(tile, timeout=POLL_S)
            except queue.Full:
                while_waiting()
            else:
                self._submitted += 1
                return

    def drain(self, while_waiting: Callable[[], None]) -> None:
        """Wait until every submitted tile is accepted, calling ``while_waiting``.

        Raises whatever made the analysis fail.
        """
        while self.waiting:
            self.check()
            with self._tiles.all_tasks_done:
                self._tiles.all_tasks_done.wait(POLL_S)
            while_waiting()
        self.check()

    def close(self) -> None:
        """End the threads after what is queued; a thread that hangs is left behind."""
        deadline_s = time.monotonic() + STUCK_S
        try:
            for _ in self._threads:
                self._tiles.put(None, timeout=max(0.0, deadline_s - time.monotonic()))
        except queue.Full:
            log.exception("the analysis does not take its tiles")
        for thread in self._threads:
            thread.join(max(0.0, deadline_s - time.monotonic()))

    def _work(self, analyzer: Analyzer) -> None:
        while (tile := self._tiles.get()) is not None:
            self._started_s[tile.sequence] = time.monotonic()
            try:
                if self._failure is None:
                    self._hand_on(tile, analyzer.analyze(tile))
            except LeukoluxError as error:
                log.warning("tile %d was not counted: %s", tile.sequence, error)
                self._failure = self._failure or error
            except Exception as error:
                log.exception("analysis of tile %d failed", tile.sequence)
                self._failure = self._failure or error
            finally:
                del self._started_s[tile.sequence]
                self._tiles.task_done()

    def _hand_on(self, tile: Tile, analysis: TileAnalysis) -> None:
        with self._order:
            self._early[tile.sequence] = (tile, analysis)
            while self._failure is None and self._next in self._early:
                self._accept(*self._early.pop(self._next))
                self._next += 1
