"""Who owns a folder of records: one program, until its process ends, however it ends."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from device.errors import RecordsError, RecordsInUseError
from device.records.failures import records_errors

LOCK_NAME: Final = "leukolux.lock"
_NO_LOCKS: Final = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}
_NOT_WRITABLE: Final = {errno.EACCES, errno.EPERM, errno.EROFS}
_LONGEST_PID: Final = 20


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Own the folder in the block, as a program that runs an instrument must; make it if missing.

    The kernel gives it up with the process, so a lock file that is left means nothing, and one
    that was deleted neither: the folder itself is locked, too.  Child processes do not inherit it.

    Raises:
        RecordsInUseError: another program owns it.
        RecordsError: it cannot be written, or its file system has no locks.
    """
    with records_errors(folder), ExitStack() as opened:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            itself = _open(opened, folder, os.O_RDONLY | os.O_DIRECTORY)
            _lock(folder, itself)
            file = _open(opened, folder / LOCK_NAME, os.O_RDWR | os.O_CREAT)
            _lock(folder, file)
        except OSError as error:
            raise _explained(folder, error) from error
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode("ascii"), 0)
        kept = opened.pop_all()
    with kept:
        yield


def _open(opened: ExitStack, path: Path, flags: int) -> int:
    file = os.open(path, flags | os.O_CLOEXEC, 0o644)
    opened.callback(os.close, file)
    return file


def _lock(folder: Path, file: int) -> None:
    """Lock the open file.  Raises OSError, RecordsInUseError."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        try:
            holder = (folder / LOCK_NAME).read_text("ascii", "replace")[:_LONGEST_PID].strip()
        except FileNotFoundError:
            holder = ""  # somebody has deleted it
        raise RecordsInUseError(folder, holder) from error


def _explained(folder: Path, error: OSError) -> Exception:
    """Return the failure that names the culprit, or the error itself."""
    if error.errno in _NO_LOCKS:
        return RecordsError("RECORDS-FILE-SYSTEM", folder=folder, problem=error.strerror)
    if error.errno in _NOT_WRITABLE:
        return RecordsError("RECORDS-NOT-WRITABLE", folder=folder, problem=error.strerror)
    return error
