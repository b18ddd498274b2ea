"""Example cells of an evaluation, kept as small pictures: right, wrong, missed, false."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from device.analysis.candidates import cut
from device.analysis.flatfield import Image
from device.laboratory.truth import Comparison, TrueCell, kind_of
from device.laboratory.virtual_scan import OutlinedField
from device.results.cell import THUMBNAIL_PX, Cell, CellKind

Mask = NDArray[np.uint8]

RIGHT_PER_KIND = 5
_RIGHT_PER_DONOR_AND_KIND = 1
_MOST_WRONG = 20
_MOST_MISSED = 10
_MOST_FALSE = 10


@dataclass(frozen=True, eq=False)
class Example:
    """One cell with its truth.

    Attributes:
        gray: uint8 (THUMBNAIL_PX, THUMBNAIL_PX), normalised.
        true_mask: uint8, same shape: 0 outside, 1 cytoplasm, 2 nucleus of the true cell; empty
            for a false find.
        found_mask: the same of the found cell; empty for a missed one.
        true_kind: None for a false find.
        called: most probable kind; None for a missed cell.
        probability: of that kind, 0 to 1; 0 for a missed cell.
        identified: whether it reached the confidence threshold.
        donor: NAME:SEED.
    """

    gray: Image
    true_mask: Mask
    found_mask: Mask
    true_kind: CellKind | None
    called: CellKind | None
    probability: float
    identified: bool
    donor: str


TruthOf = Callable[[int], OutlinedField]


@dataclass
class CellSamples:
    """Collects examples donor by donor; bounded, however long the evaluation.

    Attributes:
        right: cells that got their name, a few per kind from different donors.
        wrong: cells that got another name, the surest first.
        missed: true cells that were not found.
        false: finds where there is no cell, or one that was counted already; the surest first.
    """

    right: list[Example] = field(default_factory=list)
    wrong: list[Example] = field(default_factory=list)
    missed: list[Example] = field(default_factory=list)
    false: list[Example] = field(default_factory=list)

    def add(
        self,
        donor: str,
        comparison: Comparison,
        images: Mapping[int, Image],
        truth_of: TruthOf,
    ) -> None:
        """Take the examples of one donor.

        Args:
            donor: NAME:SEED.
            comparison: with counted cells that still have their pictures.
            images: normalised tiles by sequence number.
            truth_of: what is really in the tile of a sequence number.
        """
        matches = [(kind, cell) for kind, cell in comparison.matches if isinstance(cell, Cell)]
        wrong = [(kind, cell) for kind, cell in matches if cell.kind is not kind]
        self.wrong = _surest(
            [*self.wrong, *(_example(donor, *pair, truth_of) for pair in wrong)], _MOST_WRONG
        )
        for kind in CellKind:
            wanted = RIGHT_PER_KIND - sum(example.true_kind is kind for example in self.right)
            right = [cell for true, cell in matches if true is kind and cell.kind is kind]
            for cell in right[: min(wanted, _RIGHT_PER_DONOR_AND_KIND)]:
                self.right.append(_example(donor, kind, cell, truth_of))
        false = [cell for cell in comparison.false_cells if isinstance(cell, Cell)]
        examples = [_example(donor, None, cell, truth_of) for cell in false]
        self.false = _surest([*self.false, *examples], _MOST_FALSE)
        room = _MOST_MISSED - len(self.missed)
        for sequence, true in comparison.missed_cells[:room]:
            self.missed.append(_missed(donor, true, images[sequence], truth_of(sequence)))


def _surest(examples: list[Example], most: int) -> list[Example]:
    return sorted(examples, key=lambda example: -example.probability)[:most]


def _example(donor: str, kind: CellKind | None, cell: Cell, truth_of: TruthOf) -> Example:
    truth = truth_of(cell.tile_sequence)
    own = np.zeros_like(truth.labels)
    if kind is not None:
        instance = _instance_at(truth, cell.x_px, cell.y_px)
        own = truth.labels * (truth.instances == instance)
    return Example(
        gray=cell.thumbnail,
        true_mask=cut(own, cell.x_px, cell.y_px, THUMBNAIL_PX, outside=0),
        found_mask=cell.mask,
        true_kind=kind,
        called=cell.kind,
        probability=cell.probabilities[cell.kind],
        identified=cell.identified,
        donor=donor,
    )


def _instance_at(truth: OutlinedField, x_px: float, y_px: float) -> int:
    """Return the 1-based index of the cell at a place, or the one whose box lies nearest to it."""
    inside = int(truth.instances[round(y_px), round(x_px)])
    if inside:
        return inside
    middles = np.array([np.add(cell.bbox_px[:2], cell.bbox_px[2:]) / 2 for cell in truth.cells])
    return 1 + int(np.hypot(*(middles - (x_px, y_px)).T).argmin())


def _missed(donor: str, true: TrueCell, image: Image, truth: OutlinedField) -> Example:
    index = next(i for i, cell in enumerate(truth.cells) if cell.id == true.id)
    x0, y0, x1, y1 = truth.cells[index].bbox_px
    x_px, y_px = (x0 + x1) / 2, (y0 + y1) / 2
    own = truth.labels * (truth.instances == index + 1)
    return Example(
        gray=cut(image, x_px, y_px, THUMBNAIL_PX),
        true_mask=cut(own, x_px, y_px, THUMBNAIL_PX, outside=0),
        found_mask=np.zeros((THUMBNAIL_PX, THUMBNAIL_PX), np.uint8),
        true_kind=kind_of(true.kind),
        called=None,
        probability=0.0,
        identified=False,
        donor=donor,
    )
