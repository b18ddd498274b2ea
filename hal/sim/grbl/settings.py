"""The ``$n`` settings of the emulated controller, printed as the firmware prints them."""

from __future__ import annotations

from collections.abc import Mapping

from hal.config import StageConfig

_FACTORY: dict[int, float] = {
    0: 10,
    1: 255,
    2: 0,
    3: 0,
    4: 0,
    5: 0,
    6: 0,
    10: 1,
    11: 0.010,
    12: 0.002,
    13: 0,
    20: 1,
    21: 1,
    22: 1,
    23: 7,
    24: 60,
    25: 1500,
    26: 25,
    27: 1,
    30: 1000,
    31: 0,
    32: 0,
    100: 250,
    101: 250,
    102: 250,
    110: 1500,
    111: 1500,
    112: 600,
    120: 100,
    121: 100,
    122: 50,
    130: 100,
    131: 100,
    132: 20,
}
_DECIMAL = frozenset({11, 12, 24, 25, 27}) | frozenset(range(100, 140))


class GrblSettings:
    """Numbered settings; ``changes`` replaces values of the firmware's usual ones."""

    def __init__(self, changes: Mapping[int, float] | None = None) -> None:
        self._values = {**_FACTORY, **(changes or {})}

    @classmethod
    def for_stage(cls, config: StageConfig) -> GrblSettings:
        """Return the settings a controller of this stage is delivered with."""
        changes: dict[int, float] = {27: config.homing_pulloff_mm}
        for axis in (0, 1):
            changes[100 + axis] = config.steps_per_mm_xy
            changes[110 + axis] = config.feed_xy_mm_per_min
            changes[120 + axis] = config.acceleration_xy_mm_per_s2
        changes[102] = config.steps_per_mm_z
        changes[112] = config.feed_z_mm_per_min
        changes[122] = config.acceleration_z_mm_per_s2
        changes[130], changes[131] = config.travel_x_mm, config.travel_y_mm
        changes[132] = config.travel_z_mm
        return cls(changes)

    def __getitem__(self, number: int) -> float:
        return self._values[number]

    def axes(self, first: int) -> tuple[float, float, float]:
        """Return the three values from ``first`` on, e.g. 130 for the travel."""
        return (self._values[first], self._values[first + 1], self._values[first + 2])

    def store(self, number: float, value: float) -> int:
        """Set ``$number``; return 0 or the error number of the refusal."""
        if value < 0:
            return 4
        if number not in self._values:
            return 3
        if number == 20 and value and not self._values[22]:
            return 10
        self._values[int(number)] = value
        return 0

    def lines(self) -> list[str]:
        """Return the answer to ``$$``."""
        return [
            f"${number}={value:.3f}" if number in _DECIMAL else f"${number}={value:.0f}"
            for number, value in self._values.items()
        ]
