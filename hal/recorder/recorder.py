"""What goes over the wires between program and devices, kept for the minutes before a failure.

A driver notes what it sends and hears; a thread writes it down a moment later.  Noting does no
input or output, formats nothing and takes no lock, because a pulse of light must never wait for a
disk.  A process that is killed loses the last tenth of a second, not the last minutes: what the
thread has written belongs to the kernel.

The notes lie in files of JSON lines that form a ring, see :mod:`hal.recorder.recording`.
Nothing of a picture, and nothing of a sample, is ever noted.
"""

from __future__ import annotations

import atexit
import errno
import fcntl
import json
import logging
import os
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from threading import Event, Lock, RLock, Thread
from typing import Any, Final, Protocol, TypeAlias

from hal.clock import Clock, SystemClock
from hal.recorder.recording import (
    AGAIN,
    FORMAT,
    LOCK_NAME,
    VERSION,
    is_recording,
    kept_files,
    ring_files,
)

log = logging.getLogger(__name__)

Noted: TypeAlias = bytes | str | int | float | Mapping[str, object]

WRITE_EVERY_S: Final = 0.1
WAITING_NOTES: Final = 20_000
"""Notes kept in memory while the disk takes none; the oldest go first."""
RING_FILES: Final = 4
KEPT_FILES: Final = 2
LONGEST_TEXT: Final = 4096
OPENING_SHARE: Final = 0.1
"""Share of a file for how a conversation began, without which the rest cannot be replayed."""
LINES_AT_ONCE: Final = 1000
DIED: Final = "died"
END: Final = b'"wire": "recorder", "end": ""}\n'
QUIET_S: Final = 3600.0


class Recorder(Protocol):
    """Takes notes; safe from any thread, never raises and never waits."""

    def note(self, wire: str, kind: str, what: Noted) -> None:
        """Note one event.

        Args:
            wire: which connection, named by its setting (``stage.port``), or ``camera``, ``light``.
            kind: what happened: ``tx``, ``rx``, ``open``, ``error`` and so on.
            what: bytes for ``tx`` and ``rx``; else what belongs to it.
        """

    def keep(self, reason: str) -> None:
        """Put the last minutes aside, where newer notes do not overwrite them."""


class Unrecorded:
    """:class:`Recorder` that forgets at once."""

    def note(self, wire: str, kind: str, what: Noted) -> None:
        """Forget it."""

    def keep(self, reason: str) -> None:
        """There is nothing to keep."""


UNRECORDED: Final = Unrecorded()


class FileRecorder:
    """:class:`Recorder` with a ring of files; a context manager.

    A file is full after ``minutes`` or its share of ``max_mb``; then the next begins, with the
    openings of all conversations repeated, and the oldest of four goes.  So the last minutes are
    there also when the instrument was restarted three times since.

    Args:
        folder: of the files; created if missing.  If it cannot be used, notes are kept in memory
            and a warning is logged.
        minutes: what the ring holds at least, as long as it is not too much.
        max_mb: what all files together take at most.
        speed: simulated seconds per real second, for a replay.
        clock: real time; paces the writing only.
    """

    def __init__(
        self,
        folder: Path,
        *,
        minutes: float,
        max_mb: float,
        speed: float = 1.0,
        clock: Clock | None = None,
    ) -> None:
        self._folder = folder
        self._clock = clock if clock is not None else SystemClock()
        self._start_s = time.monotonic()
        self._longest_s = minutes * 60.0
        # A file that is kept holds two of the ring.
        self._largest = int(max_mb * 1e6 / (RING_FILES + 2 * KEPT_FILES))
        self._header = {
            "recording": FORMAT,
            "version": VERSION,
            "utc": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "monotonic_s": self._start_s,
            "speed": speed,
            "process": os.getpid(),
        }
        self._numbers = count()
        # Numbers go up in the order of the notes.  A finaliser may note in the middle of a note.
        self._noting = RLock()
        self._notes: deque[tuple[int, float, str, str, Noted]] = deque(maxlen=WAITING_NOTES)
        self._written = 0
        self._reasons: deque[str] = deque(maxlen=KEPT_FILES)
        self._openings: dict[str, _Opening] = {}
        self._files: list[Path] = []
        self._file: int | None = None
        self._file_since_s = 0.0
        self._begun = False
        self._size = 0
        self._lock_file: int | None = None
        self._troubled = False
        self._writing = Lock()
        self._ended = Event()
        died = self._previous_died()
        self._claim_folder()
        if died:
            self.keep(DIED)
        self._thread = Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def note(self, wire: str, kind: str, what: Noted) -> None:
        """Note one event, see :meth:`Recorder.note`."""
        with self._noting:
            self._notes.append((next(self._numbers), time.monotonic(), wire, kind, what))

    def keep(self, reason: str) -> None:
        """Put the last minutes aside, at the next writing."""
        self._reasons.append(reason)

    def flush(self) -> None:
        """Write now what was noted so far, and keep what was asked to be kept.  Never raises."""
        with self._writing:
            try:
                if DIED in self._reasons:
                    # Before these are other files.
                    self._reasons.remove(DIED)
                    self._write_kept(DIED)
                self._write_notes()
                while self._reasons:
                    self._write_kept(self._reasons.popleft())
                self._troubled = False
            except OSError as error:
                if not self._troubled:
                    log.warning("the recorder cannot write to %s: %s", self._folder, error)
                self._troubled = True

    def close(self) -> None:
        """Write the rest and end.  Never raises; can be called twice."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._thread.join()
        atexit.unregister(self.close)
        self.flush()
        if self._file is not None:
            self.note("recorder", "end", "")
            self.flush()
        with self._writing:
            for file in (self._file, self._lock_file):
                if file is not None:
                    os.close(file)
            self._file = self._lock_file = None

    def __enter__(self) -> FileRecorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        while not self._clock.wait(self._ended, WRITE_EVERY_S):
            if self._notes or self._reasons:
                self.flush()

    def _previous_died(self) -> bool:
        """Find files of a process that did not come to its end, to be put aside.

        Not twice in an hour: a process that dies at every start must not push out the first death.
        """
        try:
            there = ring_files(self._folder)
            if not there or is_recording(self._folder) or there[-1].read_bytes().endswith(END):
                return False
            kept = [file for file in kept_files(self._folder) if file.stem.endswith(DIED)]
            if kept and time.time() - kept[-1].stat().st_mtime < QUIET_S:
                return False
            heads = [file.read_bytes().split(b"\n", 1)[0] for file in there[-2:]]
        except OSError:
            return False
        self._files = there[-2:] if len(set(heads)) == 1 else there[-1:]
        return True

    def _claim_folder(self) -> None:
        """Show others that the instrument runs; go on without if the folder cannot be used."""
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock_file = os.open(
                self._folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640
            )
            # Another process that asks whether somebody records holds it only for a moment.
            fcntl.flock(self._lock_file, fcntl.LOCK_SH)

    def _write_notes(self) -> None:
        while self._notes:
            if self._file is None or self._is_full():
                self._begin_file()
            before = self._written
            lines: list[bytes] = []
            room = self._largest - self._size
            while self._notes and room > 0 and len(lines) < LINES_AT_ONCE:
                number, time_s, wire, kind, what = self._notes.popleft()
                if number > self._written:
                    lines.append(self._line(time_s, "recorder", "lost", number - self._written))
                self._written = number + 1
                lines.append(line := self._line(time_s, wire, kind, what))
                room -= len(line)
                if kind == "open":
                    self._openings[wire] = _Opening(int(OPENING_SHARE * self._largest))
                if wire in self._openings:
                    self._openings[wire].add(line)
            try:
                self._append(b"".join(lines))
            except OSError:
                self._written = before
                raise

    def _append(self, data: bytes) -> None:
        """Write in one call, so that no line is cut when the process ends; all or nothing."""
        if self._file is None:
            return
        written = os.write(self._file, data)
        if written < len(data):
            os.ftruncate(self._file, self._size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += written

    def _is_full(self) -> bool:
        return self._size >= self._largest or (
            time.monotonic() - self._file_since_s >= self._longest_s
        )

    def _begin_file(self) -> None:
        """Begin the next file of the ring and drop the oldest."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._file is not None:
            os.close(self._file)
            self._file = None
        there = ring_files(self._folder)
        number = int(there[-1].stem.rpartition("-")[2]) + 1 if there else 1
        path = self._folder / f"wires-{number:06d}.jsonl"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o640)
        # Two of this process, of which the first has what was not repeated.
        self._files = [*(self._files[-1:] if self._begun else []), path]
        self._begun = True
        self._file_since_s, self._size = time.monotonic(), 0
        self._append(json.dumps(self._header).encode() + b"\n")
        for opening in self._openings.values():
            self._append(b"".join(line[:-2] + AGAIN + b"\n" for line in opening.lines))
        for old in [*there, path][:-RING_FILES]:
            old.unlink(missing_ok=True)

    def _write_kept(self, reason: str) -> None:
        """Copy this file of the ring and the one before to a file of its own."""
        name = "".join(c if c.isalnum() else "-" for c in reason)[:40]
        there = kept_files(self._folder)
        number = int(there[-1].name.split("-")[1]) + 1 if there else 1
        path = self._folder / f"kept-{number:06d}-{name}.jsonl"
        with path.open("xb") as kept:
            for at, part in enumerate(self._files):
                with suppress(FileNotFoundError):
                    lines = part.read_bytes().splitlines(keepends=True)
                    # What was repeated is already there.
                    kept.writelines(
                        line for line in lines[min(at, 1) :] if at == 0 or AGAIN not in line
                    )
        for old in [*there, path][:-KEPT_FILES]:
            old.unlink(missing_ok=True)

    def _line(self, time_s: float, wire: str, kind: str, what: Noted) -> bytes:
        entry: dict[str, Any] = {"t": round(time_s - self._start_s, 6), "wire": wire}
        entry[kind] = _plain(what)
        return json.dumps(entry).encode() + b"\n"


class _Opening:
    """How a conversation began, as lines."""

    def __init__(self, most_bytes: int) -> None:
        self.lines: list[bytes] = []
        self._left = most_bytes

    def add(self, line: bytes) -> None:
        """Keep ``line`` unless the beginning is over."""
        self._left -= len(line)
        if self._left >= 0:
            self.lines.append(line)


def _plain(what: object) -> Any:
    """Return ``what`` as it stands in the file: bytes as the characters of the same numbers."""
    if isinstance(what, bytes):
        return what[:LONGEST_TEXT].decode("latin-1")
    if isinstance(what, Mapping):
        return {key: _plain(value) for key, value in what.items()}
    return what[:LONGEST_TEXT] if isinstance(what, str) else what
