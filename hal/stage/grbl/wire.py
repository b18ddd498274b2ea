"""What a GRBL 1.1 controller says, line by line.  Pure parsing, no input or output."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TypeAlias

STATUS_QUERY = b"?"
SOFT_RESET = b"\x18"
JOG_CANCEL = b"\x85"

Axes: TypeAlias = tuple[float, float, float]

STATES = frozenset({"Idle", "Run", "Jog", "Hold", "Door", "Home", "Alarm", "Check", "Sleep"})

_BANNER = re.compile(r"(Grbl|GrblHAL)\s+(\d\S*)", re.IGNORECASE)
_CODE = re.compile(r"(error|ALARM):(\d{1,3})")
_SETTING = re.compile(r"\$(\d{1,3})=(-?\d+(?:\.\d+)?)(?:\s.*)?")
_BRACKET = re.compile(r"\[([A-Za-z0-9]+):(.*)\]")


@dataclass(frozen=True)
class Ok:
    """The line was taken; a move is queued, not finished."""


@dataclass(frozen=True)
class ErrorCode:
    """The line was refused."""

    code: int


@dataclass(frozen=True)
class AlarmCode:
    """Motion was stopped by an alarm; unasked, at any time."""

    code: int


@dataclass(frozen=True)
class Banner:
    """The controller started or restarted."""

    version: str


@dataclass(frozen=True)
class Status:
    """Answer to ``?``.

    Attributes:
        state: one of :data:`STATES`; ``substate`` follows a colon (``Hold:1``), else None.
        machine_mm: machine coordinates of x, y, z, mm.
        pins: letters of the triggered inputs.
        fields: every other field by its key, as text.
    """

    state: str
    substate: int | None
    machine_mm: Axes
    pins: str = ""
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Setting:
    """One ``$n=value`` line of the answer to ``$$``."""

    number: int
    value: float


@dataclass(frozen=True)
class Info:
    """A bracketed line: ``[MSG:..]``, ``[VER:..]``, ``[OPT:..]`` and the like."""

    key: str
    text: str


@dataclass(frozen=True)
class Damaged:
    """A line that is nothing the firmware says."""

    text: str


RESET_WANTED = Info("MSG", "Reset to continue")
"""Said half a second after the alarms that stop everything; only now a reset is heard."""

Reply: TypeAlias = Ok | ErrorCode | AlarmCode | Banner | Status | Setting | Info | Damaged


def parse_line(line: str) -> Reply:
    """Return what ``line`` (without its line end) means; never raises."""
    if line == "ok":
        return Ok()
    if line.startswith("<"):
        return _parse_status(line) or Damaged(line)
    if match := _CODE.fullmatch(line):
        code = int(match[2])
        return ErrorCode(code) if match[1] == "error" else AlarmCode(code)
    if match := _SETTING.fullmatch(line):
        return Setting(int(match[1]), float(match[2]))
    if match := _BRACKET.fullmatch(line):
        return Info(match[1], match[2])
    if match := _BANNER.match(line):
        return Banner(match[2])
    return Damaged(line)


def _parse_status(line: str) -> Status | None:
    """Read a status report by its keys, because fields come and go; None if it is damaged.

    Position and speed are in every report; without them a gap in the line could pass for another
    position.
    """
    if not line.endswith(">"):
        return None
    head, *parts = line[1:-1].split("|")
    state, _, substate = head.partition(":")
    if state not in STATES or (substate and not substate.isdecimal()):
        return None
    fields: dict[str, str] = {}
    for part in parts:
        key, colon, value = part.partition(":")
        if not colon:
            return None
        fields[key] = value
    machine_mm = parse_axes(fields.pop("MPos", ""))
    if machine_mm is None or not fields.keys() & {"F", "FS"}:
        return None
    return Status(
        state, int(substate) if substate else None, machine_mm, fields.pop("Pn", ""), fields
    )


def parse_axes(text: str) -> Axes | None:
    """Read ``x,y,z`` in mm with three decimals each; None if it is anything else."""
    parts = text.split(",")
    if len(parts) != 3 or not all(re.fullmatch(r"-?\d{1,6}\.\d{3}", part) for part in parts):
        return None
    x, y, z = (float(part) for part in parts)
    return (x, y, z)


def jog_line(targets_mm: dict[str, float], feed_mm_per_min: float) -> str:
    """Return an absolute jog in machine coordinates.

    Args:
        targets_mm: machine coordinate per axis letter; four decimals are sent, because a fine
            focus axis has steps smaller than the three decimals of a status report.
        feed_mm_per_min: speed along the path.
    """
    if not targets_mm or not all(math.isfinite(value) for value in targets_mm.values()):
        raise ValueError(f"a jog needs finite targets, not {targets_mm}")
    words = " ".join(f"{axis}{value:.4f}" for axis, value in targets_mm.items())
    return f"$J=G90 G21 G53 {words} F{feed_mm_per_min:.1f}"
