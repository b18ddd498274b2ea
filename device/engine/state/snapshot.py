"""What the owner of the hardware makes known to everybody else: one frozen snapshot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Condition
from typing import TYPE_CHECKING, Any, Final

from device.engine.state.progress import Counts
from device.engine.state.states import State
from device.engine.state.waiting_sample import WaitingSample
from device.errors import RecordsError

if TYPE_CHECKING:
    from device.checks.report import CheckProgress
    from device.status import StopReason
    from hal.errors import LeukoluxError

RECORDS_WAITING: Final = RecordsError("RECORDS-WAITING")
"""The error of a run that waits for another program, and that no person can resume."""


@dataclass(frozen=True)
class Snapshot:
    """Everything that is known at one moment: a state together with its data.

    Attributes:
        state: where the instrument is.
        activity: what the instrument is doing, one short sentence for a person.
        run_id: the run in progress or last finished.
        sample_id: its sample.
        operator: who started it, or empty.
        counts: of its tiles and cells.
        started_s: instrument clock at its start.
        ended_s: instrument clock at its end, None while it runs.
        reason: why the last run ended.
        error: why the instrument is in fault or paused.
        refusal: why the panel's Start was refused, None once something has changed since.
        lid_closed: as read last.
        self_tested: whether the last self-test passed.
        models_loaded: whether the networks are verified and ready.
        checking: how far the check in progress is, None if no check runs.
        last_check_id: the check that ended last.
        waiting_sample: the sample that Start starts.
        calibrating: the calibration step in progress, or empty.
        share: of that step that is done, 0 to 1.
        sequence: increases with every change.
    """

    state: State = State.BOOTING
    activity: str = "Starting."
    run_id: int | None = None
    sample_id: str | None = None
    operator: str = ""
    counts: Counts = field(default_factory=Counts)
    started_s: float | None = None
    ended_s: float | None = None
    reason: StopReason | None = None
    error: LeukoluxError | None = None
    refusal: LeukoluxError | None = None
    lid_closed: bool = False
    self_tested: bool = False
    models_loaded: bool = False
    checking: CheckProgress | None = None
    last_check_id: int | None = None
    waiting_sample: WaitingSample = field(default_factory=WaitingSample)
    calibrating: str = ""
    share: float = 0.0
    sequence: int = 0


class SnapshotStore:
    """Holds one snapshot under one lock; wakes who waits for a change."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._snapshot = Snapshot()
        self._listener: Callable[[], None] = lambda: None

    @property
    def snapshot(self) -> Snapshot:
        """What is known now."""
        with self._changed:
            return self._snapshot

    def listen(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after every change."""
        self._listener = listener

    def put(self, **changes: Any) -> None:
        """Replace fields of the snapshot, all at once, and tell everybody."""
        self.update(lambda now: replace(now, **changes))

    def update(self, change: Callable[[Snapshot], Snapshot]) -> Snapshot:
        """Replace the snapshot by what ``change`` makes of it, and tell everybody; return it.

        Nobody else changes the snapshot while ``change`` works.
        """
        with self._changed:
            self._snapshot = replace(change(self._snapshot), sequence=self._snapshot.sequence + 1)
            self._changed.notify_all()
            changed = self._snapshot
        self._listener()
        return changed

    def wait_until(self, condition: Callable[[Snapshot], bool], timeout_s: float) -> bool:
        """Wait until ``condition`` holds, at most ``timeout_s`` real seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: condition(self._snapshot), timeout_s)
