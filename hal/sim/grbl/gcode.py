"""Reading one line of G-code as GRBL 1.1h does, with its error numbers.

Only what a stage needs: straight moves, units, distance mode, dwell.  Everything else is answered
as unsupported (error:20).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hal.sim.serial.trapezoid import Vector

_WORD = re.compile(r"([A-Z])([+-]?(?:\d+\.?\d*|\.\d+))")
_AXES = "XYZ"
_MM_PER_INCH = 25.4

# Modal groups of the supported commands; two of one group in a line are error:21.
_G_GROUPS: dict[float, str] = {
    0: "motion",
    1: "motion",
    4: "non-modal",
    53: "non-modal",
    17: "plane",
    20: "units",
    21: "units",
    54: "coordinates",
    90: "distance",
    91: "distance",
    94: "feed",
}
_M_GROUPS: dict[float, str] = {5: "spindle", 9: "coolant"}
_JOG_COMMANDS = frozenset({20.0, 21.0, 53.0, 90.0, 91.0})
_VALUE_LETTERS = "FNPSTXYZ"


class LineBuffer:
    """Collects characters into lines: upper case, without blanks and comments.

    A line that is too long keeps growing, so that it is refused as a whole at its end.
    """

    def __init__(self) -> None:
        self._chars: list[str] = []
        self._comment = ""

    def add(self, byte: int) -> str | None:
        """Take one byte below 0x80; return the line when it is complete."""
        char = chr(byte).upper()
        if char in "\r\n":
            line = "".join(self._chars)
            self._chars, self._comment = [], ""
            return line
        if self._comment:
            if self._comment == "(" and char == ")":
                self._comment = ""
        elif char in "(;":
            self._comment = char
        elif char > " " and char != "/":
            self._chars.append(char)
        return None


class GcodeError(Exception):
    """The line is refused with ``error:code``."""

    def __init__(self, code: int) -> None:
        super().__init__(f"error:{code}")
        self.code = code


@dataclass
class Modal:
    """What one line leaves set for the next."""

    motion: int = 0
    inches: bool = False
    relative: bool = False
    feed_mm_per_min: float = 0.0


@dataclass(frozen=True)
class Move:
    """A straight move to ``target_mm`` in machine coordinates; ``feed`` None means rapid."""

    target_mm: Vector
    feed_mm_per_min: float | None


def parse_jog(text: str, modal: Modal, position_mm: Vector) -> Move:
    """Read what follows ``$J=``; nothing modal changes.  Raises GcodeError."""
    commands, values = _words(text)
    if any(letter == "M" or number not in _JOG_COMMANDS for letter, number in commands):
        raise GcodeError(16)
    if not set(values) <= set("FN" + _AXES):
        raise GcodeError(36)
    g_numbers = {number for _, number in commands}
    if not set(values) & set(_AXES):
        raise GcodeError(26)
    jog = Modal(inches=modal.inches, relative=modal.relative)
    _set_units(g_numbers, jog)
    feed = values.get("F", 0.0) * _scale(jog)
    if feed == 0.0:
        raise GcodeError(22)
    return Move(_target(values, jog, position_mm, machine=53 in g_numbers), feed)


def parse_block(text: str, modal: Modal, position_mm: Vector) -> Move | None:
    """Read an ordinary line and update ``modal``; return its move, if any.  Raises GcodeError."""
    commands, values = _words(text)
    g_numbers = {number for letter, number in commands if letter == "G"}
    if 4 in g_numbers and "P" not in values:
        raise GcodeError(28)
    new = Modal(modal.motion, modal.inches, modal.relative, modal.feed_mm_per_min)
    _set_units(g_numbers, new)
    if "F" in values:
        new.feed_mm_per_min = values["F"] * _scale(new)
    if motion := g_numbers & {0, 1}:
        new.motion = int(motion.pop())
    moves = bool(set(values) & set(_AXES)) and 4 not in g_numbers
    if new.motion == 1 and (moves or 1 in g_numbers) and new.feed_mm_per_min == 0.0:
        raise GcodeError(22)
    modal.__dict__.update(new.__dict__)
    if not moves:
        return None
    target = _target(values, modal, position_mm, machine=53 in g_numbers)
    return Move(target, modal.feed_mm_per_min if modal.motion == 1 else None)


def _words(text: str) -> tuple[list[tuple[str, float]], dict[str, float]]:
    """Split into commands (G, M) and values by letter.  Raises GcodeError."""
    commands: list[tuple[str, float]] = []
    values: dict[str, float] = {}
    groups: set[str] = set()
    at = 0
    while at < len(text):
        match = _WORD.match(text, at)
        if match is None:
            raise GcodeError(2 if text[at].isalpha() else 1)
        letter, number = match[1], float(match[2])
        at = match.end()
        if letter in "GM":
            group = (_G_GROUPS if letter == "G" else _M_GROUPS).get(number)
            if group is None:
                raise GcodeError(20)
            if group in groups:
                raise GcodeError(21)
            groups.add(group)
            commands.append((letter, number))
        else:
            _keep_value(values, letter, number)
    return commands, values


def _keep_value(values: dict[str, float], letter: str, number: float) -> None:
    if letter not in _VALUE_LETTERS:
        raise GcodeError(20)
    if letter in values:
        raise GcodeError(25)
    if letter in "FNPST" and number < 0.0:
        raise GcodeError(4)
    if letter == "T" and number > 255:
        raise GcodeError(38)
    values[letter] = number


def _set_units(g_numbers: set[float], modal: Modal) -> None:
    if g_numbers & {20, 21}:
        modal.inches = 20 in g_numbers
    if g_numbers & {90, 91}:
        modal.relative = 91 in g_numbers


def _scale(modal: Modal) -> float:
    return _MM_PER_INCH if modal.inches else 1.0


def _target(
    values: dict[str, float], modal: Modal, position_mm: Vector, *, machine: bool
) -> Vector:
    relative = modal.relative and not machine
    x, y, z = (
        at if axis not in values else values[axis] * _scale(modal) + (at if relative else 0.0)
        for axis, at in zip(_AXES, position_mm, strict=True)
    )
    return (x, y, z)
