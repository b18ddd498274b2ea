"""What a check is, and what it found."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from hal.errors import LeukoluxError

if TYPE_CHECKING:
    from device.calibration.effective import Effective
    from device.checks.context import CheckContext


class Level(StrEnum):
    """How much is checked; each level includes those before it."""

    STARTUP = "startup"
    """Seconds; no light, no motion, no slide."""

    DAILY = "daily"
    """A minute; homes the stage, needs blank glass, and uses a smear if there is one."""

    FULL = "full"
    """Also what changes slowly: backlash and homing."""

    def includes(self, other: Level) -> bool:
        """Return whether checks of ``other`` belong to this level."""
        order = list(Level)
        return order.index(other) <= order.index(self)


class Verdict(StrEnum):
    """What came of a check."""

    PASS = "pass"  # noqa: S105 (no password)
    """Within the limit."""
    WARN = "warn"
    """Outside the limit, and the instrument still works."""
    FAIL = "fail"
    """Outside the limit, or the part does not work."""
    SKIPPED = "skipped"
    """Could not be done; ``cause`` says why."""


class CheckSkipped(Exception):  # noqa: N818 (no error: there is nothing to check)
    """Raised by a check that finds nothing to check; its text says why."""


@dataclass(frozen=True)
class Limit:
    """What a measured value may be, both ends included; None is no limit on that side."""

    unit: str
    low: float | None = None
    high: float | None = None

    def holds(self, value: float) -> bool:
        """Return whether ``value`` is within; not a number never is."""
        if math.isnan(value):
            return False
        above = self.low is None or value >= self.low
        return above and (self.high is None or value <= self.high)

    @property
    def text(self) -> str:
        """The limit for a person."""
        unit = f" {self.unit}" if self.unit else ""
        if self.low is not None and self.high is not None:
            return f"{self.low:g} to {self.high:g}{unit}"
        if self.low is not None:
            return f"at least {self.low:g}{unit}"
        return f"at most {self.high:g}{unit}" if self.high is not None else "works"


@dataclass(frozen=True)
class Reading:
    """What a check measured.

    Attributes:
        value: in the unit of the check's limit.
        detail: one sentence for a person, in place of one made from value and limit.
    """

    value: float
    detail: str = ""


@dataclass(frozen=True)
class Check:
    """One named check.

    Attributes:
        id: stable, ``CHECK-...``; also the code of its failure.
        title: what is checked, in a few words.
        what: how, in one sentence.
        level: the least level that includes it.
        limit: what the value may be, with the settings and calibrations that hold.
        measure: does it; raises LeukoluxError when the part fails, CheckSkipped when there is
            nothing to check.
        remedy: what a person does when the value is outside the limit.
        needs: ids of the checks without which this one means nothing.
        dark: whether it needs the lid closed.
        miss: verdict on a value outside the limit.
        bound_s: real seconds after which it is given up at its next step; every single step is
            bounded by its driver.
    """

    id: str
    title: str
    what: str
    level: Level
    limit: Callable[[Effective], Limit]
    measure: Callable[[CheckContext], Reading]
    remedy: str
    needs: tuple[str, ...] = ()
    dark: bool = False
    miss: Verdict = Verdict.FAIL
    bound_s: float = 60.0


@dataclass(frozen=True)
class CheckResult:
    """What one check found; ``limit`` is for a person, ``low`` and ``high`` for programs.

    Attributes:
        measured: value in ``unit``, None when nothing was measured.
        cause: why it did not pass, or a remark; may be empty.
        remedy: what to do when it did not pass.
        code: stable code of the failure, empty if there is no failure.
    """

    id: str
    title: str
    what: str
    verdict: Verdict
    limit: str
    low: float | None
    high: float | None
    unit: str
    measured: float | None
    cause: str
    remedy: str
    code: str
    duration_ms: float


@dataclass(frozen=True)
class CheckProgress:
    """How far checks are.

    Attributes:
        operator: who asked for them, empty at start-up.
        planned: id and title of every check, in order.
        results: of those that are done.
        now: id of the one in progress, None at the end.
    """

    level: Level
    operator: str
    planned: tuple[tuple[str, str], ...]
    results: tuple[CheckResult, ...]
    now: str | None


@dataclass(frozen=True)
class CheckReport:
    """What all checks of a level found, in order.

    Attributes:
        cancelled: whether a person ended it early.
        failures: what made checks fail, by id; not stored.
    """

    level: Level
    results: tuple[CheckResult, ...]
    cancelled: bool = False
    failures: Mapping[str, LeukoluxError] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """The worst that was found; a report that was cancelled passed nothing."""
        found = {result.verdict for result in self.results}
        if Verdict.FAIL in found:
            return Verdict.FAIL
        if self.cancelled or not found & {Verdict.PASS, Verdict.WARN}:
            return Verdict.SKIPPED
        return Verdict.WARN if Verdict.WARN in found else Verdict.PASS

    @property
    def counts(self) -> dict[str, int]:
        """Number of checks per verdict."""
        return {
            verdict.value: sum(result.verdict is verdict for result in self.results)
            for verdict in Verdict
        }

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "level": self.level.value,
            "verdict": self.verdict.value,
            "cancelled": self.cancelled,
            "counts": self.counts,
            "results": [asdict(result) for result in self.results],
        }
