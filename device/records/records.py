"""The records: one SQLite database that a killed process or a full disk cannot make lie.

Write-ahead log with ``synchronous=FULL``: what a method has returned from is on the disk.  One
writer connection behind a lock; readers have their own (:meth:`Records.reader`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlite_utils import Database

from device.errors import RecordsError
from device.records.calibrations import CalibrationStore
from device.records.cell_rows import cell_row
from device.records.database import insert_row, open_database
from device.records.failures import records_errors
from device.records.folder.traces import PICTURES_FOLDER, Traces
from device.records.light import LightRecords
from device.records.mosaic_positions import MosaicPositions
from device.records.quality.writer import QualityRecords
from device.records.reader import BUSY_TIMEOUT_S, RecordsReader
from device.records.record_types import RunState, TileState
from device.records.tile_pictures import TilePictures
from device.records.writer import Writer
from device.results.cell import Cell
from device.status import StopReason
from hal.clock import Clock, SystemClock

HISTORY_UNKNOWN: Final = "history_unknown"
"""Kind of the event that says that the records before it are incomplete."""

_DISCARDED: Final = "run_discarded"
"""Kind of the event of a run that was stored and never began."""


@dataclass(frozen=True)
class TileEntry:
    """A line of the journal; fields as :class:`device.records.record_types.TileRecord`."""

    row: int
    column: int
    x_um: float
    y_um: float
    state: TileState
    usable: bool
    exposures: int
    dose_mj_per_cm2: float
    sequence: int | None = None
    z_um: float | None = None
    reason: str | None = None
    sharpness: float | None = None
    fill_fraction: float | None = None
    saturated_fraction: float | None = None
    cells: int | None = None
    red_cells: int | None = None
    platelets: int | None = None
    analysis_ms: float | None = None
    exposure_ms: float | None = None
    cell_od: float | None = None
    links: Sequence[Mapping[str, float]] = ()
    mosaic_x_um: float | None = None
    mosaic_y_um: float | None = None
    error: Mapping[str, str] | None = None


@dataclass(frozen=True)
class RunEnd:
    """How a run ended, with the document of its result.

    Attributes:
        document: JSON-compatible result.
        error: code, cause and remedy if the run failed or was refused.
    """

    state: RunState
    reason: StopReason
    document: Mapping[str, Any]
    error: Mapping[str, str] | None = None


class Records:
    """The only writer of the database; methods may be called from any thread.

    Every method raises RecordsError if the disk or the database fails, or if another program
    has held the database for too long; nothing of that call is stored then.

    Attributes:
        path: the database file.
        tile_pictures: of the tiles of all runs, next to the database.
        writer: its transactions, and how long they wait for other programs.
        quality: writes checks of the instrument and runs of the control slide.
        calibrations: of the instrument, in the database.
        light: life of the LEDs and doses of the samples.
        mosaic_positions: writes where the tiles of a run lie in the field.

    Args:
        path: the database file; created with its folder if missing.
        clock: monotonic time of the instrument.
        now: wall-clock time, for the stamps people read.
        busy_timeout_s: how long a method waits for another program that writes.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        busy_timeout_s: float = BUSY_TIMEOUT_S,
    ) -> None:
        self.path = path
        self.tile_pictures = TilePictures(path.parent / PICTURES_FOLDER)
        self._traces = Traces(path)
        self._clock = clock if clock is not None else SystemClock()
        self._now = now
        with records_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            db = open_database(path, busy_timeout_s)
        self.writer = Writer(db, path, busy_timeout_s, SystemClock())
        self.quality = QualityRecords(self.writer.transaction, self._stamp)
        self.calibrations = CalibrationStore(self.writer, now)
        self.light = LightRecords(path, self.writer.transaction, self._stamp)
        self.mosaic_positions = MosaicPositions(self.writer.transaction)
        try:
            self._compare_with_traces()
        except BaseException:
            self.close()
            raise

    def reader(self) -> RecordsReader:
        """Open a read-only connection for the calling thread."""
        return RecordsReader(self.path)

    def close(self) -> None:
        """Close the writer; what was returned from is safe."""
        self.writer.close()

    def check_writable(self) -> None:
        """Write and take back one row."""
        with self.writer.transaction() as db:
            row_id = self._insert_event(db, None, "self_test", {})
            db.execute("DELETE FROM events WHERE id = ?", [row_id])

    def problems(self) -> list[str]:
        """Return what is wrong with the database; no more than three things."""
        with self.writer.reading() as db:
            found = [str(row[0]) for row in db.execute("PRAGMA quick_check(3)")]
        return [] if found == ["ok"] else found

    def utc_now(self) -> datetime:
        """Return the wall-clock time that rows are stamped with."""
        return self._now()

    def begin_run(
        self,
        sample_id: str,
        settings: Mapping[str, Any],
        versions: Mapping[str, str],
        control_lot: int | None = None,
        operator: str = "",
        confirm: Callable[[], object] = lambda: None,
    ) -> int:
        """Store a new running run, of a sample or of a control slide; return its id.

        The id is above every number that was ever used in this folder.  ``confirm`` is called
        last, when nothing is in the way any more; what it raises takes the run back.
        """
        with self.writer.transaction() as db:
            row = {
                "id": self._next_run(db),
                "sample_id": sample_id,
                "state": RunState.RUNNING,
                "started_utc": self._stamp(),
                "started_monotonic_s": self._clock.monotonic_s(),
                "tiles_planned": 0,
                "settings": json.dumps(settings),
                "versions": json.dumps(versions),
                "control_lot": control_lot,
                "operator": operator,
            }
            run_id = insert_row(db, "runs", row)
            confirm()
        try:
            with records_errors(self.path):
                self._traces.note_run(run_id)
        except RecordsError:
            self.discard_run(run_id)
            raise
        return run_id

    def next_run(self) -> int:
        """Return the number that the next run gets."""
        with self.writer.reading() as db:
            return self._next_run(db)

    def discard_run(self, run_id: int) -> None:
        """Remove a run that was stored and never began; its number stays used."""
        with self.writer.transaction() as db:
            db.table("runs").delete(run_id)
            self._insert_event(db, None, _DISCARDED, {"run": run_id})

    def set_plan(self, run_id: int, tiles_planned: int) -> None:
        """Store the size of the plan."""
        with self.writer.transaction() as db:
            db.table("runs").update(run_id, {"tiles_planned": tiles_planned})

    def add_tile(
        self,
        run_id: int,
        entry: TileEntry,
        cells: Sequence[Cell] = (),
        better: Mapping[int, Cell] | None = None,
    ) -> list[int]:
        """Journal one tile with what it adds to the cells; return the ids of the new cells.

        Args:
            run_id: the run.
            entry: the tile.
            cells: counted in this tile for the first time.
            better: id of an earlier cell to its better view in this tile, which replaces it.
        """
        rows = [cell_row(run_id, cell) for cell in cells]
        changes = {cell_id: cell_row(run_id, cell) for cell_id, cell in (better or {}).items()}
        with self.writer.transaction() as db:
            values = vars(entry) | {
                "run_id": run_id,
                "links": json.dumps(entry.links),
                "error": _json_or_none(entry.error),
            }
            db.table("tiles").insert(values)
            for cell_id, row in changes.items():
                db.table("cells").update(cell_id, row)
            return [insert_row(db, "cells", row) for row in rows]

    def add_event(self, run_id: int | None, kind: str, data: Mapping[str, Any]) -> None:
        """Store something that happened."""
        with self.writer.transaction() as db:
            self._insert_event(db, run_id, kind, data)

    def finish_run(self, run_id: int, end: RunEnd) -> None:
        """Store the result and close the run, both or neither."""
        with self.writer.transaction() as db:
            version = db.execute(
                "SELECT coalesce(max(version), 0) + 1 FROM results WHERE run_id = ?", [run_id]
            ).fetchone()[0]
            db.table("results").insert(
                {
                    "run_id": run_id,
                    "version": version,
                    "stored_utc": self._stamp(),
                    "document": json.dumps(end.document),
                }
            )
            changes: dict[str, Any] = {
                "state": end.state,
                "reason": end.reason,
                "error": _json_or_none(end.error),
            }
            # The monotonic clock of an interrupted run ended with its process.
            if end.state is not RunState.INTERRUPTED:
                changes["ended_utc"] = self._stamp()
                changes["ended_monotonic_s"] = self._clock.monotonic_s()
            db.table("runs").update(run_id, changes)

    def unfinished_runs(self) -> list[int]:
        """Return the ids of runs that are still marked as running."""
        with self.writer.reading() as db:
            rows = db.execute("SELECT id FROM runs WHERE state = ?", [RunState.RUNNING])
            return [int(row[0]) for row in rows.fetchall()]

    def note_unknown_history(self) -> None:
        """Store that the records before now are incomplete, once for each loss."""
        shown = self._traces.highest_run()
        last = self._last_loss()
        if last is None or last[1] != shown:
            self.add_event(None, HISTORY_UNKNOWN, {"last_run": shown})

    def history_unknown_utc(self) -> str | None:
        """Return when a loss of former records was found, None if no loss is known."""
        last = self._last_loss()
        return last[0] if last is not None else None

    def _compare_with_traces(self) -> None:
        """Note runs that the folder shows and the database, restored or new, does not have."""
        with records_errors(self.path):
            shown = self._traces.highest_run()
            with self.writer.reading() as db:
                stored = _highest_run(db)
            self._traces.note_run(max(stored, shown))
        if shown > stored:
            self.note_unknown_history()

    def _next_run(self, db: Database) -> int:
        return max(_highest_run(db), self._traces.highest_run()) + 1

    def _last_loss(self) -> tuple[str, int] | None:
        """Return time and highest run number of the last loss of records."""
        with self.writer.reading() as db:
            row = db.execute(
                "SELECT utc, json_extract(data, '$.last_run') FROM events "
                "WHERE run_id IS NULL AND kind = ? ORDER BY id DESC LIMIT 1",
                [HISTORY_UNKNOWN],
            ).fetchone()
        return (row[0], row[1]) if row is not None else None

    def _insert_event(
        self, db: Database, run_id: int | None, kind: str, data: Mapping[str, Any]
    ) -> int:
        row = {
            "run_id": run_id,
            "utc": self._stamp(),
            "monotonic_s": self._clock.monotonic_s(),
            "kind": kind,
            "data": json.dumps(data),
        }
        return insert_row(db, "events", row)

    def _stamp(self) -> str:
        return self._now().isoformat(timespec="milliseconds")


def _highest_run(db: Database) -> int:
    row = db.execute(
        "SELECT max((SELECT coalesce(max(id), 0) FROM runs), (SELECT coalesce(max(json_extract("
        "data, '$.run')), 0) FROM events WHERE run_id IS NULL AND kind = ?))",
        [_DISCARDED],
    ).fetchone()
    return int(row[0])


def _json_or_none(value: Mapping[str, Any] | None) -> str | None:
    return json.dumps(value) if value is not None else None
