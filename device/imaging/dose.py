"""The dose ledger: how much UV every field of the sample has received."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Dose:
    """Light on one field: number of exposures and seconds of light."""

    exposures: int = 0
    light_s: float = 0.0


@dataclass(frozen=True)
class DoseLimits:
    """How much light is allowed.

    Attributes:
        exposures: of one field, focus search included.
        field_mj_per_cm2: dose of one field.
        sample_j_per_cm2: sum of the doses of all fields of a sample, in all its runs.
    """

    exposures: int
    field_mj_per_cm2: float = math.inf
    sample_j_per_cm2: float = math.inf


class DoseLedger:
    """Counts the light of every field against the limits; a field is named by row and column.

    Fields with a negative row are blank glass, which is not the sample.

    Args:
        limits: what is allowed.
        irradiance_mw_per_cm2: irradiance at the sample.
        former_j_per_cm2: what the sample received before.
    """

    def __init__(
        self, limits: DoseLimits, irradiance_mw_per_cm2: float, former_j_per_cm2: float = 0.0
    ) -> None:
        self.limits = limits
        self._irradiance_mw_per_cm2 = irradiance_mw_per_cm2
        self._former_j_per_cm2 = former_j_per_cm2
        self._doses: dict[tuple[int, int], Dose] = {}
        self._exposures = 0
        self._light_s = 0.0
        self._sample_light_s = 0.0
        self._longest_s = 0.0

    @property
    def exposures_given(self) -> int:
        """Exposures of all fields, blank glass included."""
        return self._exposures

    @property
    def light_s(self) -> float:
        """Seconds of light on all fields, blank glass included."""
        return self._light_s

    @property
    def run_j_per_cm2(self) -> float:
        """Sum of the doses that the sample's fields received since then."""
        return self._irradiance_mw_per_cm2 * self._sample_light_s / 1000.0

    @property
    def sample_j_per_cm2(self) -> float:
        """Sum of the doses of the sample's fields, former ones included."""
        return self._former_j_per_cm2 + self.run_j_per_cm2

    def add(self, field: tuple[int, int], light_s: float) -> None:
        """Enter one exposure of ``light_s`` seconds."""
        dose = self._of(field)
        self._doses[field] = Dose(dose.exposures + 1, dose.light_s + light_s)
        self._exposures += 1
        self._light_s += light_s
        self._sample_light_s += 0.0 if field[0] < 0 else light_s
        self._longest_s = max(self._longest_s, light_s)

    def remaining(self, field: tuple[int, int]) -> int:
        """Return how many more exposures like the longest so far ``field`` may receive."""
        left = max(0, self.limits.exposures - self.exposures(field))
        each_mj_per_cm2 = self._irradiance_mw_per_cm2 * self._longest_s
        if each_mj_per_cm2 <= 0.0 or math.isinf(self.limits.field_mj_per_cm2):
            return left
        free_mj_per_cm2 = self.limits.field_mj_per_cm2 - self.dose_mj_per_cm2(field)
        # The last digit of a sum must not cost an exposure.
        return max(0, min(left, math.floor(free_mj_per_cm2 / each_mj_per_cm2 + 1e-9)))

    def sample_is_spent(self) -> bool:
        """Return whether one more exposure would bring the sample beyond its limit."""
        next_j_per_cm2 = self._irradiance_mw_per_cm2 * self._longest_s / 1000.0
        return self.sample_j_per_cm2 + next_j_per_cm2 > self.limits.sample_j_per_cm2

    def exposures(self, field: tuple[int, int]) -> int:
        """Return how many exposures ``field`` received."""
        return self._of(field).exposures

    def dose_mj_per_cm2(self, field: tuple[int, int]) -> float:
        """Return the dose of ``field``: irradiance times seconds of light."""
        return self._irradiance_mw_per_cm2 * self._of(field).light_s

    def _of(self, field: tuple[int, int]) -> Dose:
        return self._doses.get(field, Dose())

    def summary(self) -> dict[str, float]:
        """Return exposures and light of the run, the highest dose of a field, the sample's dose."""
        return {
            "exposures": self._exposures,
            "light_s": self._light_s,
            "max_field_mj_per_cm2": max(
                (self.dose_mj_per_cm2(field) for field in self._doses), default=0.0
            ),
            "sample_j_per_cm2": self.sample_j_per_cm2,
        }
