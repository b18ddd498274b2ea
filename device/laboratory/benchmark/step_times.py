"""CPU time of one thread, booked on the step it is in: the steps add up to the whole."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from models.runtime import ModelSet

CpuClock = Callable[[], float]
"""Returns the CPU time of the calling thread in seconds."""


class StepTimes:
    """Books all CPU time between :meth:`enter` and :meth:`stop` on the step entered last.

    Attributes:
        spent_ms: CPU time of each step, in order of their first appearance.
    """

    def __init__(self, clock_s: CpuClock = time.thread_time) -> None:
        self.spent_ms: dict[str, float] = {}
        self._clock_s = clock_s
        self._step: str | None = None
        self._since_s = 0.0

    def enter(self, step: str) -> None:
        """Begin a step, ending the one before."""
        self.stop()
        self.spent_ms.setdefault(step, 0.0)
        self._step = step

    def stop(self) -> None:
        """End the step."""
        now_s = self._clock_s()
        if self._step is not None:
            self.spent_ms[self._step] += (now_s - self._since_s) * 1e3
        self._step, self._since_s = None, now_s


class _Watched:
    """Passes everything on to a network; its methods enter a step, and another one after."""

    def __init__(self, network: object, step_times: StepTimes, step: str, after: str) -> None:
        self._network = network
        self._step_times = step_times
        self._step = step
        self._after = after

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._network, name)
        if not callable(value):
            return value

        def timed(*args: Any, **options: Any) -> Any:
            self._step_times.enter(self._step)
            try:
                return value(*args, **options)
            finally:
                self._step_times.enter(self._after)

        return timed


def watched(models: ModelSet, step_times: StepTimes, after: str) -> ModelSet:
    """Return the same networks, which book their time on ``scout``, ``segment``, ``classify``.

    Args:
        models: the networks.
        step_times: where they book their time.
        after: step that follows each of them.
    """
    return replace(
        models,
        scout=cast(Any, _Watched(models.scout, step_times, "scout", after)),
        segmenter=cast(Any, _Watched(models.segmenter, step_times, "segment", after)),
        classifier=cast(Any, _Watched(models.classifier, step_times, "classify", after)),
    )
