"""What people asked for, waiting for the owner of the hardware to resolve it."""

from __future__ import annotations

from threading import Event as Signal
from threading import Lock

from device.engine.state.states import Event


class Requests:
    """Flags set by any thread and taken by the owner of the hardware between two exposures.

    Attributes:
        cancel: set while the run in progress is to end, so that its waits end at once.
    """

    def __init__(self) -> None:
        self.cancel = Signal()
        self._wake = Signal()
        self._lock = Lock()
        self._pending: set[Event] = set()

    def put(self, event: Event) -> None:
        """Ask for ``event``."""
        with self._lock:
            self._pending.add(event)
            if event in (Event.ABORT, Event.SHUT_DOWN):
                self.cancel.set()
            self._wake.set()

    def take(self, event: Event) -> bool:
        """Return whether ``event`` was asked for, and forget it; a shutdown is never forgotten."""
        with self._lock:
            asked = event in self._pending
            if event is not Event.SHUT_DOWN:
                self._pending.discard(event)
            return asked

    def clear(self) -> None:
        """Forget everything except a shutdown, before or after a run."""
        with self._lock:
            self._pending &= {Event.SHUT_DOWN}
            self._wake.clear()
            if not self._pending:
                self.cancel.clear()

    def wait(self, timeout_s: float) -> None:
        """Wait for the next request, at most ``timeout_s`` real seconds: people are not scaled."""
        self._wake.wait(timeout_s)
        self._wake.clear()
