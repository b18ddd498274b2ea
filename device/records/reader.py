"""Reading the records: every reader has its own read-only connection."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from device.records.failures import records_errors
from device.records.light import unbooked
from device.records.quality.reader import MAX_PAGE, QualityReader, page_size
from device.records.record_types import (
    CellRecord,
    EventRecord,
    RunRecord,
    RunState,
    TileRecord,
    TileState,
)
from device.results.cell import CellKind
from device.status import StopReason

BUSY_TIMEOUT_S = 5.0
_CELL_COLUMNS = (
    "id, run_id, tile_sequence, x_um, y_um, x_px, y_px, bbox_px, kind, identified, "
    "probabilities, area_um2, nucleus_area_um2"
)


class RecordsReader(QualityReader):
    """Reads runs, tiles, cells, results and events; a context manager, for one thread.

    Lists are pages in order of id: ``after`` is the last id already seen.  Every method raises
    RecordsError if the database cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with records_errors(path):
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S
            )
            self._connection.row_factory = sqlite3.Row

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> RecordsReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def list_runs(
        self, after: int = 0, limit: int = 50, newest_first: bool = False
    ) -> list[RunRecord]:
        """Return the runs after id ``after``; newest first, 0 starts at the newest."""
        if newest_first:
            rows = self._query(
                "SELECT * FROM runs WHERE ? = 0 OR id < ? ORDER BY id DESC LIMIT ?",
                (after, after, page_size(limit)),
            )
        else:
            rows = self._query(
                "SELECT * FROM runs WHERE id > ? ORDER BY id LIMIT ?", (after, page_size(limit))
            )
        return [_run(row) for row in rows]

    def run(self, run_id: int) -> RunRecord | None:
        """Return one run."""
        row = self._one("SELECT * FROM runs WHERE id = ?", (run_id,))
        return _run(row) if row is not None else None

    def sample_dose_j_per_cm2(self, sample_id: str) -> float:
        """Return the sum of the doses that the fields of a sample received in all its runs.

        Light that could not be booked yet counts, too.
        """
        noted = [entry for entry in unbooked(self._path) if entry.sample_id == sample_id]
        row = self._one("SELECT j_per_cm2 FROM sample_doses WHERE sample_id = ?", (sample_id,))
        booked = float(row["j_per_cm2"]) if row is not None else 0.0
        return booked + sum(entry.sample_j_per_cm2 for entry in noted)

    def newest_utc(self) -> str | None:
        """Return the latest time stamp of a run, an event or a check, None if there are no rows."""
        stamps = [
            row["utc"]
            for sql in (
                "SELECT started_utc AS utc FROM runs ORDER BY id DESC LIMIT 1",
                "SELECT utc FROM events ORDER BY id DESC LIMIT 1",
                "SELECT utc FROM checks ORDER BY id DESC LIMIT 1",
            )
            if (row := self._one(sql, ())) is not None
        ]
        return max(stamps, default=None)

    def result(self, run_id: int) -> dict[str, Any] | None:
        """Return the newest version of the result document of a run."""
        row = self._one(
            "SELECT document FROM results WHERE run_id = ? ORDER BY version DESC LIMIT 1", (run_id,)
        )
        return dict(json.loads(row["document"])) if row is not None else None

    def cells(
        self, run_id: int, after: int = 0, limit: int = 1000, kind: CellKind | None = None
    ) -> list[CellRecord]:
        """Return counted cells of a run, all or of one kind."""
        rows = self._query(
            f"SELECT {_CELL_COLUMNS} FROM cells "  # noqa: S608 (a constant)
            "WHERE run_id = ? AND id > ? AND (? IS NULL OR kind = ?) ORDER BY id LIMIT ?",
            (run_id, after, kind, kind, page_size(limit)),
        )
        return [_cell(row) for row in rows]

    def cell(self, cell_id: int) -> CellRecord | None:
        """Return one cell."""
        row = self._one(
            f"SELECT {_CELL_COLUMNS} FROM cells WHERE id = ?",  # noqa: S608 (a constant)
            (cell_id,),
        )
        return _cell(row) if row is not None else None

    def cell_picture(self, cell_id: int) -> bytes | None:
        """Return the gray thumbnail of a cell as PNG."""
        row = self._one("SELECT picture FROM cells WHERE id = ?", (cell_id,))
        return bytes(row["picture"]) if row is not None else None

    def cell_mask(self, cell_id: int) -> bytes | None:
        """Return the mask of a cell as PNG: 0 background, 1 cytoplasm, 2 nucleus."""
        row = self._one("SELECT mask FROM cells WHERE id = ?", (cell_id,))
        return bytes(row["mask"]) if row is not None else None

    def tiles(
        self, run_id: int, after: int = 0, limit: int = 1000, *, counted_only: bool = False
    ) -> list[TileRecord]:
        """Return the journal of a run, missing tiles included, in the order it was written.

        ``counted_only`` leaves out tiles in which no counted cell was measured.
        """
        rows = self._query(
            "SELECT * FROM tiles WHERE run_id = ?1 AND id > ?2 AND (NOT ?3 OR sequence IN "
            "(SELECT tile_sequence FROM cells WHERE run_id = ?1)) ORDER BY id LIMIT ?4",
            (run_id, after, counted_only, page_size(limit)),
        )
        return [_tile(row) for row in rows]

    def tile(self, run_id: int, sequence: int) -> TileRecord | None:
        """Return the tile of a run that was taken as number ``sequence``."""
        row = self._one("SELECT * FROM tiles WHERE run_id = ? AND sequence = ?", (run_id, sequence))
        return _tile(row) if row is not None else None

    def sequences(self, run_id: int) -> list[int]:
        """Return the sequence numbers of all tiles taken in a run, in order."""
        rows = self._query(
            "SELECT sequence FROM tiles WHERE run_id = ? AND sequence IS NOT NULL "
            "ORDER BY sequence",
            (run_id,),
        )
        return [row[0] for row in rows]

    def mosaic_revision(self, run_id: int) -> tuple[int, float]:
        """Return what changes whenever a tile of a run comes or is placed elsewhere."""
        row = self._query(
            "SELECT count(*), total(mosaic_x_um + 1.7 * mosaic_y_um) FROM tiles WHERE run_id = ?",
            (run_id,),
        )[0]
        return int(row[0]), float(row[1])

    def counted_cells(self, run_id: int) -> dict[int, int]:
        """Return the number of counted cells per tile, sequence number first, of tiles with any."""
        rows = self._query(
            "SELECT tile_sequence, count(*) FROM cells WHERE run_id = ? GROUP BY tile_sequence",
            (run_id,),
        )
        return {row[0]: row[1] for row in rows}

    def cells_of_tile(self, run_id: int, sequence: int) -> list[CellRecord]:
        """Return the counted cells of a run that were measured in one tile."""
        rows = self._query(
            f"SELECT {_CELL_COLUMNS} FROM cells "  # noqa: S608 (a constant)
            "WHERE run_id = ? AND tile_sequence = ? ORDER BY id",
            (run_id, sequence),
        )
        return [_cell(row) for row in rows]

    def cells_within(
        self, run_id: int, left_um: float, top_um: float, right_um: float, bottom_um: float
    ) -> list[CellRecord]:
        """Return the counted cells of a run whose centres lie in a rectangle of the mosaic."""
        rows = self._query(
            f"SELECT {_CELL_COLUMNS} FROM cells WHERE run_id = ? "  # noqa: S608 (a constant)
            "AND x_um BETWEEN ? AND ? AND y_um BETWEEN ? AND ? ORDER BY id",
            (run_id, left_um, right_um, top_um, bottom_um),
        )
        return [_cell(row) for row in rows]

    def every_tile(self, run_id: int) -> Iterator[TileRecord]:
        """Yield the whole journal of a run."""
        after = 0
        while page := self.tiles(run_id, after, MAX_PAGE):
            yield from page
            after = page[-1].id

    def every_cell(self, run_id: int) -> Iterator[CellRecord]:
        """Yield all counted cells of a run."""
        after = 0
        while page := self.cells(run_id, after, MAX_PAGE):
            yield from page
            after = page[-1].id

    def events(
        self, run_id: int | None = None, after: int = 0, limit: int = 1000
    ) -> list[EventRecord]:
        """Return what happened in a run, or outside any run for None."""
        rows = self._query(
            "SELECT * FROM events WHERE run_id IS ? AND id > ? ORDER BY id LIMIT ?",
            (run_id, after, page_size(limit)),
        )
        return [EventRecord(**{**dict(row), "data": json.loads(row["data"])}) for row in rows]

    def _query(self, sql: str, parameters: Sequence[object]) -> list[sqlite3.Row]:
        with records_errors(self._path):
            return self._connection.execute(sql, parameters).fetchall()

    def _one(self, sql: str, parameters: Sequence[object]) -> sqlite3.Row | None:
        rows = self._query(sql, parameters)
        return rows[0] if rows else None


def _run(row: sqlite3.Row) -> RunRecord:
    ended_s = row["ended_monotonic_s"]
    return RunRecord(
        id=row["id"],
        sample_id=row["sample_id"],
        state=RunState(row["state"]),
        reason=StopReason(row["reason"]) if row["reason"] is not None else None,
        started_utc=row["started_utc"],
        ended_utc=row["ended_utc"],
        duration_s=ended_s - row["started_monotonic_s"] if ended_s is not None else None,
        tiles_planned=row["tiles_planned"],
        settings=json.loads(row["settings"]),
        versions=json.loads(row["versions"]),
        error=_json_or_none(row["error"]),
        control_lot=row["control_lot"],
        operator=row["operator"],
    )


def _cell(row: sqlite3.Row) -> CellRecord:
    x0, y0, x1, y1 = json.loads(row["bbox_px"])
    probabilities = json.loads(row["probabilities"])
    return CellRecord(
        **{
            **dict(row),
            "bbox_px": (x0, y0, x1, y1),
            "kind": CellKind(row["kind"]),
            "identified": bool(row["identified"]),
            "probabilities": {CellKind(kind): value for kind, value in probabilities.items()},
        }
    )


def _tile(row: sqlite3.Row) -> TileRecord:
    return TileRecord(
        **{
            **dict(row),
            "state": TileState(row["state"]),
            "usable": bool(row["usable"]),
            "links": tuple(json.loads(row["links"])),
            "error": _json_or_none(row["error"]),
        }
    )


def _json_or_none(text: str | None) -> dict[str, Any] | None:
    return json.loads(text) if text is not None else None
