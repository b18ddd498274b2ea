"""What SQLite and the file system raise, as failures of the records."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from device.errors import RecordsError, RecordsLockedError

_FULL: Final = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_NO_SPACE: Final = {errno.ENOSPC, errno.EDQUOT}
_BROKEN: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_LOCKED: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


@contextmanager
def records_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system raise in the block into :class:`RecordsError`."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        code = _code(error)
        if code in _LOCKED:
            raise locked_error(path) from error
        if code in _BROKEN:
            raise damaged_error(path, str(error)) from error
        if code in _FULL or getattr(error, "errno", None) in _NO_SPACE:
            remedy = "Free space on the disk and check that it is healthy."
        else:
            remedy = "Check that the folder exists, may be written, and is not used elsewhere."
        raise RecordsError(f"The records in {path} failed: {error}.", remedy=remedy) from error


def is_locked(error: sqlite3.Error) -> bool:
    """Return whether another connection holds what was asked for."""
    return _code(error) in _LOCKED


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether the database holds nonsense where it was read."""
    # What is no text is found by Python, which has no code for it.
    return _code(error) in _BROKEN or "decode" in str(error)


def locked_error(path: Path) -> RecordsLockedError:
    """Return the failure of a database that another program holds for too long."""
    return RecordsLockedError(
        f"The records in {path} are locked by another program.",
        remedy="Close the database browser or wait for the backup that holds the file, then try "
        "again.",
    )


def damaged_error(path: Path, problem: str) -> RecordsError:
    """Return the failure of a database that holds nonsense."""
    return RecordsError(
        f"The records in {path} are damaged: {problem}.",
        remedy="Restore the file from a backup, or save what can be read with "
        "`leukolux records recover`; to begin new records, use `leukolux records new`.",
        code="RECORDS-DAMAGED",
    )


def _code(error: Exception) -> int:
    # The extended code keeps the primary code in its low byte.
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
