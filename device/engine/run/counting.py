"""What happens to the analysis of a tile: counted once, journalled, then published."""

from __future__ import annotations

from collections.abc import Mapping

from device.analysis.quality import cell_density
from device.analysis.registration.links import Link
from device.analysis.registry import CellRegistry, Counted
from device.analysis.tile import Tile
from device.analysis.tile_analyzer import TileAnalysis
from device.engine.state.latest_tile import LatestTile
from device.engine.state.progress import Progress
from device.imaging.dose import DoseLedger
from device.records.mosaic_positions import SettledMosaic
from device.records.record_types import TileState
from device.records.records import Records, TileEntry
from device.results.cell import Cell
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
        self._sequences: list[int] = []
        self._ids: list[int] = []
        self._cells: list[Cell] = []
        self._settled_tiles = 0

    def accept(self, tile: Tile, analysis: TileAnalysis) -> None:
        """Count, journal and publish one tile.  Raises RecordsError; nothing is counted then."""
        counted = self._registry.add(analysis, tile.x_um, tile.y_um)
        self._sequences.append(tile.sequence)
        entry = self._entry(tile, analysis, counted)
        better = {self._ids[index]: cell for index, cell in counted.better.items()}
        ids = self._records.add_tile(self._run_id, entry, counted.new, better)
        self._ids += ids
        former = [self._cells[index] for index in counted.better]
        for index, cell in counted.better.items():
            self._cells[index] = cell
        self._cells += counted.new
        # The picture first: a screen fetches it when it learns of the tile.
        self._latest.put(analysis)
        self._progress.analyse(analysis, gone=former, come=[*counted.better.values(), *counted.new])
        self._publish(tile, entry, dict(zip(ids, counted.new, strict=True)))

    def settle(self) -> None:
        """Fit the positions of all tiles, and count on them.  Raises RecordsError.

        The count so far stays if nothing was accepted since the last time.
        """
        if self._settled_tiles == len(self._sequences):
            return
        settled = self._registry.settle()
        ids: list[int | None] = []
        free = set(range(len(self._ids)))
        for former in settled.former:
            index = min(former & free, default=None)
            free.discard(index)
            ids.append(self._ids[index] if index is not None else None)
        centres_um = settled.placement.centres_um.tolist()
        mosaic = SettledMosaic(
            {self._sequences[i]: (x_um, y_um) for i, (x_um, y_um) in enumerate(centres_um)},
            {i: cell for i, cell in zip(ids, settled.cells, strict=True) if i is not None},
            [cell for i, cell in zip(ids, settled.cells, strict=True) if i is None],
            [self._ids[index] for index in free],
        )
        self._records.mosaic_positions.store(self._run_id, mosaic)
        # At once: what was stored must not be stored again if the event below fails.
        self._settled_tiles = len(self._sequences)
        self._progress.recount(gone=self._cells, come=settled.cells)
        self._cells = list(settled.cells)
        self._records.add_event(
            self._run_id,
            "mosaic",
            {
                **settled.placement.summary(),
                "cells_merged": len(mosaic.merged),
                "cells_added": len(mosaic.added),
            },
        )

    def _link(self, link: Link) -> dict[str, float]:
        return {
            "tile": self._sequences[link.fixed],
            "x_um": link.x_um,
            "y_um": link.y_um,
            "sigma_um": link.sigma_um,
            "correlation": link.correlation,
        }

    def _entry(self, tile: Tile, analysis: TileAnalysis, counted: Counted) -> TileEntry:
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
            links=[self._link(link) for link in counted.links],
            mosaic_x_um=float(counted.centre_um[0]),
            mosaic_y_um=float(counted.centre_um[1]),
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
