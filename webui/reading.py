"""Reading the records for a request; a record that is missing is an error of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from webui.context import context
from webui.errors import NotFoundError
from webui.parameters import record_id

if TYPE_CHECKING:
    from device.records.reader import RecordsReader
    from device.records.record_types import CellRecord, CheckRecord, LotRecord, RunRecord

Found = TypeVar("Found")


@contextmanager
def open_reader() -> Iterator[RecordsReader]:
    """Give the calling thread's reader of the records."""
    with context().records.reader() as reader:
        yield reader


def find_run(reader: RecordsReader, run_id: int) -> RunRecord:
    """Return the run.  Raises NotFoundError."""
    run = reader.run(record_id(run_id))
    if run is None:
        raise NotFoundError("WEB-RUN-NOT-FOUND", run_id=run_id)
    return run


def find_result(reader: RecordsReader, run: RunRecord) -> dict[str, Any]:
    """Return the result document of the run.  Raises NotFoundError."""
    document = reader.result(run.id)
    if document is None:
        raise NotFoundError("WEB-RESULT-NOT-FOUND", run_id=run.id)
    return document


def find_cell(reader: RecordsReader, cell_id: int) -> CellRecord:
    """Return the cell.  Raises NotFoundError."""
    return _of_cell(cell_id, reader.cell(record_id(cell_id)))


def find_cell_picture(reader: RecordsReader, cell_id: int) -> bytes:
    """Return the gray picture of a cell as PNG.  Raises NotFoundError."""
    return _of_cell(cell_id, reader.cell_picture(record_id(cell_id)))


def find_cell_mask(reader: RecordsReader, cell_id: int) -> bytes:
    """Return the mask of a cell as PNG.  Raises NotFoundError."""
    return _of_cell(cell_id, reader.cell_mask(record_id(cell_id)))


def find_check(reader: RecordsReader, check_id: int) -> CheckRecord:
    """Return the check.  Raises NotFoundError."""
    check = reader.check(record_id(check_id))
    if check is None:
        raise NotFoundError("WEB-CHECK-NOT-FOUND", check_id=check_id)
    return check


def find_lot(reader: RecordsReader, lot_id: int) -> LotRecord:
    """Return the lot.  Raises NotFoundError."""
    lot = reader.control_lot(record_id(lot_id))
    if lot is None:
        raise NotFoundError("WEB-LOT-NOT-FOUND", lot_id=lot_id)
    return lot


def _of_cell(cell_id: int, found: Found | None) -> Found:
    if found is None:
        raise NotFoundError("WEB-CELL-NOT-FOUND", cell_id=cell_id)
    return found
