"""Doing checks one after the other; whatever happens, the instrument is left in a safe state."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from device.checks.context import CheckContext
from device.checks.report import Check, CheckReport, CheckResult, CheckSkipped, Level, Verdict
from device.errors import InternalError, SelfTestError
from hal.errors import Cancelled, LeukoluxError

log = logging.getLogger(__name__)

Progress = Callable[[Sequence[CheckResult], Check | None], None]
"""Called before each check with what was found so far and what comes now, None at the end."""

ENDED_EARLY: Final = "The check was ended early."
_UNUSABLE: Final = (Verdict.FAIL, Verdict.SKIPPED)


class CheckFailedError(SelfTestError):
    """A value is outside the limit of its check; the texts are the check's, the code its id.

    Args:
        check: the check.
        cause: what was found.
    """

    def __init__(self, check: Check, cause: str) -> None:
        # The catalogue of errors does not hold the texts of checks: it is not asked for them.
        Exception.__init__(self, cause)
        self.error_code, self.values = check.id, {}
        self.cause, self.remedy = cause, check.remedy


def choose(catalogue: Sequence[Check], level: Level, only: Sequence[str] = ()) -> tuple[Check, ...]:
    """Return the checks of ``level``, or those named in ``only`` with what they need.

    Raises KeyError: there is no such check.
    """
    by_id = {check.id: check for check in catalogue}
    if not only:
        return tuple(check for check in catalogue if level.includes(check.level))
    wanted: set[str] = set()
    pending = list(only)
    while pending:
        check = by_id[pending.pop()]
        if check.id not in wanted:
            wanted.add(check.id)
            pending += check.needs
    return tuple(check for check in catalogue if check.id in wanted)


def run_checks(
    checks: Sequence[Check],
    level: Level,
    context: CheckContext,
    progress: Progress = lambda done, now: None,
) -> CheckReport:
    """Do ``checks`` in order; ends with the light off and the camera as it was.

    A part that fails makes its check fail, and those that need it are skipped.  Cancelling ends
    the check in progress, and all that would follow are skipped.
    """
    results: dict[str, CheckResult] = {}
    failures: dict[str, LeukoluxError] = {}
    cancelled = False
    with context.rig:
        for check in checks:
            progress(tuple(results.values()), check)
            start_s = time.monotonic()
            try:
                reason = ENDED_EARLY if cancelled else _hindrance(check, context, results)
                if reason:
                    result = _skipped(check, context, reason)
                else:
                    result = _do(check, context, failures)
            except Cancelled:
                cancelled = True
                result = _skipped(check, context, ENDED_EARLY)
            results[check.id] = _timed(result, start_s)
            log.info("%s: %s %s", check.id, result.verdict, result.cause)
        progress(tuple(results.values()), None)
    return CheckReport(level, tuple(results.values()), cancelled, failures)


def _hindrance(check: Check, context: CheckContext, results: Mapping[str, CheckResult]) -> str:
    """Return why ``check`` cannot be done, or nothing."""
    missing = [
        results[need].title
        for need in check.needs
        if need in results and results[need].verdict in _UNUSABLE
    ]
    if missing:
        return f"It needs: {', '.join(missing)}."
    if check.dark and not context.lid_closed():
        return "The lid is open."
    return ""


def _do(check: Check, context: CheckContext, failures: dict[str, LeukoluxError]) -> CheckResult:
    context.begin(check.bound_s)
    limit = check.limit(context.effective)
    try:
        reading = check.measure(context)
    except CheckSkipped as reason:
        return _skipped(check, context, str(reason))
    except Cancelled:
        raise
    except LeukoluxError as error:
        failures[check.id] = error
        return _result(
            check, context, Verdict.FAIL, None, error.cause, error.remedy, error.error_code
        )
    except Exception as error:
        log.exception("%s", check.id)
        bug = InternalError(error)
        failures[check.id] = bug
        return _result(check, context, Verdict.FAIL, None, bug.cause, bug.remedy, bug.error_code)
    if limit.holds(reading.value):
        return _result(check, context, Verdict.PASS, reading.value, reading.detail)
    cause = reading.detail or (
        f"{check.title}: {reading.value:.4g} {limit.unit}".rstrip() + f", not {limit.text}."
    )
    if check.miss is Verdict.FAIL:
        failures[check.id] = CheckFailedError(check, cause)
    return _result(check, context, check.miss, reading.value, cause, check.remedy, check.id)


def _skipped(check: Check, context: CheckContext, reason: str) -> CheckResult:
    return _result(check, context, Verdict.SKIPPED, None, reason)


def _result(
    check: Check,
    context: CheckContext,
    verdict: Verdict,
    measured: float | None,
    cause: str,
    remedy: str = "",
    code: str = "",
) -> CheckResult:
    limit = check.limit(context.effective)
    return CheckResult(
        id=check.id,
        title=check.title,
        what=check.what,
        verdict=verdict,
        limit=limit.text,
        low=limit.low,
        high=limit.high,
        unit=limit.unit,
        measured=measured if measured is not None and math.isfinite(measured) else None,
        cause=cause,
        remedy=remedy,
        code=code,
        duration_ms=0.0,
    )


def _timed(result: CheckResult, start_s: float) -> CheckResult:
    return replace(result, duration_ms=1000.0 * (time.monotonic() - start_s))
