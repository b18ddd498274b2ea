"""What an evaluation reached: every share with its exact interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from device.laboratory.figures import Mean, ObjectCount, Proportion
from device.laboratory.mosaic_truth import MosaicScore, pooled
from device.laboratory.reliability import Calibration
from device.laboratory.truth import Comparison, CountedCell
from device.results.cell import FIVE_TYPES, CellKind
from device.results.differential import clopper_pearson

LEAST_COUNTED = 50
"""Objects that a donor's tiles must hold before the error of their count says anything."""


@dataclass(frozen=True)
class Outline:
    """How well one view of a found cell is outlined: Dice coefficients, 0 to 1.

    Attributes:
        kind: what the cell is.
        dice_cell: of the whole cell.
        dice_nucleus: of the nucleus.
    """

    kind: CellKind
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
        red_cells: in all usable tiles.
        platelets: in all usable tiles.
        area_mm2: of all usable tiles.
        analysis_ms: time of each tile.
        tiles_refused: tiles that quality refused.
        mosaic: the mosaic against the truth.
    """

    name: str
    comparison: Comparison
    counts: Mapping[CellKind, int]
    unidentified: int
    outlines: tuple[Outline, ...]
    red_cells: ObjectCount
    platelets: ObjectCount
    area_mm2: float
    analysis_ms: tuple[float, ...]
    tiles_refused: int
    mosaic: MosaicScore

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "name": self.name,
            "truth": self.comparison.as_dict(),
            "counts": {kind.value: n for kind, n in self.counts.items()},
            "unidentified": self.unidentified,
            "red_cells": {"counted": self.red_cells.counted, "true": self.red_cells.true},
            "platelets": {"counted": self.platelets.counted, "true": self.platelets.true},
            "area_mm2": self.area_mm2,
            "tiles_refused": self.tiles_refused,
            "mosaic": self.mosaic.as_dict(),
        }


@dataclass(frozen=True)
class Evaluation:
    """What the analysis reached over some donors."""

    donors: tuple[DonorResult, ...]

    @property
    def found(self) -> Proportion:
        """White cells found among those imaged."""
        found = sum(donor.comparison.found for donor in self.donors)
        missed = sum(len(donor.comparison.missed_cells) for donor in self.donors)
        return Proportion(found, found + missed)

    @property
    def false_finds(self) -> Proportion:
        """Counted cells that are not cells, or were counted before."""
        false = sum(donor.comparison.false_finds for donor in self.donors)
        return Proportion(false, false + self.found.k)

    @property
    def five_part(self) -> Proportion:
        """Found live cells of the five types that got their name, whatever the confidence."""
        return self._among(lambda kind, _: kind in FIVE_TYPES, _right)

    @property
    def five_part_identified(self) -> Proportion:
        """The same among those above the confidence threshold."""
        return self._among(lambda kind, cell: kind in FIVE_TYPES and cell.identified, _right)

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
    def sensitivities(self) -> dict[CellKind, Proportion]:
        """Found cells of each kind that got its name."""
        names = self.names
        return {
            kind: Proportion(
                names[kind, kind], sum(n for (true, _), n in names.items() if true is kind)
            )
            for kind in CellKind
        }

    @property
    def worst_sensitivity(self) -> tuple[CellKind, Proportion] | None:
        """The least of the five types' sensitivities, of the types that occur."""
        sensitivities = self.sensitivities
        occurring = [(kind, sensitivities[kind]) for kind in FIVE_TYPES if sensitivities[kind].n]
        return min(occurring, key=lambda pair: pair[1].percent, default=None)

    @property
    def calibration(self) -> Calibration:
        """Reliability of the probabilities over all found cells."""
        return Calibration.of(
            [(cell.probabilities[cell.kind], cell.kind is kind) for kind, cell in self._matches]
        )

    @property
    def names(self) -> Counter[tuple[CellKind, CellKind]]:
        """Number of cells per true and most probable kind, whatever the confidence."""
        return Counter((kind, cell.kind) for kind, cell in self._matches)

    @property
    def called(self) -> Counter[tuple[CellKind, str]]:
        """Number of cells per true kind and what they were called."""
        return sum((donor.comparison.called for donor in self.donors), Counter())

    @property
    def tiles(self) -> int:
        """Number of tiles, refused ones included."""
        return sum(len(donor.analysis_ms) for donor in self.donors)

    @property
    def tiles_refused(self) -> int:
        """Number of tiles that quality refused."""
        return sum(donor.tiles_refused for donor in self.donors)

    @property
    def mosaic(self) -> MosaicScore:
        """The mosaics of all donors."""
        return pooled(donor.mosaic for donor in self.donors)

    def dice(self) -> tuple[float, float]:
        """Return the mean Dice coefficients of cell and nucleus; NaN without cells."""
        cell, nucleus = self.mean_dice()
        return cell.value, nucleus.value

    def mean_dice(self, kind: CellKind | None = None) -> tuple[Mean, Mean]:
        """Return the mean Dice coefficients of cell and nucleus of one kind, or of all."""
        outlines = [
            outline
            for donor in self.donors
            for outline in donor.outlines
            if kind is None or outline.kind is kind
        ]
        return (
            Mean.of([outline.dice_cell for outline in outlines]),
            Mean.of([outline.dice_nucleus for outline in outlines]),
        )

    def total(self, objects: Callable[[DonorResult], ObjectCount]) -> ObjectCount:
        """Return the objects of all donors together."""
        return sum((objects(donor) for donor in self.donors), ObjectCount())

    def count_errors(self, objects: Callable[[DonorResult], ObjectCount]) -> dict[str, float]:
        """Return the signed error in percent of each donor that has enough objects."""
        return {
            donor.name: objects(donor).error_percent
            for donor in self.donors
            if objects(donor).true >= LEAST_COUNTED
        }

    def tile_ms(self) -> float:
        """Return the median time per tile."""
        return median(ms for donor in self.donors for ms in donor.analysis_ms)

    @property
    def _matches(self) -> list[tuple[CellKind, CountedCell]]:
        return [pair for donor in self.donors for pair in donor.comparison.matches]

    def _among(
        self,
        counts: Callable[[CellKind, CountedCell], bool],
        right: Callable[[CellKind, CountedCell], bool],
    ) -> Proportion:
        chosen = [pair for pair in self._matches if counts(*pair)]
        return Proportion(sum(right(*pair) for pair in chosen), len(chosen))


def _right(kind: CellKind, cell: CountedCell) -> bool:
    return cell.kind is kind


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
