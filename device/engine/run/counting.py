"""What happens to the analysis of a tile: counted once, journalled, then published."""

from __future__ import annotations

from collections.abc import Mapping

from device.analysis.quality import cell_density
from device.analysis.registry import CellRegistry
from device.analysis.tile import Tile
from device.analysis.tile_analyzer import TileAnalysis
from device.engine.state.latest_tile import LatestTile
from device.engine.state.progress import Progress
from device.imaging.dose import DoseLedger
from device.records.record_types import TileState
from device.records.records import Records, TileEntry
from device.results.cell import Cell
from device.results.differential import tally
from device.system.events import EventBus, EventKind


class CellCounter:
    """Accepts analysed tiles one after the other; what it returned from is on the disk."""

    def __init__(
        self,
        run_id: int,
        registry: CellRegistry,
        records: Records,
        ledger: DoseLedger,
        progress: Progress,
        latest: LatestTile,
        events: EventBus,
    ) -> None:
        self._run_id = run_id
        self._registry = registry
        self._records = records
        self._ledger = ledger
        self._progress = progress
        self._latest = latest
        self._events = events
        self._ids: list[int] = []
        self._stored: list[Cell] = []

    def accept(self, tile: Tile, analysis: TileAnalysis) -> None:
        """Count, journal and publish one tile.  Raises RecordsError; nothing is counted then."""
        new = self._registry.add(analysis, tile.x_um, tile.y_um)
        cells = self._registry.cells
        known = len(self._stored)
        better = {self._ids[i]: cells[i] for i in range(known) if cells[i] is not self._stored[i]}
        entry = self._entry(tile, analysis)
        ids = self._records.add_tile(self._run_id, entry, cells[known:], better)
        self._ids += ids
        self._stored = list(cells)
        counts, unidentified = tally(cells)
        # The picture first: a screen fetches it when it learns of the tile.
        self._latest.put(analysis)
        self._progress.analyse(analysis, counts, unidentified)
        self._publish(tile, entry, dict(zip(ids, new, strict=True)))

    def _entry(self, tile: Tile, analysis: TileAnalysis) -> TileEntry:
        field = (tile.row, tile.column)
        quality = analysis.quality
        return TileEntry(
            row=tile.row,
            column=tile.column,
            x_um=tile.x_um,
            y_um=tile.y_um,
            z_um=tile.z_um,
            state=TileState.ANALYSED,
            usable=quality.usable,
            exposures=self._ledger.exposures(field),
            dose_mj_per_cm2=self._ledger.dose_mj_per_cm2(field),
            sequence=tile.sequence,
            reason=quality.reason,
            sharpness=quality.sharpness,
            fill_fraction=quality.fill_fraction,
            saturated_fraction=quality.saturated_fraction,
            cells=len(analysis.cells),
            red_cells=analysis.red_cell_count,
            platelets=analysis.platelet_count,
            analysis_ms=analysis.elapsed_ms,
            exposure_ms=tile.exposure_ms,
            cell_od=cell_density(analysis.preview),
        )

    def _publish(self, tile: Tile, entry: TileEntry, new: Mapping[int, Cell]) -> None:
        for cell_id, cell in new.items():
            self._events.publish(
                EventKind.CELL,
                {
                    "run_id": self._run_id,
                    "id": cell_id,
                    "kind": cell.kind,
                    "identified": cell.identified,
                    "x_um": cell.x_um,
                    "y_um": cell.y_um,
                    "tile_sequence": cell.tile_sequence,
                },
            )
        self._events.publish(
            EventKind.TILE,
            {
                "run_id": self._run_id,
                "sequence": tile.sequence,
                "row": tile.row,
                "column": tile.column,
                "x_um": tile.x_um,
                "y_um": tile.y_um,
                "usable": entry.usable,
                "reason": entry.reason,
                "cells": entry.cells,
            },
        )
