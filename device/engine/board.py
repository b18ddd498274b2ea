"""What the owner of the hardware makes known to everybody else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Condition
from typing import Any

from device.checks.report import CheckProgress
from device.status import StopReason
from hal.errors import LeukoluxError


@dataclass(frozen=True)
class Notice:
    """Everything on the board at one moment.

    Attributes:
        activity: what the instrument is doing, one short sentence for a person.
        run_id: the run in progress or last finished.
        sample_id: its sample.
        started_s: instrument clock at its start.
        ended_s: instrument clock at its end, None while it runs.
        reason: why the last run ended.
        error: what the instrument is in fault or paused for.
        lid_closed: as read last.
        self_tested: whether the last self-test passed.
        models_loaded: whether the networks are verified and ready.
        checking: how far the check in progress is, None when there is none.
        last_check_id: the check that ended last.
        waiting_sample_id: sample entered for the start button, or empty.
        calibrating: the calibration step in progress, or empty.
        share: of that step that is done, 0 to 1.
        sequence: increases with every change.
    """

    activity: str = "Starting."
    run_id: int | None = None
    sample_id: str | None = None
    started_s: float | None = None
    ended_s: float | None = None
    reason: StopReason | None = None
    error: LeukoluxError | None = None
    lid_closed: bool = False
    self_tested: bool = False
    models_loaded: bool = False
    checking: CheckProgress | None = None
    last_check_id: int | None = None
    waiting_sample_id: str = ""
    calibrating: str = ""
    share: float = 0.0
    sequence: int = 0


class Board:
    """One notice under one lock; who waits for a change is woken."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._notice = Notice()
        self._listener: Callable[[], None] = lambda: None

    @property
    def notice(self) -> Notice:
        """What is on the board now."""
        with self._changed:
            return self._notice

    def listen(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after every change."""
        self._listener = listener

    def put(self, **changes: Any) -> None:
        """Replace fields of the notice and tell everybody."""
        with self._changed:
            self._notice = replace(self._notice, **changes, sequence=self._notice.sequence + 1)
            self._changed.notify_all()
        self._listener()

    def wait_until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until ``condition`` holds after some change, at most ``timeout_s`` real seconds."""
        with self._changed:
            return self._changed.wait_for(condition, timeout_s)
