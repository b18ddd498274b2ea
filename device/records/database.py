"""Opening the database: durable, whole, and of a version that this software knows."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from device.errors import RecordsError
from device.records.failures import damaged_error
from device.records.folder.traces import Traces, is_blank
from device.records.migrations import MIGRATIONS


def open_database(path: Path, busy_timeout_s: float, *, begin_new: bool = False) -> Database:
    """Open the database and bring its schema up to date.

    One that is missing or empty is made, unless its folder shows that there were records.

    Args:
        path: the file.
        busy_timeout_s: how long to wait for another program; once open, SQLite never waits.
        begin_new: make it even if there were records.

    Raises:
        RecordsError: it is lost, damaged, of a newer version, or on a file system without locks.
        sqlite3.Error: as SQLite raises.
    """
    former = [] if begin_new else Traces(path).found()
    if former and is_blank(path):
        raise _lost_error(path, former)
    connection = sqlite3.connect(path, timeout=busy_timeout_s, check_same_thread=False)
    try:
        _begin_write_ahead_log(connection, path)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        _check_integrity(connection, path)
        db = Database(connection)
        _check_version(db, path)
        _check_content(db, path, former)
        MIGRATIONS.apply(db)
        connection.execute("PRAGMA busy_timeout = 0")
    except BaseException:
        connection.close()
        raise
    return db


def insert_row(db: Database, table: str, row: Mapping[str, Any]) -> int:
    """Insert one row and return its id."""
    db.table(table).insert(dict(row))
    return int(db.execute("SELECT last_insert_rowid()").fetchone()[0])


def _check_content(db: Database, path: Path, former: Sequence[str]) -> None:
    if former and not db.table("runs").exists():
        raise _lost_error(path, former)


def _lost_error(path: Path, former: Sequence[str]) -> RecordsError:
    return RecordsError("RECORDS-LOST", path=path, traces=", ".join(former))


def _begin_write_ahead_log(connection: sqlite3.Connection, path: Path) -> None:
    if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
        raise RecordsError("RECORDS-NO-SHARED-MEMORY", path=path)


def _check_integrity(connection: sqlite3.Connection, path: Path) -> None:
    problems = [row[0] for row in connection.execute("PRAGMA integrity_check(3)")]
    if problems != ["ok"]:
        raise damaged_error(path, "; ".join(problems))


def _check_version(db: Database, path: Path) -> None:
    with closing(Database(memory=True)) as empty:
        known = {migration.name for migration in MIGRATIONS.pending(empty)}
    if any(migration.name not in known for migration in MIGRATIONS.applied(db)):
        raise RecordsError("RECORDS-NEWER", path=path)
