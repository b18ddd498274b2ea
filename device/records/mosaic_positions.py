"""The writer's part for the mosaic: where its tiles lie, and the count on these places."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlite_utils import Database

from device.records.cell_rows import cell_row
from device.records.database import insert_row
from device.results.cell import Cell


@dataclass(frozen=True)
class SettledMosaic:
    """Where the tiles of a run lie, and what that changes in its cells.

    Attributes:
        centres_um: by sequence number of the tile, x and y along columns and rows of the camera.
        cells: by id, at their places in the mosaic.
        added: cells that were taken for another one before.
        merged: ids of cells that turned out to be another one.
    """

    centres_um: Mapping[int, tuple[float, float]]
    cells: Mapping[int, Cell]
    added: Sequence[Cell]
    merged: Collection[int]


class MosaicPositions:
    """Part of :class:`device.records.records.Records`; every method raises RecordsError.

    Args:
        transaction: of the only writer.
    """

    def __init__(self, transaction: Callable[[], AbstractContextManager[Database]]) -> None:
        self._transaction = transaction

    def store(self, run_id: int, settled: SettledMosaic) -> None:
        """Store the positions of a run with the cells that follow from them, all or nothing."""
        rows = {cell_id: cell_row(run_id, cell) for cell_id, cell in settled.cells.items()}
        added = [cell_row(run_id, cell) for cell in settled.added]
        with self._transaction() as db:
            for sequence, (x_um, y_um) in settled.centres_um.items():
                db.execute(
                    "UPDATE tiles SET mosaic_x_um = ?, mosaic_y_um = ? "
                    "WHERE run_id = ? AND sequence = ?",
                    [x_um, y_um, run_id, sequence],
                )
            for cell_id in settled.merged:
                db.table("cells").delete(cell_id)
            for cell_id, row in rows.items():
                db.table("cells").update(cell_id, row)
            for row in added:
                insert_row(db, "cells", row)
