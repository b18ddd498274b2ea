"""How far a run is: what acquisition and analysis count, and the time that is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from threading import Lock

from device.analysis.tile_analyzer import TileAnalysis
from device.results.cell import FIVE_TYPES, CellKind

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
        platelets: likewise.
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
    """Counts of the run in progress; written by acquisition and analysis, read by anyone."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts = Counts()

    @property
    def counts(self) -> Counts:
        """The counts now."""
        with self._lock:
            return self._counts

    def plan(self, tiles: int) -> None:
        """Enter the size of the plan."""
        with self._lock:
            self._counts = replace(self._counts, planned=tiles)

    def acquire(self, *, taken: bool, spent_s: float) -> None:
        """Enter one place of the plan and the time it took."""
        with self._lock:
            now = self._counts
            self._counts = replace(
                now,
                acquired=now.acquired + taken,
                missing=now.missing + (not taken),
                scan_s=now.scan_s + spent_s,
            )

    def analyse(
        self, analysis: TileAnalysis, cells: Mapping[CellKind, int], unidentified: int
    ) -> None:
        """Enter one analysed tile and the cells of the whole run so far."""
        quality = analysis.quality
        with self._lock:
            now = self._counts
            refused = Counter(now.unusable) + Counter([quality.reason] if quality.reason else [])
            self._counts = replace(
                now,
                analysed=now.analysed + 1,
                unusable={str(reason): tiles for reason, tiles in refused.items()},
                cells=dict(cells),
                unidentified=unidentified,
                red_cells=now.red_cells + analysis.red_cell_count,
                platelets=now.platelets + analysis.platelet_count,
            )
