"""Anticipated failures of the instrument above the hardware."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hal.errors import LeukoluxError

if TYPE_CHECKING:
    from pathlib import Path

    from device.status import StartCondition


class RecordsError(LeukoluxError):
    """The database cannot be read or written."""

    exit_code = 4


class RecordsInUseError(RecordsError):
    """Another program owns the folder of the records; nothing was changed.

    Args:
        folder: of the records.
        holder: number of its process, or an empty text.
    """

    def __init__(self, folder: Path, holder: str) -> None:
        super().__init__("RECORDS-IN-USE", process=holder or "unknown", folder=folder)


class RecordsLockedError(RecordsError):
    """Another program holds the database for longer than the records wait."""


class RequestRefusedError(LeukoluxError):
    """A request does not fit the state the instrument is in; nothing was changed."""

    exit_code = 5


class StartRefusedError(RequestRefusedError):
    """Start is not possible now.

    Args:
        conditions: the start conditions that are not met.
    """

    def __init__(self, conditions: Sequence[StartCondition]) -> None:
        self.conditions = tuple(conditions)
        super().__init__(
            "START-REFUSED",
            missing=", ".join(condition.name.replace("_", " ") for condition in conditions),
            explanations=" ".join(condition.explanation for condition in conditions),
        )


class SampleRefusedError(LeukoluxError):
    """The sample cannot be measured (no smear, out of focus, saturated): a result, not a fault."""

    exit_code = 6


class SettlingError(LeukoluxError):
    """The settle time of the stage cannot be measured."""

    exit_code = 3


class SelfTestError(LeukoluxError):
    """A step of the self-test failed."""

    exit_code = 3


class InternalError(LeukoluxError):
    """A bug, as the screen shows it; its traceback is in the log.

    Args:
        bug: what was raised.
    """

    def __init__(self, bug: Exception) -> None:
        super().__init__("INTERNAL", kind=type(bug).__name__, problem=str(bug))


def as_anticipated(error: Exception) -> LeukoluxError:
    """Return ``error`` as the screen shows it; a bug becomes an :class:`InternalError`."""
    return error if isinstance(error, LeukoluxError) else InternalError(error)
