"""Results as CSV: one header row, one row per class or cell, units in the column names.

Every row says what it may be used for, because rows are copied without their header.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any, Final

from device.quality.control import ANALYTES
from device.results.cell import CellKind

if TYPE_CHECKING:
    from device.records.reader import RecordsReader
    from device.records.record_types import CellRecord, PointRecord, RunRecord

RESULT_COLUMNS: Final = (
    "run_id",
    "sample_id",
    "class",
    "n",
    "percent",
    "interval_low_percent",
    "interval_high_percent",
    "software",
)
CELL_COLUMNS: Final = (
    "cell_id",
    "kind",
    "identified",
    *(f"probability_{kind.value}" for kind in CellKind),
    "x_um",
    "y_um",
    "area_um2",
    "nucleus_area_um2",
    "tile_sequence",
    "x_px",
    "y_px",
    "software",
)
_UNITS: Final = {"%": "_percent", "1/mm2": "_per_mm2"}
POINT_COLUMNS: Final = (
    "lot",
    "point_id",
    "run_id",
    "utc",
    "verdict",
    *(name + _UNITS.get(unit, "") for name, unit in ANALYTES.items()),
    "rules",
    "comments",
)
_INTENDED_USE: Final = "research use only"
_PAGE: Final = 1000


def differential_csv(document: Mapping[str, Any]) -> str:
    """Return the differential of a result document; classes outside it have a count only.

    Every row names the version of the software that measured.
    """
    head = (document["run_id"], document["sample_id"])
    software = document["versions"].get("software")
    rows = [
        (*head, name, share["n"], share["percent"], share["low"], share["high"], software)
        for name, share in document["differential"].items()
    ]
    rows += [
        (*head, name, document[name], None, None, None, software)
        for name in ("dead", "other", "unidentified")
    ]
    return _table(RESULT_COLUMNS, rows)


def cells_csv(reader: RecordsReader, run: RunRecord) -> str:
    """Return all cells of a run."""
    software = run.versions.get("software")
    rows = ((*_cell_row(cell), software) for cell in all_cells(reader, run.id))
    return _table(CELL_COLUMNS, rows)


def all_cells(
    reader: RecordsReader, run_id: int, kind: CellKind | None = None
) -> Iterator[CellRecord]:
    """Yield the cells of a run in the order of their numbers, of one class or all."""
    after = 0
    while page := reader.cells(run_id, after=after, limit=_PAGE, kind=kind):
        yield from page
        after = page[-1].id


def points_csv(lot: str, points: Iterable[PointRecord]) -> str:
    """Return the control runs of a lot: one row per run, one column per value."""
    rows = (
        (
            lot,
            point.id,
            point.run_id,
            point.utc,
            point.verdict,
            *(point.values.get(name) for name in ANALYTES),
            " ".join(f"{name}:{'+'.join(rules)}" for name, rules in point.rules.items()),
            " | ".join(f"{said['operator']}: {said['text']}" for said in point.comments),
        )
        for point in points
    )
    return _table(POINT_COLUMNS, rows)


def _cell_row(cell: CellRecord) -> Sequence[object]:
    return (
        cell.id,
        cell.kind,
        int(cell.identified),
        *(round(cell.probabilities[kind], 4) for kind in CellKind),
        round(cell.x_um, 2),
        round(cell.y_um, 2),
        round(cell.area_um2, 2),
        round(cell.nucleus_area_um2, 2),
        cell.tile_sequence,
        round(cell.x_px, 1),
        round(cell.y_px, 1),
    )


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    out = StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow((*columns, "intended_use"))
    writer.writerows((*row, _INTENDED_USE) for row in rows)
    return out.getvalue()
