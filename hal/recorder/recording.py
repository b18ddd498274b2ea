r"""Recordings of what went over the wires: their format, and how they are read.

One JSON object a line, ASCII.  The first line of a recording of the instrument says what it is::

    {"recording": "leukolux", "version": 1, "utc": "2026-01-31T12:00:00.000+00:00",
     "monotonic_s": 1234.5, "speed": 1.0, "process": 321}

``monotonic_s`` is the computer's monotonic time at which ``t`` is 0; ``speed`` is how many
simulated seconds a real one had.  Every further line is one event::

    {"t": 0.031, "wire": "stage.port", "tx": "?"}
    {"t": 0.034, "wire": "stage.port", "rx": "<Idle|MPos:0.000,0.000,0.000|FS:0,0>\r\n"}

``t`` are real seconds; ``wire`` names the connection; one more key says what happened.  In ``tx``
(sent to the device) and ``rx`` (heard from it) a character stands for the byte of its number, and
one ``rx`` is what one reading gave, be it less or more than a line.  ``"again": true`` marks an
event of an earlier file, repeated because a conversation is not understood without its beginning.

Recordings without that first line are transcripts of a GRBL controller: the same keys but no
``wire``, and one ``rx`` is one line of it without its end.  ``world`` is what was done to the stage
and ``truth`` where it was.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeGuard

from hal.errors import InputError

FORMAT: Final = "leukolux"
VERSION: Final = 1
AGAIN: Final = b', "again": true}'
"""How a repeated line ends."""
LOCK_NAME: Final = "lock"
TRANSCRIPT_WIRE: Final = "stage.port"
_TRANSCRIPT_KINDS: Final = frozenset({"tx", "rx", "world", "truth"})
_BYTES: Final = frozenset({"tx", "rx"})


@dataclass(frozen=True)
class Entry:
    """One event.

    Attributes:
        line: its number in the file, from 1.
        t_s: real seconds since the recording began.
        wire: the connection.
        kind: what happened.
        what: bytes for ``tx`` and ``rx``, else any JSON value.
    """

    line: int
    t_s: float
    wire: str
    kind: str
    what: Any


@dataclass(frozen=True)
class Recording:
    """A recording that was read.

    Attributes:
        path: of the file.
        speed: simulated seconds per real second when it was made.
        entries: in the order of the file.
    """

    path: Path
    speed: float
    entries: Sequence[Entry]

    def wires(self) -> list[str]:
        """Return the connections in the order in which they first occur."""
        return list(dict.fromkeys(entry.wire for entry in self.entries))

    def of(self, wire: str) -> list[Entry]:
        """Return the events of one connection."""
        return [entry for entry in self.entries if entry.wire == wire]


def read_recording(path: Path) -> Recording:
    """Read a recording of the instrument, or a transcript of a GRBL controller.

    A last line without its end is passed over: that is what a loss of power leaves.

    Raises:
        InputError: the file cannot be read, is of a newer version, or has a damaged line; names
            the file and the line.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError("RECORDING-UNREADABLE", path=path, reason=error) from error
    lines = data.split(b"\n")[:-1]
    head = _parsed(path, 1, lines[0]) if lines else {}
    is_transcript = "recording" not in head
    speed = 1.0 if is_transcript else _checked_header(path, head)
    entries = [
        _entry(path, number, _parsed(path, number, line), is_transcript=is_transcript)
        for number, line in enumerate(lines, 1)
        if is_transcript or number > 1
    ]
    if not entries:
        raise InputError("RECORDING-EMPTY", path=path)
    return Recording(path, speed, entries)


def ring_files(folder: Path) -> list[Path]:
    """Return the files of the last minutes in ``folder``, oldest first."""
    return sorted(folder.glob("wires-[0-9]*.jsonl"))


def kept_files(folder: Path) -> list[Path]:
    """Return the files that were put aside in ``folder``, oldest first."""
    return sorted(folder.glob("kept-[0-9]*-*.jsonl"))


def is_recording(folder: Path) -> bool:
    """Return whether an instrument that records into ``folder`` runs now.

    A process that may not look must assume that one does.
    """
    try:
        file = os.open(folder / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def _parsed(path: Path, number: int, line: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(line.decode("ascii"))
    except ValueError as error:
        raise InputError("INPUT-RECORDING", path=path, line=number, reason=error) from error
    if not isinstance(value, dict):
        raise InputError("RECORDING-NOT-OBJECT", path=path, line=number)
    return value


def _checked_header(path: Path, head: Mapping[str, Any]) -> float:
    """Return the speed.  Raises InputError."""
    speed = head.get("speed")
    if head["recording"] != FORMAT or not _is_number(speed) or speed <= 0.0:
        raise InputError("RECORDING-HEADER", path=path)
    if head.get("version") != VERSION:
        found = head.get("version")
        raise InputError("RECORDING-VERSION", path=path, found=found, known=VERSION)
    return float(speed)


def _entry(path: Path, number: int, value: Mapping[str, Any], *, is_transcript: bool) -> Entry:
    kinds = [key for key in value if key not in ("t", "wire", "again")]
    wire = value.get("wire", TRANSCRIPT_WIRE if is_transcript else None)
    if not _is_number(value.get("t")) or not isinstance(wire, str) or len(kinds) != 1:
        raise InputError("RECORDING-EVENT", path=path, line=number)
    kind, what = kinds[0], value[kinds[0]]
    if is_transcript and kind not in _TRANSCRIPT_KINDS:
        raise InputError("RECORDING-TRANSCRIPT", path=path, line=number, kind=kind)
    if kind in _BYTES:
        try:
            what = what.encode("latin-1")
        except (AttributeError, UnicodeEncodeError) as error:
            raise InputError("RECORDING-BYTES", path=path, line=number, kind=kind) from error
        if is_transcript and kind == "rx":
            what += b"\r\n"
    return Entry(number, float(value["t"]), wire, kind, what)


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
