"""What an evaluation reached: every share with its exact interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from device.cell import FIVE_TYPES, CellKind
from device.differential import clopper_pearson
from device.evaluation.truth import UNIDENTIFIED, Comparison, CountedCell


@dataclass(frozen=True)
class Outline:
    """How well one found cell is outlined: Dice coefficients, 0 to 1."""

    dice_cell: float
    dice_nucleus: float


@dataclass(frozen=True)
class DonorResult:
    """What the analysis made of one donor.

    Attributes:
        name: NAME:SEED.
        comparison: with the truth.
        counts: identified cells per kind.
        unidentified: cells below the confidence threshold.
        outlines: one per whole cell of every usable tile.
        analysis_ms: time of each tile.
        tiles_refused: tiles that quality refused.
    """

    name: str
    comparison: Comparison
    counts: Mapping[CellKind, int]
    unidentified: int
    outlines: tuple[Outline, ...]
    analysis_ms: tuple[float, ...]
    tiles_refused: int


@dataclass(frozen=True)
class Proportion:
    """``k`` of ``n``."""

    k: int
    n: int

    def as_dict(self) -> dict[str, float | int | None]:
        """Return k, n, percent and the exact 95 % interval; None where n is 0."""
        if self.n == 0:
            return {"k": 0, "n": 0, "percent": None, "low": None, "high": None}
        low, high = clopper_pearson(self.k, self.n)
        return {
            "k": self.k,
            "n": self.n,
            "percent": 100.0 * self.k / self.n,
            "low": 100.0 * low,
            "high": 100.0 * high,
        }

    def __str__(self) -> str:
        if self.n == 0:
            return "-"
        low, high = clopper_pearson(self.k, self.n)
        share, low, high = (100.0 * part for part in (self.k / self.n, low, high))
        return f"{share:5.1f} % ({low:.1f}-{high:.1f}; {self.k}/{self.n})"


@dataclass(frozen=True)
class Evaluation:
    """What the analysis reached over some donors."""

    donors: tuple[DonorResult, ...]

    @property
    def found(self) -> Proportion:
        """White cells found among those imaged."""
        found = sum(donor.comparison.found for donor in self.donors)
        missed = sum(sum(donor.comparison.missed.values()) for donor in self.donors)
        return Proportion(found, found + missed)

    @property
    def false_finds(self) -> Proportion:
        """Counted cells that are none, or were counted before."""
        false = sum(donor.comparison.false_finds for donor in self.donors)
        return Proportion(false, false + self.found.k)

    @property
    def five_part(self) -> Proportion:
        """Found live cells of the five types that got their name, whatever the confidence."""
        return self._among(lambda kind, _: kind in FIVE_TYPES, lambda kind, cell: cell.kind is kind)

    @property
    def five_part_identified(self) -> Proportion:
        """The same among those above the confidence threshold."""
        return self._among(
            lambda kind, cell: kind in FIVE_TYPES and cell.identified,
            lambda kind, cell: cell.kind is kind,
        )

    @property
    def unidentified(self) -> Proportion:
        """Found live cells of the five types below the confidence threshold."""
        return self._among(lambda kind, _: kind in FIVE_TYPES, lambda _, cell: not cell.identified)

    @property
    def alive_or_dead(self) -> Proportion:
        """Found cells, dead or of the five types, rightly called dead or not dead."""
        return self._among(
            lambda kind, _: kind is not CellKind.OTHER,
            lambda kind, cell: (cell.kind is CellKind.DEAD) == (kind is CellKind.DEAD),
        )

    @property
    def interval_coverage(self) -> Proportion:
        """Class shares whose exact 95 % interval holds the share of the cells imaged."""
        covered = [inside for donor in self.donors for inside in _covered(donor)]
        return Proportion(sum(covered), len(covered))

    @property
    def called(self) -> Counter[tuple[CellKind, str]]:
        """Number of cells per true kind and what they were called."""
        return sum((donor.comparison.called for donor in self.donors), Counter())

    def dice(self) -> tuple[float, float]:
        """Return the mean Dice coefficients of cell and nucleus; NaN without cells."""
        outlines = [outline for donor in self.donors for outline in donor.outlines]
        if not outlines:
            return float("nan"), float("nan")
        return (
            fmean(outline.dice_cell for outline in outlines),
            fmean(outline.dice_nucleus for outline in outlines),
        )

    def tile_ms(self) -> float:
        """Return the median time per tile."""
        return median(ms for donor in self.donors for ms in donor.analysis_ms)

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        dice_cell, dice_nucleus = self.dice()
        return {
            **{name: proportion.as_dict() for name, proportion in self._proportions().items()},
            "dice_cell": dice_cell,
            "dice_nucleus": dice_nucleus,
            "outlines": sum(len(donor.outlines) for donor in self.donors),
            "tile_ms": self.tile_ms(),
            "tiles": sum(len(donor.analysis_ms) for donor in self.donors),
            "tiles_refused": sum(donor.tiles_refused for donor in self.donors),
            "donors": [
                {"name": donor.name, "truth": donor.comparison.as_dict()}
                | {"counts": {kind.value: n for kind, n in donor.counts.items()}}
                | {"unidentified": donor.unidentified}
                for donor in self.donors
            ],
        }

    def table(self) -> str:
        """Return a few lines for a person."""
        dice_cell, dice_nucleus = self.dice()
        lines = [
            f"{name.replace('_', ' '):22}{proportion}"
            for name, proportion in self._proportions().items()
        ]
        lines += [
            f"{'Dice cell, nucleus':22}{dice_cell:.4f}, {dice_nucleus:.4f}",
            f"{'time per tile':22}{self.tile_ms():.1f} ms",
            "",
            *_confusion(self.called),
        ]
        return "\n".join(lines)

    def _proportions(self) -> dict[str, Proportion]:
        return {
            "found": self.found,
            "false_finds": self.false_finds,
            "five_part": self.five_part,
            "five_part_identified": self.five_part_identified,
            "unidentified": self.unidentified,
            "alive_or_dead": self.alive_or_dead,
            "interval_coverage": self.interval_coverage,
        }

    def _among(
        self,
        counts: Callable[[CellKind, CountedCell], bool],
        right: Callable[[CellKind, CountedCell], bool],
    ) -> Proportion:
        chosen = [
            pair for donor in self.donors for pair in donor.comparison.matches if counts(*pair)
        ]
        return Proportion(sum(right(*pair) for pair in chosen), len(chosen))


def _covered(donor: DonorResult) -> Iterable[bool]:
    """Yield per type whether the interval of its share holds the true one."""
    classified = sum(donor.counts[kind] for kind in FIVE_TYPES)
    true_counts = donor.comparison.true_counts
    live = sum(true_counts.get(kind, 0) for kind in FIVE_TYPES)
    if not classified or not live:
        return
    for kind in FIVE_TYPES:
        low, high = clopper_pearson(donor.counts[kind], classified)
        yield low <= true_counts.get(kind, 0) / live <= high


def _confusion(called: Mapping[tuple[CellKind, str], int]) -> Sequence[str]:
    names = [*(kind.value for kind in CellKind), UNIDENTIFIED]
    header = "true \\ called".ljust(14) + "".join(f"{name[:8]:>10}" for name in names)
    return [
        header,
        *(
            f"{kind.value:14}" + "".join(f"{called.get((kind, name), 0):10d}" for name in names)
            for kind in CellKind
        ),
    ]
