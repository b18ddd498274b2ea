"""Figures of merit with their uncertainty."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from device.results.differential import clopper_pearson

Document = dict[str, float | int | None]

_NORMAL_95 = 1.959964


@dataclass(frozen=True)
class Proportion:
    """``k`` of ``n``; its interval is that of Clopper and Pearson (Biometrika 1934)."""

    k: int
    n: int

    @property
    def percent(self) -> float:
        """The share; NaN where n is 0."""
        return 100.0 * self.k / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Exact 95 % interval, percent; 0 to 100 where n is 0."""
        if self.n == 0:
            return 0.0, 100.0
        low, high = clopper_pearson(self.k, self.n)
        return 100.0 * low, 100.0 * high

    def as_dict(self) -> Document:
        """Return k, n, percent and the exact 95 % interval; None where n is 0."""
        if self.n == 0:
            return {"k": 0, "n": 0, "percent": None, "low": None, "high": None}
        low, high = self.interval
        return {"k": self.k, "n": self.n, "percent": self.percent, "low": low, "high": high}

    def __str__(self) -> str:
        if self.n == 0:
            return "-"
        low, high = self.interval
        return f"{self.percent:5.1f} % ({low:.1f}-{high:.1f}; {self.k}/{self.n})"


@dataclass(frozen=True)
class Mean:
    """Mean of ``n`` values with the 95 % interval of the mean (normal approximation)."""

    value: float
    half_width: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Mean:
        """Return the mean of some values; NaN without values."""
        if not values:
            return cls(math.nan, math.nan, 0)
        spread = stdev(values) if len(values) > 1 else math.nan
        return cls(fmean(values), _NORMAL_95 * spread / math.sqrt(len(values)), len(values))

    def as_dict(self) -> Document:
        """Return the mean, n and the interval; None for what is undefined."""
        document: Document = {
            "mean": self.value,
            "low": self.value - self.half_width,
            "high": self.value + self.half_width,
        }
        return {"n": self.n} | {
            name: None if value is None or math.isnan(value) else value
            for name, value in document.items()
        }


@dataclass(frozen=True)
class ObjectCount:
    """Objects counted in the tiles of one donor, and how many are there.

    Both are numbers of centres inside the tiles, so that an object on a border belongs to one
    side for both.
    """

    counted: int = 0
    true: int = 0

    @property
    def error_percent(self) -> float:
        """Signed error of the count in percent of the truth; NaN if the truth is 0."""
        return 100.0 * (self.counted - self.true) / self.true if self.true else math.nan

    def __add__(self, other: ObjectCount) -> ObjectCount:
        return ObjectCount(self.counted + other.counted, self.true + other.true)
