"""What SQLite and the file system raise, as failures of the records."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from device.errors import RecordsError, RecordsLockedError

_NO_SPACE: Final = {errno.ENOSPC, errno.EDQUOT}
_BROKEN: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_BROKEN_WORDS: Final = ("decode", "unsupported file format")
_LOCKED: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


@contextmanager
def records_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system raise in the block into :class:`RecordsError`."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise _explained(path, error) from error


def is_locked(error: sqlite3.Error) -> bool:
    """Return whether another connection holds what was asked for."""
    return _code(error) in _LOCKED


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether the part of the database that was read is damaged."""
    # What is no text is found by Python, which has no code for it; an impossible version of the
    # format has the code of any other error.
    return _code(error) in _BROKEN or any(word in str(error) for word in _BROKEN_WORDS)


def locked_error(path: Path) -> RecordsLockedError:
    """Return the failure of a database that another program holds for too long."""
    return RecordsLockedError("RECORDS-LOCKED", path=path)


def damaged_error(path: Path, problem: str) -> RecordsError:
    """Return the failure of a damaged database."""
    return RecordsError("RECORDS-DAMAGED", path=path, problem=problem)


def _explained(path: Path, error: sqlite3.Error | OSError) -> RecordsError:
    code, number = _code(error), getattr(error, "errno", None)
    if code in _LOCKED:
        return locked_error(path)
    if isinstance(error, sqlite3.Error) and is_damage(error):
        return damaged_error(path, str(error))
    if code == sqlite3.SQLITE_FULL or number in _NO_SPACE:
        return RecordsError("RECORDS-DISK-FULL", path=path, problem=str(error))
    if code == sqlite3.SQLITE_IOERR or number == errno.EIO:
        return RecordsError("RECORDS-DISK-FAILED", path=path, problem=str(error))
    return RecordsError("RECORDS-FAILED", path=path, problem=str(error))


def _code(error: Exception) -> int:
    # The extended code keeps the primary code in its low byte.
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
