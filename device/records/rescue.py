"""After the database was lost or damaged: save what can be read, or begin new records."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlite_utils import Database

from device.errors import RecordsError
from device.records.database import open_database
from device.records.failures import is_damage, records_errors
from device.records.folder.traces import Traces, is_blank, sync_folder
from device.records.reader import BUSY_TIMEOUT_S
from device.records.records import Records
from hal.errors import InputError

_SUFFIXES: Final = ("-wal", "-shm", "")
_MAGIC: Final = b"SQLite format 3\0"
_HEADER_BYTES: Final = 100


@dataclass(frozen=True)
class Rescue:
    """What became of the former database.

    Attributes:
        set_aside: folder that now holds its files.
        rows: rows that were saved, by table.
        incomplete: tables of which some rows could not be read.
    """

    set_aside: Path
    rows: Mapping[str, int]
    incomplete: tuple[str, ...]


def begin_new(database: Path) -> Path:
    """Set aside what is left of a lost or damaged database, and make an empty one.

    Returns the folder with what was set aside.

    Raises:
        InputError: the database is sound, or there never were records.
        RecordsError: the disk fails.
    """
    with records_errors(database):
        if not is_blank(database):
            _require_damage(database)
        elif not Traces(database).found():
            raise InputError("RECORDS-NONE", folder=database.parent)
        fresh = _fresh(database)
        open_database(fresh, BUSY_TIMEOUT_S, begin_new=True).close()
        set_aside = _put_in_place(fresh, database)
    with closing(Records(database)) as records:
        records.note_unknown_history()
    return set_aside


def recover(database: Path) -> Rescue:
    """Copy every row that can be read to a new database, and set the damaged one aside.

    Raises:
        InputError: the database is sound, or does not exist.
        RecordsError: nothing of it can be read, or the disk fails.
    """
    with records_errors(database):
        if is_blank(database):
            raise InputError("RECORDS-NOTHING-TO-RECOVER", path=database)
        _require_damage(database)
        fresh = _fresh(database)
        with closing(open_database(fresh, BUSY_TIMEOUT_S, begin_new=True)) as db:
            rows, incomplete = _copy_readable(database, db)
            highest_run = _highest_run(db)
        if not any(rows.values()):
            _fresh(database)  # nothing is left of the attempt
            raise RecordsError("RECORDS-UNREADABLE", path=database)
        set_aside = _put_in_place(fresh, database)
        Traces(database).note_run(highest_run)
    if incomplete:
        with closing(Records(database)) as records:
            records.note_unknown_history()
    return Rescue(set_aside, rows, incomplete)


def _require_damage(database: Path) -> None:
    try:
        with closing(_read_only(database)) as connection:
            whole = connection.execute("PRAGMA integrity_check(1)").fetchone()[0] == "ok"
            runs = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'runs'").fetchone()
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        return
    if whole and runs is not None:
        raise InputError("RECORDS-SOUND", path=database)


def _read_only(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S
    )


def _fresh(database: Path) -> Path:
    """Return where the new database is built, without what was left there."""
    fresh = database.with_name(f"{database.name}.new")
    for suffix in _SUFFIXES:
        fresh.with_name(fresh.name + suffix).unlink(missing_ok=True)
    return fresh


def _put_in_place(fresh: Path, database: Path) -> Path:
    """Move the files of the former database to a folder of their own, and ``fresh`` to its name."""
    folder = database.parent / f"set-aside-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"
    folder.mkdir()
    for suffix in _SUFFIXES:
        file = database.with_name(database.name + suffix)
        if file.exists():
            file.rename(folder / file.name)
    fresh.rename(database)
    sync_folder(database.parent)
    return folder


def _copy_readable(damaged: Path, db: Database) -> tuple[dict[str, int], tuple[str, ...]]:
    """Copy rows to the empty ``db``; return their number by table, and the incomplete tables."""
    # A row may outlive the one it belongs to.
    db.execute("PRAGMA foreign_keys = OFF")
    saved: dict[str, int] = {}
    incomplete = []
    with _full_length(damaged) as file, closing(_read_only(file)) as source, db.atomic():
        source.row_factory = sqlite3.Row
        there = _tables(source)
        for table in sorted(there.intersection(db.table_names())):
            if table.startswith(("sqlite_", "_")):
                continue
            known = db.table(table).columns_dict
            saved[table], whole = 0, True
            for row in _readable_rows(source, table):
                if row is None or not _insert(db, table, row, known):
                    whole = False
                else:
                    saved[table] += 1
            if not whole:
                incomplete.append(table)
    return saved, tuple(incomplete)


@contextmanager
def _full_length(damaged: Path) -> Iterator[Path]:
    """Give a database file that is as long as its header says: SQLite reads no shorter one.

    The file itself, or a copy whose end is filled with zeros.
    """
    with damaged.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    page_bytes = int.from_bytes(header[16:18], "big")
    length = (65536 if page_bytes == 1 else page_bytes) * int.from_bytes(header[28:32], "big")
    missing = length - damaged.stat().st_size
    if not header.startswith(_MAGIC) or missing <= 0:
        yield damaged
        return
    with tempfile.TemporaryDirectory(dir=damaged.parent, prefix=".rescue-") as folder:
        copy = Path(folder) / damaged.name
        for suffix in _SUFFIXES:
            part = damaged.with_name(damaged.name + suffix)
            if part.exists():
                shutil.copyfile(part, copy.with_name(part.name))
        os.truncate(copy, length)
        yield copy


def _tables(source: sqlite3.Connection) -> set[str]:
    try:
        return {row["name"] for row in source.execute("SELECT name FROM sqlite_master")}
    except sqlite3.Error as error:
        _require_damaged_rows(error)
        return set()


def _readable_rows(source: sqlite3.Connection, table: str) -> Iterator[sqlite3.Row | None]:
    """Yield the rows of a table, each once; None if some cannot be read.

    From both ends up to the first damaged page, and between these pages one by one.
    """
    low, high = 0, None
    try:
        for row in _rows(source, table, "rowid > ? ORDER BY rowid", low):
            yield row
            low = row["salvaged_rowid"]
    except sqlite3.Error as error:
        _require_damaged_rows(error)
    else:
        return
    yield None
    try:
        for row in _rows(source, table, "rowid > ? ORDER BY rowid DESC", low):
            yield row
            high = row["salvaged_rowid"]
    except sqlite3.Error as error:
        _require_damaged_rows(error)
    for rowid in range(low + 1, high or 0):
        try:
            found = _rows(source, table, "rowid = ?", rowid).fetchone()
        except sqlite3.Error as error:
            _require_damaged_rows(error)
        else:
            if found is not None:
                yield found


def _require_damaged_rows(error: sqlite3.Error) -> None:
    if not is_damage(error):
        raise error


def _rows(source: sqlite3.Connection, table: str, where: str, rowid: int) -> sqlite3.Cursor:
    return source.execute(
        f"SELECT rowid AS salvaged_rowid, * FROM {table} WHERE {where}",  # noqa: S608 (constants)
        [rowid],
    )


def _insert(db: Database, table: str, row: sqlite3.Row, known: Mapping[str, Any]) -> bool:
    """Insert what the new schema knows of a row; return whether it takes it."""
    names = [name for name in row.keys() if name in known]  # noqa: SIM118 (a Row iterates values)
    columns = ", ".join(f'"{name}"' for name in names)
    marks = ", ".join("?" for _ in names)
    cursor = db.execute(
        f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({marks})",  # noqa: S608 (own names)
        [row[name] for name in names],
    )
    return cursor.rowcount == 1


def _highest_run(db: Database) -> int:
    """Return the highest run number that any row names, also of a run whose row is lost."""
    naming = [table for table in db.table_names() if "run_id" in db.table(table).columns_dict]
    queries = ["SELECT id AS run_id FROM runs", *(f"SELECT run_id FROM {t}" for t in naming)]  # noqa: S608
    union = " UNION ALL ".join(queries)
    found = db.execute(f"SELECT coalesce(max(run_id), 0) FROM ({union})")  # noqa: S608 (own names)
    return int(found.fetchone()[0])
