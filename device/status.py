"""What the rest of the world may know about the instrument: one frozen snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from device.checks.report import CheckProgress
    from device.engine.state.waiting_sample import WaitingSample


class StopReason(StrEnum):
    """Why a scan ended; part of the result."""

    ENOUGH_CELLS = "enough_cells"
    END_OF_AREA = "end_of_area"
    ABORTED = "aborted"
    REFUSED = "refused"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    """The program ended during the scan."""


@dataclass(frozen=True)
class StartCondition:
    """One named condition that must hold before Start.

    Attributes:
        name: stable identifier, e.g. ``lid_closed``.
        met: whether it holds now.
        explanation: what is wrong and what to do, for the person; shown if not met.
    """

    name: str
    met: bool
    explanation: str


@dataclass(frozen=True)
class Status:
    """Snapshot of the instrument.

    Attributes:
        state: value of :class:`device.engine.state.states.State`.
        activity: what it is doing now, one short sentence for a person.
        waiting_sample: the sample that Start starts, with what is wrong with it.
        run_id: the run in progress or last finished, or None.
        sample_id: sample of that run, or None.
        operator: who started that run, or empty.
        tiles_planned: size of the plan.
        tiles_acquired: frames taken.
        tiles_analysed: tiles whose analysis is stored.
        counts: live counted cells per kind name, plus ``unidentified``.
        classified: number of live, identified cells of the five types.
        target_cells: cells the scan wants.
        elapsed_s: seconds since Start on the instrument's clock.
        remaining_s: estimate, or None while it is still settling.
        error: code, cause and remedy of the failure the instrument is in, or None.
        refusal: code, cause and remedy of the last refused press of the panel's Start, or None once
            something has changed since.
        start_conditions: all of them for the waiting sample, met or not.
        sequence: increases with every change.
        donor: name of the simulated smear, or None on a real instrument.
        remarks: conditions that do not hold but do not prevent Start.
        checking: how far the check in progress is, or None.
        last_check_id: the check that ended last, or None.
        calibrating: the calibration step in progress, or None.
        calibrating_share: of that step that is done, 0 to 1.
        calibration_version: increases with everything stored about calibrations.
    """

    state: str
    activity: str
    waiting_sample: WaitingSample
    run_id: int | None = None
    sample_id: str | None = None
    operator: str = ""
    tiles_planned: int = 0
    tiles_acquired: int = 0
    tiles_analysed: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    classified: int = 0
    target_cells: int = 0
    elapsed_s: float = 0.0
    remaining_s: float | None = None
    error: Mapping[str, str] | None = None
    refusal: Mapping[str, str] | None = None
    start_conditions: tuple[StartCondition, ...] = ()
    sequence: int = 0
    donor: str | None = None
    remarks: tuple[StartCondition, ...] = ()
    checking: CheckProgress | None = None
    last_check_id: int | None = None
    calibrating: str | None = None
    calibrating_share: float = 0.0
    calibration_version: int = 0
