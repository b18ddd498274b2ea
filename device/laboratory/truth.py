"""Counted cells against the known truth of a simulated smear."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from device.analysis.picture import PictureScale, network_pixel_um
from device.analysis.tile_analyzer import centre_px
from device.records.reader import RecordsReader
from device.records.record_types import CellRecord, TileState
from device.results.cell import FIVE_TYPES, UNIDENTIFIED, CellKind

MATCH_DISTANCE_UM = 6.5
"""A counted cell and a true one farther apart are two; simulated cells keep twice that distance."""

_CERTAIN_MARGIN_UM = 3.0


class TrueCell(Protocol):
    """A white cell of the simulated smear."""

    @property
    def id(self) -> str:
        """The same in every field."""

    @property
    def kind(self) -> str:
        """Name of the kind; one that is no :class:`CellKind` counts as ``other``."""

    @property
    def x_um(self) -> float:
        """Centre in the stage frame."""

    @property
    def y_um(self) -> float:
        """Centre in the stage frame."""

    @property
    def bbox_px(self) -> tuple[int, int, int, int]:
        """x0, y0, x1, y1 in the field, end exclusive."""

    @property
    def cut(self) -> bool:
        """Whether the border of the field cuts it."""


class TrueField(Protocol):
    """What is really in one field."""

    @property
    def cells(self) -> Sequence[TrueCell]:
        """White cells with at least one pixel in the field."""


class Microscope(Protocol):
    """Knows the truth of any field."""

    @property
    def width_px(self) -> int:
        """Width of a field."""

    @property
    def height_px(self) -> int:
        """Height of a field."""

    @property
    def pixel_um(self) -> float:
        """Size of a pixel."""

    def truth(self, x_um: float, y_um: float) -> TrueField:
        """Return what is in the field around a place in the stage frame."""


class CountedCell(Protocol):
    """A cell that was counted."""

    @property
    def tile_sequence(self) -> int:
        """Tile it was measured in."""

    @property
    def x_px(self) -> float:
        """Centre in the picture of that tile."""

    @property
    def y_px(self) -> float:
        """Centre in the picture of that tile."""

    @property
    def kind(self) -> CellKind:
        """Most probable kind."""

    @property
    def identified(self) -> bool:
        """Whether its confidence sufficed."""

    @property
    def probabilities(self) -> Mapping[CellKind, float]:
        """One per kind, sum 1."""


def kind_of(name: str) -> CellKind:
    """Return the kind that a simulated kind counts as: one that fits no other kind is ``other``."""
    return CellKind(name) if name in set(CellKind) else CellKind.OTHER


@dataclass(frozen=True)
class Comparison:
    """How counted cells compare with the true ones.

    Attributes:
        true_counts: true cells that were imaged, per kind.
        matches: true kind and counted cell of every cell that was found.
        missed_cells: true cells that were imaged but not counted, each with the sequence number
            of a tile that shows it whole.
        false_cells: counted cells where there is no cell, or a second count of one.
        found_ids: of the true cells that were counted.
        counted_twice: those of the false cells that are a second count.
    """

    true_counts: Mapping[CellKind, int]
    matches: tuple[tuple[CellKind, CountedCell], ...]
    missed_cells: tuple[tuple[int, TrueCell], ...]
    false_cells: tuple[CountedCell, ...]
    found_ids: frozenset[str] = frozenset()
    counted_twice: int = 0

    @property
    def missed(self) -> Counter[CellKind]:
        """Number of true cells that were imaged but not counted, per kind."""
        return Counter(kind_of(true.kind) for _, true in self.missed_cells)

    @property
    def false_finds(self) -> int:
        """Counted cells that are not cells, or were counted before."""
        return len(self.false_cells)

    @property
    def found(self) -> int:
        """True cells that were counted."""
        return len(self.matches)

    @property
    def called(self) -> Counter[tuple[CellKind, str]]:
        """Number of cells per true kind and what they were called, a kind or "unidentified"."""
        return Counter(
            (kind, cell.kind.value if cell.identified else UNIDENTIFIED)
            for kind, cell in self.matches
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form: n and percent of the true live cells per type, and their fate."""
        live = sum(self.true_counts.get(kind, 0) for kind in FIVE_TYPES)
        called = self.called
        return {
            **{
                kind.value: {
                    "n": self.true_counts.get(kind, 0),
                    "percent": 100.0 * self.true_counts.get(kind, 0) / max(1, live),
                }
                for kind in FIVE_TYPES
            },
            "cells": live,
            "dead": self.true_counts.get(CellKind.DEAD, 0),
            "other": self.true_counts.get(CellKind.OTHER, 0),
            "found": self.found,
            "missed": sum(self.missed.values()),
            "false_finds": self.false_finds,
            "called": {
                kind.value: {name: n for (true, name), n in sorted(called.items()) if true is kind}
                for kind in CellKind
            },
        }


def compare(
    counted: Iterable[CountedCell],
    places_um: Mapping[int, tuple[float, float]],
    microscope: Microscope,
    scale: PictureScale | None = None,
) -> Comparison:
    """Compare counted cells with the truth of the tiles they came from.

    A true cell was imaged when it lies at least 3 um inside some tile, so that a stage error
    cannot decide whether it was cut, or when it was counted.

    Args:
        counted: each cell once, in its best tile.
        places_um: centre of every usable tile by sequence number.
        microscope: knows the truth; pixel (0, 0) of a field is its upper left corner.
        scale: from its pixels to those of the counted cells; None when they are the same.
    """
    if scale is None:
        scale = PictureScale(microscope.pixel_um, microscope.pixel_um)
    imaged: dict[str, tuple[int, TrueCell]] = {}
    matched: dict[str, CountedCell] = {}
    false_cells: list[CountedCell] = []
    counted_twice = 0
    by_tile: dict[int, list[CountedCell]] = {}
    for cell in counted:
        by_tile.setdefault(cell.tile_sequence, []).append(cell)
    for sequence, (x_um, y_um) in places_um.items():
        field = microscope.truth(x_um, y_um)
        for true in field.cells:
            if _well_inside(true, microscope):
                imaged[true.id] = (sequence, true)
        corner_um = _corner_um((x_um, y_um), microscope, scale)
        pairs = dict(_pairs(by_tile.get(sequence, []), field.cells, corner_um, scale.pixel_um))
        for i, cell in enumerate(by_tile.get(sequence, [])):
            match = pairs.get(i)
            if match is None or match.id in matched:
                false_cells.append(cell)
                counted_twice += match is not None
            else:
                imaged[match.id] = (sequence, match)
                matched[match.id] = cell
    return Comparison(
        true_counts=Counter(kind_of(true.kind) for _, true in imaged.values()),
        matches=tuple((kind_of(imaged[key][1].kind), cell) for key, cell in matched.items()),
        missed_cells=tuple(place for key, place in imaged.items() if key not in matched),
        false_cells=tuple(false_cells),
        found_ids=frozenset(matched),
        counted_twice=counted_twice,
    )


def compare_with_truth(reader: RecordsReader, run_id: int, microscope: Microscope) -> Comparison:
    """Compare the cells of a stored run with the truth of the tiles it analysed.

    Raises:
        RecordsError: the database cannot be read.
    """
    places_um = {
        tile.sequence: (tile.x_um, tile.y_um)
        for tile in reader.every_tile(run_id)
        if tile.sequence is not None and tile.usable and tile.state is TileState.ANALYSED
    }
    scale = PictureScale(microscope.pixel_um, network_pixel_um())
    return compare(_every_cell(reader, run_id), places_um, microscope, scale)


def _every_cell(reader: RecordsReader, run_id: int) -> Iterator[CellRecord]:
    after = 0
    while page := reader.cells(run_id, after):
        yield from page
        after = page[-1].id


def _well_inside(true: TrueCell, microscope: Microscope) -> bool:
    margin_px = _CERTAIN_MARGIN_UM / microscope.pixel_um
    x0, y0, x1, y1 = true.bbox_px
    return (
        not true.cut
        and min(x0, y0) >= margin_px
        and x1 <= microscope.width_px - margin_px
        and y1 <= microscope.height_px - margin_px
    )


def _corner_um(
    centre_um: tuple[float, float], microscope: Microscope, scale: PictureScale
) -> tuple[float, float]:
    """Return where the first pixel of the picture of a tile lies."""
    shape = scale.shape((microscope.height_px, microscope.width_px))
    x_px, y_px = centre_px(shape)
    return centre_um[0] - x_px * scale.pixel_um, centre_um[1] - y_px * scale.pixel_um


def _pairs(
    counted: Sequence[CountedCell],
    true_cells: Sequence[TrueCell],
    corner_um: tuple[float, float],
    pixel_um: float,
) -> Iterator[tuple[int, TrueCell]]:
    """Yield the index of each counted cell of a tile with its true one, closest pairs first."""
    left_um, top_um = corner_um
    distances = sorted(
        (apart_um, i, j)
        for i, cell in enumerate(counted)
        for j, true in enumerate(true_cells)
        if (
            apart_um := math.hypot(
                left_um + cell.x_px * pixel_um - true.x_um,
                top_um + cell.y_px * pixel_um - true.y_um,
            )
        )
        <= MATCH_DISTANCE_UM
    )
    used: tuple[set[int], set[int]] = (set(), set())
    for _, i, j in distances:
        if i not in used[0] and j not in used[1]:
            used[0].add(i)
            used[1].add(j)
            yield i, true_cells[j]
