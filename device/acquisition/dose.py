"""The dose ledger: how much UV every field of the sample has received."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Dose:
    """Light on one field: number of exposures and seconds of light."""

    exposures: int = 0
    light_s: float = 0.0


class DoseLedger:
    """Counts exposures per field against the limit; a field is named by its row and column.

    Args:
        max_exposures: exposures one field may receive, focus search included.
        irradiance_mw_per_cm2: irradiance at the sample.
    """

    def __init__(self, max_exposures: int, irradiance_mw_per_cm2: float) -> None:
        self._max_exposures = max_exposures
        self._irradiance_mw_per_cm2 = irradiance_mw_per_cm2
        self._doses: dict[tuple[int, int], Dose] = {}

    def add(self, field: tuple[int, int], light_s: float) -> None:
        """Enter one exposure of ``light_s`` seconds."""
        dose = self._of(field)
        self._doses[field] = Dose(dose.exposures + 1, dose.light_s + light_s)

    def remaining(self, field: tuple[int, int]) -> int:
        """Return how many exposures ``field`` may still receive."""
        return max(0, self._max_exposures - self.exposures(field))

    def exposures(self, field: tuple[int, int]) -> int:
        """Return how many exposures ``field`` received."""
        return self._of(field).exposures

    def dose_mj_per_cm2(self, field: tuple[int, int]) -> float:
        """Return the dose of ``field``: irradiance times seconds of light."""
        return self._irradiance_mw_per_cm2 * self._of(field).light_s

    def _of(self, field: tuple[int, int]) -> Dose:
        return self._doses.get(field, Dose())

    def summary(self) -> dict[str, float]:
        """Return exposures and light of the whole sample and the highest dose of a field."""
        doses = self._doses.values()
        return {
            "exposures": sum(dose.exposures for dose in doses),
            "light_s": sum(dose.light_s for dose in doses),
            "max_field_mj_per_cm2": max(
                (self.dose_mj_per_cm2(field) for field in self._doses), default=0.0
            ),
        }
