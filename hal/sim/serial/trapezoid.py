"""Trapezoidal speed over time, as motion controllers plan it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

Vector: TypeAlias = tuple[float, float, float]
"""x, y, z."""


@dataclass(frozen=True)
class Trapezoid:
    """Speed over time: from ``entry`` up to at most ``peak``, then down to rest.

    Lengths in mm, speeds in mm/s, acceleration in mm/s2.
    """

    length: float
    entry: float
    peak: float
    acceleration: float

    @classmethod
    def stop(cls, speed: float, acceleration: float) -> Trapezoid:
        """Return the braking from ``speed``."""
        return cls(speed * speed / (2.0 * acceleration), speed, speed, acceleration)

    @property
    def top(self) -> float:
        """Highest speed that is reached."""
        reachable = math.sqrt(self.acceleration * self.length + self.entry**2 / 2.0)
        return max(self.entry, min(self.peak, reachable))

    def _phases(self) -> tuple[float, float, float]:
        """Return the seconds of speeding up, of cruising and of braking."""
        top = self.top
        if top == 0.0:
            return (0.0, 0.0, 0.0)
        up_length = (top**2 - self.entry**2) / (2.0 * self.acceleration)
        down_length = top**2 / (2.0 * self.acceleration)
        cruise_length = max(0.0, self.length - up_length - down_length)
        return (
            (top - self.entry) / self.acceleration,
            cruise_length / top,
            top / self.acceleration,
        )

    @property
    def duration(self) -> float:
        """Seconds from start to rest."""
        return sum(self._phases())

    def speed(self, elapsed: float) -> float:
        """Return the speed ``elapsed`` seconds after the start."""
        up, cruise, down = self._phases()
        if elapsed < up:
            return self.entry + self.acceleration * max(0.0, elapsed)
        if elapsed < up + cruise:
            return self.top
        return max(0.0, self.top - self.acceleration * (elapsed - up - cruise)) if down else 0.0

    def distance(self, elapsed: float) -> float:
        """Return the way covered ``elapsed`` seconds after the start."""
        up, cruise, down = self._phases()
        if elapsed >= up + cruise + down:
            return self.length
        rising = min(max(elapsed, 0.0), up)
        covered = self.entry * rising + 0.5 * self.acceleration * rising**2
        covered += self.top * min(max(elapsed - up, 0.0), cruise)
        braking = max(elapsed - up - cruise, 0.0)
        return min(self.length, covered + self.top * braking - 0.5 * self.acceleration * braking**2)
