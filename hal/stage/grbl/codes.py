"""GRBL's error and alarm numbers as our errors, each with a cause and a remedy."""

from __future__ import annotations

from hal.error_catalogue import error_catalogue
from hal.errors import StageAlarmError, StageError, StageLimitError

OUTSIDE_TRAVEL = 15


def alarm_error(alarm: int) -> StageAlarmError:
    """Return the error for ``ALARM:alarm``."""
    if f"STAGE-ALARM-{alarm}" not in error_catalogue():
        return StageAlarmError("STAGE-ALARM-UNKNOWN", alarm=alarm)
    return StageAlarmError(f"STAGE-ALARM-{alarm:d}")


def refusal_error(number: int, line: str) -> StageError:
    """Return the error for ``error:number`` answered to ``line``."""
    if f"STAGE-REFUSED-{number}" not in error_catalogue():
        return StageError("STAGE-REFUSED-UNKNOWN", number=number, line=line)
    kind = StageLimitError if number == OUTSIDE_TRAVEL else StageError
    return kind(f"STAGE-REFUSED-{number:d}", line=line)
