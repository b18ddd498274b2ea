"""A simulated GPIO module: the ``RPi.GPIO`` interface over simulated lines."""

from __future__ import annotations

from threading import Lock

from hal.sim.gpio.lines import Edge, Lines, MemoryLines


class FakeGpio:
    """Behaves like ``RPi.GPIO``; every edge is recorded with its real time.

    An input without a set level floats high, as with the external pull-ups of the instrument.
    Safe from any thread.

    Args:
        lines: what is driven and read; None makes lines of its own.
    """

    BOARD = 10
    OUT = 0
    IN = 1
    LOW = 0
    HIGH = 1

    def __init__(self, lines: Lines | None = None) -> None:
        self.lines = lines if lines is not None else MemoryLines()
        self._lock = Lock()
        self._directions: dict[int, int] = {}
        self._failing: set[int] = set()

    def setmode(self, mode: int) -> None:
        """Accept BOARD numbering only."""
        if mode != self.BOARD:
            raise ValueError("only BOARD numbering is wired")

    def setwarnings(self, enabled: bool) -> None:
        """Nothing warns here."""

    def setup(self, channel: int, direction: int, *, initial: int | None = None) -> None:
        """Claim a pin.  Raises OSError if another process has it."""
        with self._lock:
            self._check(channel)
            self.lines.claim(channel)
            self._directions[channel] = direction
            if direction == self.OUT and initial is not None:
                self.lines.drive(channel, initial)

    def output(self, channel: int, level: int) -> None:
        """Drive an output.  Raises RuntimeError for a pin that is no output."""
        with self._lock:
            self._check(channel)
            if self._directions.get(channel) != self.OUT:
                raise RuntimeError(f"pin {channel} is not set up as an output")
            self.lines.drive(channel, level)

    def input(self, channel: int) -> int:
        """Read a pin.  Raises RuntimeError for a pin that was not set up."""
        with self._lock:
            self._check(channel)
            if channel not in self._directions:
                raise RuntimeError(f"pin {channel} is not set up")
        level = self.lines.level(channel)
        return self.HIGH if level is None else level

    def cleanup(self, channel: int) -> None:
        """Release a pin: an output floats, and the instrument's pull-downs make it low."""
        with self._lock:
            self._check(channel)
            if self._directions.pop(channel, None) == self.OUT:
                self.lines.drive(channel, self.LOW)
            self.lines.release(channel)

    def set_input(self, pin: int, level: int) -> None:
        """Let the outside world drive ``pin``."""
        self.lines.drive(pin, level)

    def fail(self, pin: int, failing: bool = True) -> None:
        """Let every access to ``pin`` raise OSError, or no longer."""
        with self._lock:
            (self._failing.add if failing else self._failing.discard)(pin)

    def level(self, pin: int) -> int:
        """Return the level of ``pin`` as an oscilloscope sees it."""
        return self.lines.level(pin) or self.LOW

    def edges(self, pin: int) -> list[Edge]:
        """Return the recorded edges of ``pin``, oldest first."""
        return [edge for edge in self.lines.edges() if edge.pin == pin]

    def high_fraction(self, pin: int, start_s: float, end_s: float) -> float:
        """Return the share of [``start_s``, ``end_s``] of real time in which ``pin`` was high."""
        if end_s <= start_s:
            return 0.0
        edges = self.edges(pin)
        level = edges[-1].level if edges else self.level(pin)
        until_s, high_s = end_s, 0.0
        for edge in reversed(edges):
            if edge.time_s < until_s:
                high_s += level * (until_s - max(edge.time_s, start_s))
                until_s = edge.time_s
            level = 1 - edge.level
            if edge.time_s <= start_s:
                return high_s / (end_s - start_s)
        return (high_s + level * max(0.0, until_s - start_s)) / (end_s - start_s)

    def _check(self, pin: int) -> None:
        if pin in self._failing:
            raise OSError(f"pin {pin} does not answer")
