"""The multi-rule of Westgard, as pure functions of standardised control values.

Westgard JO, Barry PL, Hunt MR, Groth T: A multi-rule Shewhart chart for quality control in clinical
chemistry.  Clin Chem 27:493-501, 1981.  There 1-2s is a warning that calls for a look at the other
rules, which reject; a computer looks at all of them each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final


class Rule(StrEnum):
    """What is unusual about the newest value and those before it; s is the standard deviation."""

    ONE_2S = "1-2s"
    """It is more than 2 s from the mean: a warning."""

    ONE_3S = "1-3s"
    """It is more than 3 s from the mean: random error, or a large systematic one."""

    TWO_2S = "2-2s"
    """It and the one before are more than 2 s from the mean on the same side: systematic."""

    R_4S = "R-4s"
    """One of it and the one before is above the mean + 2 s, the other below the mean - 2 s."""

    FOUR_1S = "4-1s"
    """It and the three before are more than 1 s from the mean on the same side: systematic."""

    TEN_X = "10x"
    """It and the nine before lie on the same side of the mean: systematic."""


REJECTING: Final = frozenset(Rule) - {Rule.ONE_2S}


def violated(z: Sequence[float]) -> tuple[Rule, ...]:
    """Return the rules that the newest value violates, in the order of :class:`Rule`.

    Args:
        z: standardised values, (value - mean) / s, oldest first.
    """
    if not z:
        return ()
    found = {
        Rule.ONE_2S: abs(z[-1]) > 2.0,
        Rule.ONE_3S: abs(z[-1]) > 3.0,
        Rule.TWO_2S: _beyond(z, 2, 2.0),
        Rule.R_4S: len(z) >= 2 and max(z[-2:]) > 2.0 and min(z[-2:]) < -2.0,
        Rule.FOUR_1S: _beyond(z, 4, 1.0),
        Rule.TEN_X: _beyond(z, 10, 0.0),
    }
    return tuple(rule for rule in Rule if found[rule])


def _beyond(z: Sequence[float], count: int, limit: float) -> bool:
    """Return whether the last ``count`` values all lie beyond ``limit`` on the same side."""
    last = z[-count:]
    if len(last) < count:
        return False
    return all(value > limit for value in last) or all(value < -limit for value in last)


def rejects(rules: Sequence[Rule]) -> bool:
    """Return whether one of ``rules`` rejects; 1-2s alone warns."""
    return any(rule in REJECTING for rule in rules)
