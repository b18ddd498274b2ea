"""Blink and beep patterns, played without waiting: whoever owns them looks now and then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hal.clock import Clock


@dataclass(frozen=True)
class Pattern:
    """Alternately on and off.

    Attributes:
        steps_ms: durations, the first one on.
        repeats: whether it begins again; else it stays off.
    """

    steps_ms: tuple[float, ...]
    repeats: bool = True

    def is_on(self, age_ms: float) -> bool:
        """Return whether it is on ``age_ms`` after its start."""
        total_ms = sum(self.steps_ms)
        if total_ms <= 0.0 or (age_ms >= total_ms and not self.repeats):
            return False
        left_ms = age_ms % total_ms
        for index, step_ms in enumerate(self.steps_ms):
            if left_ms < step_ms:
                return index % 2 == 0
            left_ms -= step_ms
        return False


SILENT: Final = Pattern(())
STEADY: Final = Pattern((1000.0,))


class PatternPlayer:
    """Plays one pattern after the other on the injected clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pattern = SILENT
        self._since_s = 0.0

    def play(self, pattern: Pattern) -> None:
        """Begin ``pattern`` now, in place of what was played."""
        self._pattern = pattern
        self._since_s = self._clock.monotonic_s()

    @property
    def is_on(self) -> bool:
        """Whether the pattern is on now."""
        return self._pattern.is_on((self._clock.monotonic_s() - self._since_s) * 1000.0)
