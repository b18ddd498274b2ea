"""The instrument's status in the words of the screen: what templates and script both show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from device.engine.state.snapshot import RECORDS_WAITING
from device.engine.state.states import RUNNING, Event, State, answer
from device.engine.state.waiting_sample import HALF_ENTERED, WaitingSample
from device.results.cell import FIVE_TYPES, UNIDENTIFIED, CellKind
from device.status import Status
from webui.catalogue import duration, label, text

if TYPE_CHECKING:
    from webui.context import Context

OUTSIDE_KINDS: Final = (CellKind.DEAD.value, CellKind.OTHER.value, UNIDENTIFIED)
_BUSY: Final = RUNNING | {State.FINISHING, State.ABORTING}
_JOG_STEP: Final = "slide_corners"
_TONES: Final = {
    State.IDLE: "ready",
    State.COMPLETE: "ready",
    State.PAUSED: "attention",
    State.FAULT: "error",
}


def status_view_of(parts: Context, status: Status | None = None) -> dict[str, Any]:
    """Return the status as the screen shows it, its times in seconds of the person's watch.

    Args:
        parts: of the application.
        status: that a page shows as well; by default the present one.
    """
    if status is None:
        status = parts.instrument.status()
    simulated = status.donor is not None
    return status_view(status, speed=parts.settings.simulation.speed if simulated else 1.0)


def status_view(status: Status, *, speed: float) -> dict[str, Any]:
    """Return what the screen shows of ``status``: JSON-compatible, every text ready to print.

    Args:
        status: snapshot of the instrument.
        speed: seconds of the instrument's clock per second of the person's.
    """
    state = State(status.state)
    state_label = label("state", state.value)
    sample = status.waiting_sample
    wrong_with_sample = {problem.name for problem in sample.problems}
    unmet = [c for c in status.start_conditions if not c.met and c.name not in wrong_with_sample]
    otherwise_ready = state is State.IDLE and not unmet
    return {
        "state": state.value,
        "state_label": state_label,
        "state_short": label("state_short", state.value),
        "tone": _TONES.get(state, "busy"),
        "page": screen_path(status),
        "busy": state in _BUSY,
        "activity": "" if status.activity.rstrip(".") == state_label else status.activity,
        "run_id": status.run_id,
        "tiles_analysed": status.tiles_analysed,
        "title": text("live.title", sample_id=status.sample_id or text("app.no_value")),
        "simulated": text("app.simulated", donor=status.donor) if status.donor else "",
        "progress": _progress(status),
        "time": _time(status, speed),
        "counts": _counts(status),
        "can": {
            "start": otherwise_ready and sample.ready,
            # By the screen on which the draft is being typed: its Start enters it.
            "start_draft": otherwise_ready and all(p.code in HALF_ENTERED for p in sample.problems),
            "check": _possible(state, Event.CHECK),
            "pause": _possible(state, Event.PAUSE),
            "resume": _possible(state, Event.RESUME) and _resumable(status),
            "abort": _possible(state, Event.ABORT),
            "acknowledge": _possible(state, Event.ACKNOWLEDGE),
        },
        "calibration": {
            "busy": state is State.CALIBRATING,
            "free": state is State.IDLE,
            "step": status.calibrating or "",
            "percent": round(100 * status.calibrating_share),
            "version": status.calibration_version,
        },
        "sample": _sample(sample),
        "refusal": dict(status.refusal) if status.refusal else None,
        "ready": otherwise_ready and sample.ready,
        "not_ready": not otherwise_ready,
        "reasons": [c.explanation for c in unmet],
        "remarks": [c.explanation for c in status.remarks],
        "remarked": bool(status.remarks) and state is State.IDLE,
        "check": _check(status, running=state is State.CHECKING),
        "calm": status.error is None,
        "error": dict(status.error) if status.error else None,
    }


def screen_path(status: Status) -> str:
    """Return the page that belongs to the state: sample, live, result or fault."""
    state = State(status.state)
    if state is State.FAULT:
        return "/fault"
    if state is State.CALIBRATING:
        return f"/calibration/{_JOG_STEP if status.calibrating == 'jog' else status.calibrating}"
    if state in _BUSY:
        return "/live"
    if state is State.CHECKING:
        return "/checks"
    if state is State.COMPLETE and status.run_id is not None:
        return f"/runs/{status.run_id}"
    return "/"


def _sample(sample: WaitingSample) -> dict[str, Any]:
    """Return the waiting sample; a draft stands in place of what was entered before."""
    draft, operator = sample.draft_sample_id, sample.draft_operator
    return {
        "sample_id": sample.sample_id if draft is None else draft,
        "operator": sample.operator if operator is None else operator,
        "control_lot": sample.control_lot,
        "half_entered": draft is not None or operator is not None,
        "label": text("app.not_entered" if draft is not None else "app.waiting"),
        "problem": " ".join(problem.explanation for problem in sample.problems),
        "ready": sample.ready,
        "revision": sample.revision,
    }


def _check(status: Status, *, running: bool) -> dict[str, Any]:
    """Return how far the check in progress is, one text per check."""
    progress = status.checking
    done = {result.id: result for result in progress.results} if progress is not None else {}
    rows = {}
    for check_id, _ in progress.planned if progress is not None else ():
        word = done[check_id].verdict.value if check_id in done else "waiting"
        if progress is not None and check_id == progress.now:
            word = "now"
        rows[check_id] = label("check.verdict", word)
    return {
        "running": running,
        "last": status.last_check_id,
        "done": len(done),
        "planned": max(1, len(rows)),
        "text": text("check.done_of", done=len(done), planned=len(rows)),
        "rows": rows,
    }


def _possible(state: State, event: Event) -> bool:
    return isinstance(answer(state, event), State)


def _resumable(status: Status) -> bool:
    lid_closed = all(c.met for c in status.start_conditions if c.name == "lid_closed")
    waiting = status.error is not None and status.error["code"] == RECORDS_WAITING.error_code
    return lid_closed and not waiting


def _progress(status: Status) -> dict[str, Any]:
    tiles = text("live.tiles_none")
    if status.tiles_planned:
        tiles = text(
            "live.tiles_of", tiles=f"{status.tiles_analysed:,}", planned=f"{status.tiles_planned:,}"
        )
    return {
        "cells": min(status.classified, status.target_cells),
        "target": max(1, status.target_cells),
        "cells_text": text(
            "live.cells_of", classified=status.classified, target=status.target_cells
        ),
        "tiles_text": tiles,
    }


def _time(status: Status, speed: float) -> dict[str, str]:
    remaining = text("live.settling")
    if status.remaining_s is not None:
        remaining = text("live.about", duration=_rounded(status.remaining_s / speed))
    return {"elapsed": duration(status.elapsed_s / speed), "remaining": remaining}


def _rounded(seconds: float) -> str:
    # An estimate to the second would flicker and promise what it cannot keep.
    step = 5 if seconds < 60 else 10 if seconds < 300 else 60
    return duration(max(step, round(seconds / step) * step))


def _counts(status: Status) -> dict[str, dict[str, int]]:
    five = [kind.value for kind in FIVE_TYPES]
    largest = max(10, *(status.counts.get(name, 0) for name in five))
    return {
        name: {
            "n": status.counts.get(name, 0),
            "length": round(100 * min(status.counts.get(name, 0), largest) / largest),
        }
        for name in (*five, *OUTSIDE_KINDS)
    }
