"""Reading the records for a request: one reader per request, missing things as a clear error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from webui.context import context
from webui.errors import NotFoundError
from webui.parameters import record_id

if TYPE_CHECKING:
    from device.records.reader import RecordsReader
    from device.records.record_types import CellRecord, LotRecord, RunRecord


@contextmanager
def open_reader() -> Iterator[RecordsReader]:
    """Give the calling thread's reader of the records."""
    with context().records.reader() as reader:
        yield reader


def find_run(reader: RecordsReader, run_id: int) -> RunRecord:
    """Return the run.  Raises NotFoundError."""
    run = reader.run(record_id(run_id, "Run"))
    if run is None:
        raise NotFoundError(f"Run {run_id}")
    return run


def find_cell(reader: RecordsReader, cell_id: int) -> CellRecord:
    """Return the cell.  Raises NotFoundError."""
    cell = reader.cell(record_id(cell_id, "Cell"))
    if cell is None:
        raise NotFoundError(f"Cell {cell_id}")
    return cell


def find_lot(reader: RecordsReader, lot_id: int) -> LotRecord:
    """Return the lot.  Raises NotFoundError."""
    found = reader.control_lot(record_id(lot_id, "Lot"))
    if found is None:
        raise NotFoundError(f"Lot {lot_id}")
    return found
