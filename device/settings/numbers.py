"""Numbers that people type: digits 0 to 9 and a point, never what only looks like that."""

from __future__ import annotations

import math
import re
from typing import Final

HOW: Final = "Write numbers with the digits 0 to 9 and a point before the decimals."

_LONGEST: Final = 32
_NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_WHOLE: Final = re.compile(r"[+-]?[0-9]+")


def parse_number(text: str) -> float:
    """Return the number in ``text``; blanks around it do not matter.

    Raises:
        ValueError: it is not a number, too large, or longer than anybody types; see the message.
    """
    typed = text.strip()
    if len(typed) <= _LONGEST and _NUMBER.fullmatch(typed) and math.isfinite(float(typed)):
        return float(typed)
    raise ValueError(f"{shortened(text)} is not a number. {HOW}")


def parse_whole_number(text: str) -> int:
    """Return the whole number in ``text``; blanks around it do not matter.

    Raises:
        ValueError: it is not a whole number, or longer than anybody types; see the message.
    """
    typed = text.strip()
    if len(typed) <= _LONGEST and _WHOLE.fullmatch(typed):
        return int(typed)
    raise ValueError(f"{shortened(text)} is not a whole number. Write it with the digits 0 to 9.")


def shortened(value: object) -> str:
    """Return what was entered as it is shown in a message: quoted, and not longer than a line."""
    shown = repr(value)
    return shown if len(shown) <= 2 * _LONGEST else f"{shown[: 2 * _LONGEST]}..."
