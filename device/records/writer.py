"""The only connection that writes: one transaction at a time, which waits for other programs."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock, local
from typing import Final

from sqlite_utils import Database

from device.records.failures import is_locked, locked_error, records_errors
from hal.clock import Clock

POLL_S: Final = 0.02
"""Time between two tries to begin a transaction."""

Wait = Callable[[float], None]
"""Called between two tries with the seconds waited so far; raises to give up."""


class Writer:
    """Transactions that hold the write lock of the database from their first statement on.

    A transaction that reads first and writes later cannot wait: SQLite refuses it at once when
    another program has written in between or is writing.  Methods may be called from any thread.

    Attributes:
        busy_timeout_s: how long a transaction waits for another program before it fails.

    Args:
        db: the open database; SQLite itself must not wait for locks on it.
        path: its file, for messages.
        busy_timeout_s: see above.
        clock: of the waits; other programs live in real time.
    """

    def __init__(self, db: Database, path: Path, busy_timeout_s: float, clock: Clock) -> None:
        self.busy_timeout_s = busy_timeout_s
        self._db = db
        self._path = path
        self._clock = clock
        # Never held while waiting for another program, so that reading continues.
        self._lock = RLock()
        self._of_thread = local()

    @contextmanager
    def transaction(self) -> Iterator[Database]:
        """Give the database for one transaction; an exception takes back all of it.

        Raises:
            RecordsError: the disk or the database fails, or (code RECORDS-LOCKED) another program
                has held it for longer than ``busy_timeout_s``.
        """
        with records_errors(self._path):
            self._begin()
            try:
                yield self._db
                self._db.conn.execute("COMMIT")
            except BaseException:
                self._db.rollback()
                raise
            finally:
                self._lock.release()

    @contextmanager
    def reading(self) -> Iterator[Database]:
        """Give the database for reading, which waits for no other program."""
        with records_errors(self._path), self._lock:
            yield self._db

    @contextmanager
    def patience(self, wait: Wait) -> Iterator[None]:
        """Let ``wait`` decide how long the transactions of this thread wait in this block."""
        former = self._wait
        self._of_thread.wait = wait
        try:
            yield
        finally:
            self._of_thread.wait = former

    def is_locked(self) -> bool:
        """Return whether another program holds the write lock now."""
        with records_errors(self._path):
            if not self._try_begin():
                return True
            try:
                self._db.rollback()
            finally:
                self._lock.release()
        return False

    def pass_time(self) -> None:
        """Wait until another try to begin makes sense."""
        self._clock.sleep(POLL_S)

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._db.close()

    @property
    def _wait(self) -> Wait:
        wait: Wait = getattr(self._of_thread, "wait", self._wait_until_timeout)
        return wait

    def _begin(self) -> None:
        began_s = self._clock.monotonic_s()
        while not self._try_begin():
            self._wait(self._clock.monotonic_s() - began_s)

    def _try_begin(self) -> bool:
        """Take the write lock and the lock of the threads, or neither."""
        self._lock.acquire()
        try:
            self._db.conn.execute("BEGIN IMMEDIATE")
        except BaseException as error:
            self._lock.release()
            if isinstance(error, sqlite3.Error) and is_locked(error):
                return False
            raise
        return True

    def _wait_until_timeout(self, waited_s: float) -> None:
        if waited_s >= self.busy_timeout_s:
            raise locked_error(self._path)
        self.pass_time()
