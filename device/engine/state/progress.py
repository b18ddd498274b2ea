"""How far a run is: what acquisition and analysis count, and the time that is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from device.results.cell import FIVE_TYPES, CellKind
from device.results.differential import Named, tally

if TYPE_CHECKING:
    from device.analysis.tile_analyzer import TileAnalysis
    from device.engine.state.snapshot import SnapshotStore

SETTLED_TILES = 20
SETTLED_CELLS = 10
SETTLED_SHARE = 0.1


@dataclass(frozen=True)
class Counts:
    """One moment of a run.

    Attributes:
        planned: places of the plan.
        acquired: tiles taken.
        missing: places without a tile in spite of all retries.
        analysed: tiles whose analysis is stored.
        unusable: analysed tiles that quality refused, by reason.
        cells: identified cells per kind.
        unidentified: cells below the confidence threshold.
        red_cells: in usable tiles, those in an overlap more than once.
        platelets: in usable tiles, those in an overlap more than once.
        scan_s: seconds spent scanning, pauses left out.
    """

    planned: int = 0
    acquired: int = 0
    missing: int = 0
    analysed: int = 0
    unusable: Mapping[str, int] = field(default_factory=dict)
    cells: Mapping[CellKind, int] = field(default_factory=dict)
    unidentified: int = 0
    red_cells: int = 0
    platelets: int = 0
    scan_s: float = 0.0

    @property
    def classified(self) -> int:
        """Live identified cells of the five types."""
        return sum(self.cells.get(kind, 0) for kind in FIVE_TYPES)

    def remaining_s(self, target_cells: int) -> float | None:
        """Return the time to the end of the scan, or None while the estimate is still settling.

        The rate of cells is trusted after 20 tiles and 10 cells, or after a tenth of the plan.
        """
        settled = self.classified >= SETTLED_CELLS or self.analysed >= SETTLED_SHARE * self.planned
        if self.analysed < SETTLED_TILES or not settled:
            return None
        tiles = float(self.planned - self.acquired - self.missing)
        if self.classified:
            missing_cells = max(0, target_cells - self.classified)
            tiles = min(tiles, missing_cells * self.analysed / self.classified)
        return tiles * self.scan_s / max(1, self.acquired)


class Progress:
    """Counts acquisition and analysis into the snapshot; from any thread.

    Args:
        snapshots: where the counts stand.
    """

    def __init__(self, snapshots: SnapshotStore) -> None:
        self._snapshots = snapshots

    @property
    def counts(self) -> Counts:
        """The counts now."""
        return self._snapshots.snapshot.counts

    def plan(self, tiles: int) -> None:
        """Enter the size of the plan."""
        self._count(lambda now: replace(now, planned=tiles))

    def acquire(self, *, taken: bool, spent_s: float) -> None:
        """Enter one place of the plan and the time it took."""
        self._count(
            lambda now: replace(
                now,
                acquired=now.acquired + taken,
                missing=now.missing + (not taken),
                scan_s=now.scan_s + spent_s,
            )
        )

    def analyse(
        self, analysis: TileAnalysis, *, gone: Iterable[Named], come: Iterable[Named]
    ) -> None:
        """Enter one analysed tile and the cells that it changes in the count of the run."""
        reason = analysis.quality.reason

        def counted(now: Counts) -> Counts:
            refused = Counter(now.unusable) + Counter([reason] if reason else [])
            return replace(
                _exchanged(now, gone, come),
                analysed=now.analysed + 1,
                unusable={str(name): tiles for name, tiles in refused.items()},
                red_cells=now.red_cells + analysis.red_cell_count,
                platelets=now.platelets + analysis.platelet_count,
            )

        self._count(counted)

    def recount(self, *, gone: Iterable[Named], come: Iterable[Named]) -> None:
        """Enter cells that take the place of others."""
        self._count(lambda now: _exchanged(now, gone, come))

    def _count(self, change: Callable[[Counts], Counts]) -> None:
        self._snapshots.update(lambda now: replace(now, counts=change(now.counts)))


def _exchanged(now: Counts, gone: Iterable[Named], come: Iterable[Named]) -> Counts:
    (less, less_unidentified), (more, more_unidentified) = tally(gone), tally(come)
    return replace(
        now,
        cells={kind: now.cells.get(kind, 0) + more[kind] - less[kind] for kind in CellKind},
        unidentified=now.unidentified + more_unidentified - less_unidentified,
    )
