"""Whether the instrument may count: the daily check and the control slides decide with it."""

from __future__ import annotations

from datetime import datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING, Final

from device.checks.report import Level, Verdict
from device.quality.control import ControlVerdict
from device.status import StartCondition

if TYPE_CHECKING:
    from device.records.record_types import CheckRecord
    from device.records.records import Records
    from device.settings.sections import QualityConfig

_DAILY: Final = (Level.DAILY.value, Level.FULL.value)


class QualityGate:
    """Remembers the last check and the last controls; asked by any thread.

    Args:
        config: whether a missing check or a rejected control warns or blocks, and how long a
            check holds.
        records: where they are kept.
    """

    def __init__(self, config: QualityConfig, records: Records) -> None:
        self._config = config
        self._records = records
        self._lock = Lock()
        self._check: CheckRecord | None = None
        self._rejected: tuple[str, ...] = ()

    def refresh(self) -> None:
        """Read the records again, after a check or a run.  Raises RecordsError."""
        with self._records.reader() as reader:
            check = reader.last_check(_DAILY)
            rejected = tuple(
                lot.name
                for lot in reader.control_lots(open_only=True)
                if (point := reader.last_control_point(lot.id)) is not None
                and point.verdict == ControlVerdict.REJECTED
            )
        with self._lock:
            self._check, self._rejected = check, rejected

    def blocking(self, *, control: bool) -> tuple[StartCondition, ...]:
        """Return the conditions that must hold before a run.

        A run of a control slide (``control``) does not wait for a control to be accepted: it is
        how that happens.
        """
        found = []
        if self._config.daily_check == "block":
            found.append(self._daily_check())
        if self._config.rejected_control == "block" and not control:
            found.append(self._controls())
        return tuple(found)

    def remarks(self) -> tuple[StartCondition, ...]:
        """Return the conditions that do not hold but do not block."""
        found = []
        if self._config.daily_check == "warn":
            found.append(self._daily_check())
        if self._config.rejected_control == "warn":
            found.append(self._controls())
        return tuple(condition for condition in found if not condition.met)

    def _daily_check(self) -> StartCondition:
        with self._lock:
            check = self._check
        if check is None:
            explanation = "The daily check has never been done: do it on the page Checks."
        elif check.verdict not in (Verdict.PASS, Verdict.WARN):
            explanation = (
                "The last daily check did not pass: look at it on the page Checks, then repeat it."
            )
        elif not self._is_fresh(check):
            explanation = (
                f"The last daily check is not from the last {self._config.check_valid_h:g} hours: "
                "do it on the page Checks."
            )
        else:
            explanation = ""
        return StartCondition("daily_check", not explanation, explanation)

    def _is_fresh(self, check: CheckRecord) -> bool:
        age = self._records.utc_now() - datetime.fromisoformat(check.utc)
        # A check of the future shows that the clock was put back, so its age is not known.
        return timedelta(0) <= age <= timedelta(hours=self._config.check_valid_h)

    def _controls(self) -> StartCondition:
        with self._lock:
            rejected = ", ".join(self._rejected)
        return StartCondition(
            "control_accepted",
            not rejected,
            f"The control slide was rejected ({rejected}): find the cause on the page Checks, then "
            "run the control again."
            if rejected
            else "",
        )
