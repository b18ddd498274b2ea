"""The copper behind the fake GPIO: levels and recorded edges, in memory or outside the process."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import struct
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final

_EDGES_KEPT: Final = 65_536
_PINS: Final = 64
_RECORD: Final = struct.Struct("<BBHIq")  # pin, level, unused, process, nanoseconds


@dataclass(frozen=True)
class Edge:
    """A pin took ``level`` at ``time_s`` of the computer's monotonic clock, by ``pid``."""

    pin: int
    level: int
    time_s: float
    pid: int = 0


class Lines:
    """Levels of all pins with the edges so far; safe from any thread."""

    def __init__(self) -> None:
        self._coupled: dict[int, int] = {}
        self._stuck: dict[int, int] = {}

    def couple(self, source: int, target: int | None) -> None:
        """Let ``target`` follow ``source``, as a current sensor follows its LED; None cuts it."""
        if target is None:
            self._coupled.pop(source, None)
        else:
            self._coupled[source] = target

    def stick(self, pin: int, level: int | None) -> None:
        """Keep ``pin`` at ``level`` whatever drives it, as a short circuit does; None mends it."""
        if level is None:
            self._stuck.pop(pin, None)
        else:
            self._stuck[pin] = level
            self.drive(pin, level)

    def drive(self, pin: int, level: int) -> None:
        """Set the level of ``pin``, and of what follows it; a change is recorded."""
        level = self._stuck.get(pin, level)
        self._drive(pin, level)
        if pin in self._coupled:
            self._drive(self._coupled[pin], level)

    def level(self, pin: int) -> int | None:
        """Return the level of ``pin``, None if nobody ever drove it."""
        raise NotImplementedError

    def edges(self) -> Sequence[Edge]:
        """Return the edges recorded last, oldest first."""
        raise NotImplementedError

    def claim(self, pin: int) -> None:
        """Take ``pin`` for this process.  Raises OSError (EBUSY) if another one has it."""

    def release(self, pin: int) -> None:
        """Give ``pin`` back."""

    def _drive(self, pin: int, level: int) -> None:
        raise NotImplementedError


class MemoryLines(Lines):
    """Lines that end with the process."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = Lock()
        self._levels: dict[int, int] = {}
        self._edges: deque[Edge] = deque(maxlen=_EDGES_KEPT)

    def level(self, pin: int) -> int | None:
        """Return the level of ``pin``, None if nobody ever drove it."""
        with self._lock:
            return self._levels.get(pin)

    def edges(self) -> Sequence[Edge]:
        """Return the edges recorded last, oldest first."""
        with self._lock:
            return tuple(self._edges)

    def _drive(self, pin: int, level: int) -> None:
        with self._lock:
            if self._levels.get(pin, 0) != level:
                self._edges.append(Edge(pin, level, time.monotonic()))
            self._levels[pin] = level


class FileLines(Lines):
    """Lines in a folder, shared by processes: a killed process leaves its pins as they are.

    Attributes:
        folder: holds the lines.

    Args:
        folder: created if missing; holds the levels, the log of edges and a lock per pin.
        exclusive: whether a pin has one owner at a time, as with the kernel's GPIO character
            device, which frees it when its owner dies; else anybody may drive it at any time, as
            with access to the registers.

    Raises:
        OSError: the folder cannot be used.
    """

    def __init__(self, folder: Path, *, exclusive: bool = True) -> None:
        super().__init__()
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._exclusive = exclusive
        self._lock = Lock()
        self._claims: dict[int, int] = {}
        self._log = os.open(folder / "edges", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        levels = os.open(folder / "levels", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(levels, _PINS)
            self._levels = mmap.mmap(levels, _PINS)
        finally:
            os.close(levels)

    def level(self, pin: int) -> int | None:
        """Return the level of ``pin``, None if nobody ever drove it."""
        stored = self._levels[pin]
        return stored - 1 if stored else None

    def edges(self) -> Sequence[Edge]:
        """Return the edges recorded last, oldest first."""
        size = os.fstat(self._log).st_size
        start = max(0, size - _EDGES_KEPT * _RECORD.size)
        records = os.pread(self._log, size - start, start)
        return [
            Edge(pin, level, time_ns / 1e9, pid)
            for pin, level, _, pid, time_ns in _RECORD.iter_unpack(records)
        ]

    def claim(self, pin: int) -> None:
        """Take ``pin`` for this object.  Raises OSError (EBUSY) if another one has it."""
        if not self._exclusive or pin in self._claims:
            return
        file = os.open(self.folder / f"pin-{pin}", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(file)
            raise OSError(errno.EBUSY, f"pin {pin} is in use") from error
        self._claims[pin] = file

    def release(self, pin: int) -> None:
        """Give ``pin`` back."""
        file = self._claims.pop(pin, None)
        if file is not None:
            os.close(file)

    def _drive(self, pin: int, level: int) -> None:
        with self._alone():
            if (self.level(pin) or 0) != level:
                record = _RECORD.pack(pin, level, 0, os.getpid(), time.monotonic_ns())
                os.write(self._log, record)
            self._levels[pin] = level + 1

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other threads and processes out; a killed process lets them in again."""
        with self._lock:
            fcntl.flock(self._log, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._log, fcntl.LOCK_UN)
