"""Whether the stated probabilities are right as often as they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

BINS = 15


@dataclass(frozen=True)
class ReliabilityBin:
    """Cells whose highest probability lies in one bin.

    Attributes:
        low: lower edge of the bin, 0 to 1.
        high: upper edge.
        confidence: mean of their highest probability.
        right: share that got its true name.
        n: number of cells.
    """

    low: float
    high: float
    confidence: float
    right: float
    n: int


@dataclass(frozen=True)
class Calibration:
    """Reliability curve and expected calibration error (Guo et al., ICML 2017)."""

    bins: tuple[ReliabilityBin, ...]

    @classmethod
    def of(cls, answers: Sequence[tuple[float, bool]]) -> Calibration:
        """Sort answers (highest probability 0 to 1, whether right) into bins of equal width."""
        groups: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
        for confidence, right in answers:
            groups[min(int(confidence * BINS), BINS - 1)].append((confidence, right))
        return cls(
            tuple(
                ReliabilityBin(
                    low=index / BINS,
                    high=(index + 1) / BINS,
                    confidence=sum(confidence for confidence, _ in group) / len(group),
                    right=sum(right for _, right in group) / len(group),
                    n=len(group),
                )
                for index, group in enumerate(groups)
                if group
            )
        )

    @property
    def n(self) -> int:
        """Number of answers."""
        return sum(part.n for part in self.bins)

    @property
    def expected_error(self) -> float:
        """Mean distance of confidence and share right over the answers, 0 to 1; 0 without any."""
        gaps = sum(part.n * abs(part.confidence - part.right) for part in self.bins)
        return gaps / self.n if self.n else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "expected_error": self.expected_error,
            "n": self.n,
            "bins": [asdict(part) for part in self.bins],
        }
