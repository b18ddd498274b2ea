"""Time, injected: everything that waits takes a clock, and every wait can be cancelled."""

from __future__ import annotations

import time
from threading import Event
from typing import Final, Protocol

from hal.errors import Cancelled

SIMULATED_PATIENCE_S: Final = 1.0


class Clock(Protocol):
    """A source of monotonic time and of cancellable waits."""

    patience_s: float
    """Real time that a device has for an answer at the least, whatever this clock says."""

    def monotonic_s(self) -> float:
        """Return seconds since an arbitrary start; never goes backwards."""

    def sleep(self, duration_s: float, cancel: Event | None = None) -> None:
        """Wait ``duration_s`` seconds of this clock.

        Raises:
            Cancelled: ``cancel`` was set before or during the wait.
        """

    def wait(self, event: Event, timeout_s: float) -> bool:
        """Wait until ``event`` is set or ``timeout_s`` of this clock passed; return whether set."""


class SystemClock:
    """The computer's monotonic clock.  Safety deadlines always use this one, never a scaled one.

    Args:
        speed: simulated seconds per real second; 1 for real hardware.
        patience_s: real seconds that a device has for an answer at the least: the simulated one
            shares a busy computer with its driver.  None for 1 s at another speed than 1, else 0.
    """

    def __init__(self, speed: float = 1.0, patience_s: float | None = None) -> None:
        if not speed > 0:
            raise ValueError(f"speed must be positive, not {speed}")
        if patience_s is None:
            patience_s = 0.0 if speed == 1.0 else SIMULATED_PATIENCE_S
        self.speed = speed
        self.patience_s = patience_s

    def monotonic_s(self) -> float:
        """Return scaled seconds since an arbitrary start."""
        return time.monotonic() * self.speed

    def sleep(self, duration_s: float, cancel: Event | None = None) -> None:
        """Wait ``duration_s`` scaled seconds; raise :class:`Cancelled` if ``cancel`` is set."""
        if cancel is None:
            time.sleep(max(0.0, duration_s) / self.speed)
        elif cancel.wait(max(0.0, duration_s) / self.speed):
            raise Cancelled("The wait")

    def wait(self, event: Event, timeout_s: float) -> bool:
        """Wait until ``event`` is set or ``timeout_s`` scaled seconds passed."""
        return event.wait(max(0.0, timeout_s) / self.speed)


class ManualClock:
    """A clock for tests: waiting advances it at once, so nothing really waits."""

    patience_s = 0.0

    def __init__(self, start_s: float = 0.0) -> None:
        self._now_s = start_s

    def monotonic_s(self) -> float:
        """Return the time that was advanced to."""
        return self._now_s

    def advance(self, duration_s: float) -> None:
        """Move the clock forward by ``duration_s`` seconds."""
        self._now_s += max(0.0, duration_s)

    def sleep(self, duration_s: float, cancel: Event | None = None) -> None:
        """Advance by ``duration_s``, or raise :class:`Cancelled` if ``cancel`` is set."""
        if cancel is not None and cancel.is_set():
            raise Cancelled("The wait")
        self.advance(duration_s)

    def wait(self, event: Event, timeout_s: float) -> bool:
        """Return whether ``event`` is set, advancing by ``timeout_s`` when it is not."""
        if not event.is_set():
            self.advance(timeout_s)
        return event.is_set()
