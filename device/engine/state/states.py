"""The states of the instrument and the one table of legal transitions.

Two kinds of event drive the machine: *requests* of a person (start, pause, resume, abort,
acknowledge, shut down), which are flags until the owner of the hardware resolves them between two
exposures, and *outcomes* of the instrument's own work.  Everything not in :data:`TRANSITIONS` is a
:class:`Refusal`, so every pair of state and event has a defined answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from device.errors import RequestRefusedError


class State(StrEnum):
    """Where the instrument is."""

    BOOTING = "booting"
    """The devices are being opened, the light first; nothing can be asked of it yet."""

    SELF_TEST = "self_test"
    """Devices, networks and records are checked; no light on the sample."""

    IDLE = "idle"
    """Ready for a sample: the start conditions say whether Start is possible."""

    CHECKING = "checking"
    """A person has the instrument checked: light and stage are used, and nothing is counted."""

    CALIBRATING = "calibrating"
    """A step of a calibration moves the stage and uses the light; no sample is measured."""

    PREPARING = "preparing"
    """Homing, background on blank glass, focus; after a pause it makes sure they still hold."""

    SCANNING = "scanning"
    """Tiles are taken along the plan and analysed at the same time."""

    PAUSING = "pausing"
    """A pause was resolved: no further exposure; the tiles already taken are being analysed."""

    PAUSED = "paused"
    """Light off and stage still: on request, or the lid is open, or the records are locked."""

    FINISHING = "finishing"
    """No further exposure: the last tiles are analysed and the result is computed and stored."""

    COMPLETE = "complete"
    """The run has ended, in whole or aborted, and its result is stored; a person acknowledges."""

    ABORTING = "aborting"
    """Light off and stage stopped on request; what was counted is being kept."""

    FAULT = "fault"
    """Something failed: light off, stage stopped, cause and remedy shown until acknowledged."""

    SHUTTING_DOWN = "shutting_down"
    """Light off and devices being closed; nothing leads out of here."""

    @property
    def words(self) -> str:
        """What a sentence says of the instrument: "The instrument ..."."""
        return _WORDS[self]


_WORDS: Mapping[State, str] = MappingProxyType(
    {
        State.BOOTING: "is starting",
        State.SELF_TEST: "is testing itself",
        State.IDLE: "is idle",
        State.CHECKING: "is being checked",
        State.CALIBRATING: "is being calibrated",
        State.PREPARING: "is preparing a run",
        State.SCANNING: "is scanning",
        State.PAUSING: "is pausing",
        State.PAUSED: "is paused",
        State.FINISHING: "is finishing a run",
        State.COMPLETE: "shows a result",
        State.ABORTING: "is aborting a run",
        State.FAULT: "shows a failure",
        State.SHUTTING_DOWN: "is shutting down",
    }
)


class Event(StrEnum):
    """What can happen to the instrument."""

    OPENED = "opened"
    """All devices and the records are open."""

    TEST_PASSED = "test_passed"
    """Every step of the self-test passed."""

    CALIBRATE = "calibrate"
    """A person asked for a step of a calibration."""

    CALIBRATED = "calibrated"
    """The step has ended, with a value or with a refusal, and that is stored."""

    START = "start"
    """A person asked for a run, and all start conditions hold."""

    CHECK = "check"
    """A person asked for a check of the instrument."""

    CHECKED = "checked"
    """All checks are done, and their report is in the records."""

    PREPARED = "prepared"
    """Background and focus are good: tiles can be taken."""

    PAUSE = "pause"
    """A person asked for a pause."""

    HELD = "held"
    """The tiles taken before the pause are analysed."""

    LID_OPENED = "lid_opened"
    """The lid is open; the light is already off."""

    RECORDS_LOCKED = "records_locked"
    """Another program holds the records; the run resumes by itself when they are free."""

    RESUME = "resume"
    """A person asked to go on, and the lid is closed; or the records are free again."""

    SCANNED = "scanned"
    """No further tile is wanted: enough cells, end of the area, or the sample is refused."""

    STORED = "stored"
    """The result of the run is in the records."""

    ABORT = "abort"
    """A person asked to end the run, or the check."""

    ACKNOWLEDGE = "acknowledge"
    """A person has seen the result or the failure."""

    FAIL = "fail"
    """Something failed."""

    SHUT_DOWN = "shut_down"
    """The program ends."""


REQUESTS = frozenset(
    {
        *(Event.START, Event.CHECK, Event.CALIBRATE, Event.PAUSE, Event.RESUME, Event.ABORT),
        *(Event.ACKNOWLEDGE, Event.SHUT_DOWN),
    }
)
"""Events that a person may ask for; all others come from the instrument itself."""

RUNNING = frozenset({State.PREPARING, State.SCANNING, State.PAUSING, State.PAUSED})
"""States in which a run can still be paused, resumed or aborted."""

WITH_RUN = RUNNING | {State.FINISHING, State.ABORTING}
"""States in which there is a run."""

ABORTABLE = RUNNING | {State.CALIBRATING, State.CHECKING}
"""States in which a person may ask for an end."""

LIT = frozenset({State.CALIBRATING, State.CHECKING, State.PREPARING, State.SCANNING})
"""The only states in which the light may be pulsed and the stage may move to take images."""

_WORK: dict[tuple[State, Event], State] = {
    (State.BOOTING, Event.OPENED): State.SELF_TEST,
    (State.SELF_TEST, Event.TEST_PASSED): State.IDLE,
    (State.IDLE, Event.START): State.PREPARING,
    (State.IDLE, Event.CHECK): State.CHECKING,
    (State.CHECKING, Event.CHECKED): State.IDLE,
    (State.CHECKING, Event.ABORT): State.IDLE,
    (State.IDLE, Event.CALIBRATE): State.CALIBRATING,
    (State.CALIBRATING, Event.CALIBRATED): State.IDLE,
    (State.CALIBRATING, Event.ABORT): State.IDLE,
    (State.PREPARING, Event.PREPARED): State.SCANNING,
    (State.PREPARING, Event.PAUSE): State.PAUSING,
    (State.PREPARING, Event.LID_OPENED): State.PAUSED,
    (State.PREPARING, Event.RECORDS_LOCKED): State.PAUSED,
    (State.PREPARING, Event.SCANNED): State.FINISHING,
    (State.PREPARING, Event.ABORT): State.ABORTING,
    (State.SCANNING, Event.PAUSE): State.PAUSING,
    (State.SCANNING, Event.LID_OPENED): State.PAUSED,
    (State.SCANNING, Event.RECORDS_LOCKED): State.PAUSED,
    (State.SCANNING, Event.SCANNED): State.FINISHING,
    (State.SCANNING, Event.ABORT): State.ABORTING,
    (State.PAUSING, Event.HELD): State.PAUSED,
    (State.PAUSING, Event.LID_OPENED): State.PAUSED,
    (State.PAUSING, Event.ABORT): State.ABORTING,
    (State.PAUSED, Event.LID_OPENED): State.PAUSED,
    (State.PAUSED, Event.RESUME): State.PREPARING,
    (State.PAUSED, Event.ABORT): State.ABORTING,
    (State.FINISHING, Event.STORED): State.COMPLETE,
    (State.ABORTING, Event.STORED): State.COMPLETE,
    (State.COMPLETE, Event.ACKNOWLEDGE): State.IDLE,
    (State.FAULT, Event.ACKNOWLEDGE): State.SELF_TEST,
}

TRANSITIONS: Mapping[tuple[State, Event], State] = MappingProxyType(
    _WORK
    | {(state, Event.FAIL): State.FAULT for state in State if state is not State.SHUTTING_DOWN}
    | {(state, Event.SHUT_DOWN): State.SHUTTING_DOWN for state in State}
)
"""Every legal transition.  Failing and shutting down are possible from everywhere."""


@dataclass(frozen=True)
class Refusal:
    """The answer to an event that does not fit the state: nothing changes."""

    state: State
    event: Event

    def error(self) -> RequestRefusedError:
        """Return what the sender of the request is told."""
        request = self.event.replace("_", " ").capitalize()
        return RequestRefusedError("REQUEST-REFUSED", request=request, doing=self.state.words)


def answer(state: State, event: Event) -> State | Refusal:
    """Return the state that ``event`` leads to from ``state``, or the refusal."""
    return TRANSITIONS.get((state, event)) or Refusal(state, event)
