"""The records: one SQLite database that a killed process or a full disk cannot make lie.

Write-ahead log with ``synchronous=FULL``: what a method has returned from is on the disk.  One
writer connection behind a lock; readers have their own (:meth:`Records.reader`).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sqlite_utils import Database

from device.errors import RecordsError
from device.records.calibrations import CalibrationStore
from device.records.migrations import MIGRATIONS
from device.records.quality_records import QualityRecords, insert_row
from device.records.reader import BUSY_TIMEOUT_S, RecordsReader, records_errors
from device.records.record_types import LedRecord, RunState, TileState
from device.records.tile_pictures import TilePictures
from device.results.cell import Cell
from device.status import StopReason
from hal.clock import Clock, SystemClock


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
    error: Mapping[str, str] | None = None


@dataclass(frozen=True)
class LightEntry:
    """Light that was given since the last entry.

    Attributes:
        led: name of the LED.
        sample_id: the sample under it.
        exposures: their number.
        light_s: seconds of light.
        sample_j_per_cm2: sum of the doses of the sample's fields.
    """

    led: str
    sample_id: str
    exposures: int
    light_s: float
    sample_j_per_cm2: float


@dataclass(frozen=True)
class RunEnd:
    """How a run ended, with the document of its result.

    Attributes:
        document: JSON-compatible result.
        error: code, cause and remedy when the run failed or was refused.
    """

    state: RunState
    reason: StopReason
    document: Mapping[str, Any]
    error: Mapping[str, str] | None = None


class Records:
    """The only writer of the database; methods may be called from any thread.

    Every method raises RecordsError when the disk or the database fails; nothing of that call is
    stored then.

    Attributes:
        path: the database file.
        tile_pictures: of the tiles of all runs, beside the database.
        quality: writes checks of the instrument and runs of the control slide.
        calibrations: of the instrument, in the database.

    Args:
        path: the database file; created with its folder when missing.
        clock: monotonic time of the instrument.
        now: wall-clock time, for the stamps people read.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.path = path
        self.tile_pictures = TilePictures(path.parent / "tiles")
        self._clock = clock if clock is not None else SystemClock()
        self._now = now
        self._lock = RLock()
        self.quality = QualityRecords(self._transaction, self._stamp)
        with records_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = _open(path)
        self.calibrations = CalibrationStore(self._transaction, now)

    def reader(self) -> RecordsReader:
        """Open a read-only connection for the calling thread."""
        return RecordsReader(self.path)

    def close(self) -> None:
        """Close the writer; what was returned from is safe."""
        with self._lock:
            self._db.close()

    def check_writable(self) -> None:
        """Write and take back one row."""
        with self._transaction() as db:
            row_id = self._insert_event(db, None, "self_test", {})
            db.execute("DELETE FROM events WHERE id = ?", [row_id])

    def problems(self) -> list[str]:
        """Return what is wrong with the database; no more than three things."""
        with self._lock, records_errors(self.path):
            found = [str(row[0]) for row in self._db.execute("PRAGMA quick_check(3)")]
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
    ) -> int:
        """Store a new running run, of a sample or of a control slide; return its id."""
        with self._transaction() as db:
            row = {
                "sample_id": sample_id,
                "state": RunState.RUNNING,
                "started_utc": self._stamp(),
                "started_monotonic_s": self._clock.monotonic_s(),
                "tiles_planned": 0,
                "settings": json.dumps(settings),
                "versions": json.dumps(versions),
                "control_lot": control_lot,
            }
            run_id = insert_row(db, "runs", row)
            self.tile_pictures.forget(run_id)
            return run_id

    def set_plan(self, run_id: int, tiles_planned: int) -> None:
        """Store the size of the plan."""
        with self._transaction() as db:
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
        rows = [_cell_row(run_id, cell) for cell in cells]
        changes = {cell_id: _cell_row(run_id, cell) for cell_id, cell in (better or {}).items()}
        with self._transaction() as db:
            values = vars(entry) | {"run_id": run_id, "error": _json_or_none(entry.error)}
            db.table("tiles").insert(values)
            for cell_id, row in changes.items():
                db.table("cells").update(cell_id, row)
            return [insert_row(db, "cells", row) for row in rows]

    def add_light(self, entry: LightEntry) -> None:
        """Add to the life of the LED and to the dose of the sample."""
        with self._transaction() as db:
            self._require_led(db, entry.led)
            db.execute(
                "UPDATE leds SET exposures = exposures + ?, light_s = light_s + ?, last_utc = ? "
                "WHERE name = ?",
                [entry.exposures, entry.light_s, self._stamp(), entry.led],
            )
            db.execute(
                "INSERT INTO sample_doses (sample_id, exposures, j_per_cm2, last_utc) "
                "VALUES (?, ?, ?, ?) ON CONFLICT (sample_id) DO UPDATE SET "
                "exposures = exposures + excluded.exposures, "
                "j_per_cm2 = j_per_cm2 + excluded.j_per_cm2, last_utc = excluded.last_utc",
                [entry.sample_id, entry.exposures, entry.sample_j_per_cm2, self._stamp()],
            )

    def judge_led(self, name: str, brightness_per_s: float, *, sound: bool) -> LedRecord:
        """Store the brightness of an LED; return its life so far.

        Args:
            name: of the LED.
            brightness_per_s: on blank glass, full scales per second.
            sound: whether it becomes the measure of later ones, where there is none.
        """
        with self._transaction() as db:
            self._require_led(db, name)
            db.execute(
                "UPDATE leds SET last_brightness_per_s = ?1, "
                "first_brightness_per_s = coalesce(first_brightness_per_s, iif(?3, ?1, NULL)) "
                "WHERE name = ?2",
                [brightness_per_s, name, sound],
            )
            row = db.execute(
                "SELECT name, exposures, light_s, first_brightness_per_s, last_brightness_per_s "
                "FROM leds WHERE name = ?",
                [name],
            ).fetchone()
            return LedRecord(*row)

    def add_event(self, run_id: int | None, kind: str, data: Mapping[str, Any]) -> None:
        """Store something that happened."""
        with self._transaction() as db:
            self._insert_event(db, run_id, kind, data)

    def finish_run(self, run_id: int, end: RunEnd) -> None:
        """Store the result and close the run, both or neither."""
        with self._transaction() as db:
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
        with self._lock, records_errors(self.path):
            rows = self._db.execute("SELECT id FROM runs WHERE state = ?", [RunState.RUNNING])
            return [int(row[0]) for row in rows.fetchall()]

    @contextmanager
    def _transaction(self) -> Iterator[Database]:
        with self._lock, records_errors(self.path), self._db.atomic():
            yield self._db

    def _require_led(self, db: Database, name: str) -> None:
        now = self._stamp()
        db.execute(
            "INSERT INTO leds (name, exposures, light_s, first_utc, last_utc) "
            "VALUES (?, 0, 0.0, ?, ?) ON CONFLICT (name) DO NOTHING",
            [name, now, now],
        )

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


def _open(path: Path) -> Database:
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        _check_integrity(connection, path)
        db = Database(connection)
        _check_version(db, path)
        MIGRATIONS.apply(db)
    except BaseException:
        connection.close()
        raise
    return db


def _check_integrity(connection: sqlite3.Connection, path: Path) -> None:
    problems = [row[0] for row in connection.execute("PRAGMA integrity_check(3)")]
    if problems != ["ok"]:
        raise RecordsError(
            f"The records in {path} are damaged: {'; '.join(problems)}.",
            remedy="Move the damaged file aside and restore it from a backup.",
        )


def _check_version(db: Database, path: Path) -> None:
    with closing(Database(memory=True)) as empty:
        known = {migration.name for migration in MIGRATIONS.pending(empty)}
    if any(migration.name not in known for migration in MIGRATIONS.applied(db)):
        raise RecordsError(
            f"The records in {path} were written by a newer version of this software.",
            remedy="Install that version, or start with an empty folder.",
        )


def _cell_row(run_id: int, cell: Cell) -> dict[str, Any]:
    probabilities = {kind.value: float(value) for kind, value in cell.probabilities.items()}
    return {
        "run_id": run_id,
        "tile_sequence": cell.tile_sequence,
        "x_um": float(cell.x_um),
        "y_um": float(cell.y_um),
        "x_px": float(cell.x_px),
        "y_px": float(cell.y_px),
        "bbox_px": json.dumps([int(value) for value in cell.bbox_px]),
        "kind": cell.kind,
        "identified": bool(cell.identified),
        "probabilities": json.dumps(probabilities),
        "area_um2": float(cell.area_um2),
        "nucleus_area_um2": float(cell.nucleus_area_um2),
        "picture": _png(cell.thumbnail),
        "mask": _png(cell.mask),
    }


def _png(image: NDArray[np.uint8]) -> bytes:
    return bytes(cv2.imencode(".png", image)[1])


def _json_or_none(value: Mapping[str, Any] | None) -> str | None:
    return json.dumps(value) if value is not None else None
