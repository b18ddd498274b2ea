"""Stage moves that end still; the stage has its own thread, so that it can move ahead."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Event
from typing import Any, TypeVar

from device.settings.sections import ScanConfig
from hal.clock import Clock
from hal.interfaces.stage import Position, Stage

Result = TypeVar("Result")

HEARTBEAT_S = 0.5
"""Longest silence of the waiting thread; real seconds."""


class Mover:
    """Moves and settles; every wait ends with Cancelled when ``cancel`` is set.

    All motion runs on one thread, the owner of the stage.  Used by one other thread, which waits
    for it, except after :meth:`go_ahead`.

    Args:
        heartbeat: called while waiting.
    """

    def __init__(
        self,
        stage: Stage,
        clock: Clock,
        scan: ScanConfig,
        cancel: Event,
        heartbeat: Callable[[], None],
    ) -> None:
        self._stage = stage
        self._clock = clock
        self._settle_xy_s = scan.settle_xy_ms / 1000.0
        self._settle_z_s = scan.settle_z_ms / 1000.0
        self._cancel = cancel
        self._heartbeat = heartbeat
        self._owner = ThreadPoolExecutor(1, "stage")
        self._target_um: tuple[float, float, float] | None = None
        self._ahead: Future[Position] | None = None
        self._newest: Future[Any] | None = None

    def home(self, *, even_if_homed: bool = False) -> None:
        """Home the stage if its position is not known, or in any case (``even_if_homed``)."""
        if even_if_homed or not self._stage.homed:
            self._wait_for(self._begin(self._stage.home, self._cancel))

    def go_ahead(self, x_um: float, y_um: float, z_um: float) -> None:
        """Start towards a place without waiting; :meth:`to` the same place waits for arrival."""
        self._settle_ahead()
        self._target_um = (x_um, y_um, z_um)
        self._ahead = self._begin(self._go, x_um, y_um, z_um)

    def to(self, x_um: float, y_um: float, z_um: float) -> Position:
        """Go to a place and stand still there; return the position reported."""
        if self._ahead is not None and self._target_um == (x_um, y_um, z_um):
            arriving, self._ahead = self._ahead, None
            return self._wait_for(arriving)
        self._settle_ahead()
        return self._wait_for(self._begin(self._go, x_um, y_um, z_um))

    def to_z(self, z_um: float) -> Position:
        """Change the focus and stand still; return the position reported."""
        self._settle_ahead()
        return self._wait_for(self._begin(self._go_z, z_um))

    def come_to_rest(self) -> None:
        """Wait for the end of a move ahead; :meth:`to` the same place still finds it arrived."""
        while self._ahead is not None and not wait([self._ahead], HEARTBEAT_S).done:
            self._heartbeat()

    def close(self) -> None:
        """Stop a move that is still under way, and end the stage's thread.

        Raises StageError if the stage does not stop; the thread has ended all the same.
        """
        try:
            if self._newest is not None and not self._newest.done():
                self._stage.stop()
        finally:
            self._owner.shutdown()

    def _begin(self, motion: Callable[..., Result], *args: object) -> Future[Result]:
        self._newest = begun = self._owner.submit(motion, *args)
        return begun

    def _settle_ahead(self) -> None:
        """Wait for a move ahead that is no longer wanted; the next move shows its failure."""
        if self._ahead is not None:
            while not wait([self._ahead], HEARTBEAT_S).done:
                self._heartbeat()
            self._ahead = None

    def _wait_for(self, motion: Future[Result]) -> Result:
        while not wait([motion], HEARTBEAT_S).done:
            self._heartbeat()
        return motion.result()

    def _go(self, x_um: float, y_um: float, z_um: float) -> Position:
        position = self._stage.move_to(x_um, y_um, z_um, self._cancel)
        self._clock.sleep(self._settle_xy_s, self._cancel)
        return position

    def _go_z(self, z_um: float) -> Position:
        position = self._stage.move_to(z_um=z_um, cancel=self._cancel)
        self._clock.sleep(self._settle_z_s, self._cancel)
        return position
