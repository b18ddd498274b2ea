"""The state machine: one defined answer for every pair, and a safe state after every failure."""

from __future__ import annotations

import ast
from itertools import product
from pathlib import Path

import pytest

from device.engine.state.machine import StateMachine
from device.engine.state.snapshot import Snapshot, SnapshotStore
from device.engine.state.states import LIT, REQUESTS, TRANSITIONS, Event, Refusal, State, answer

ROOT = Path(__file__).resolve().parents[2]
PAIRS = list(product(State, Event))

# Written down a second time on purpose: a change of the table must be meant.
EXPECTED = """
booting opened self_test
self_test test_passed idle
idle start preparing
idle check checking
checking checked idle
checking abort idle
idle calibrate calibrating
calibrating calibrated idle
calibrating abort idle
preparing prepared scanning
preparing pause pausing
preparing lid_opened paused
preparing records_locked paused
preparing scanned finishing
preparing abort aborting
scanning pause pausing
scanning lid_opened paused
scanning records_locked paused
scanning scanned finishing
scanning abort aborting
pausing held paused
pausing lid_opened paused
pausing abort aborting
paused lid_opened paused
paused resume preparing
paused abort aborting
finishing stored complete
aborting stored complete
complete acknowledge idle
fault acknowledge self_test
"""


# A sentence says "the instrument" before these.
SAID = {
    "booting": "is starting",
    "self_test": "is testing itself",
    "idle": "is idle",
    "checking": "is being checked",
    "calibrating": "is being calibrated",
    "preparing": "is preparing a run",
    "scanning": "is scanning",
    "pausing": "is pausing",
    "paused": "is paused",
    "finishing": "is finishing a run",
    "complete": "shows a result",
    "aborting": "is aborting a run",
    "fault": "shows a failure",
    "shutting_down": "is shutting down",
}


def expected() -> dict[tuple[str, str], str]:
    table = {}
    for line in EXPECTED.split("\n"):
        if line:
            state, event, target = line.split()
            table[state, event] = target
    for state in State:
        table[state, Event.SHUT_DOWN] = State.SHUTTING_DOWN
        if state is not State.SHUTTING_DOWN:
            table[state, Event.FAIL] = State.FAULT
    return table


def test_every_pair_has_a_defined_answer() -> None:
    table = expected()
    for state, event in PAIRS:
        target = table.get((state, event))
        defined = Refusal(state, event) if target is None else State(target)
        assert answer(state, event) == defined, f"{event} while {state}"


def test_a_refusal_explains_itself_to_a_person() -> None:
    refusals = [one for pair in PAIRS if isinstance(one := answer(*pair), Refusal)]
    assert {refusal.state for refusal in refusals} == set(State)
    for refusal in refusals:
        assert "_" not in refusal.error().cause
        assert refusal.error().cause.endswith(f" while the instrument {SAID[refusal.state]}.")


def test_every_state_can_be_reached_and_left() -> None:
    entered = {target for (state, _), target in TRANSITIONS.items() if state is not target}
    left = {state for (state, _), target in TRANSITIONS.items() if state is not target}
    assert entered == set(State) - {State.BOOTING}
    assert left == set(State) - {State.SHUTTING_DOWN}


def test_a_pause_or_an_open_lid_is_left_only_by_a_request() -> None:
    for (state, event), target in TRANSITIONS.items():
        if state is State.PAUSED and target is not State.PAUSED:
            assert event in REQUESTS | {Event.FAIL}


def test_light_is_possible_only_on_the_way_from_start_to_finish() -> None:
    ways_in = {state for (state, _), target in TRANSITIONS.items() if target in LIT}
    assert ways_in == {State.IDLE, State.PREPARING, State.PAUSED}


@pytest.mark.parametrize("name", ["State", "Event"])
def test_every_member_has_a_docstring(name: str) -> None:
    source = ROOT / "device" / "engine" / "state" / "states.py"
    tree = ast.parse(source.read_text(encoding="utf-8"))
    body = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name).body
    for member, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(member, ast.Assign):
            assert isinstance(after, ast.Expr), ast.unparse(member)
            assert isinstance(after.value, ast.Constant), ast.unparse(member)


class Hooks:
    def __init__(self, fails_on: State | None = None) -> None:
        self.fails_on = fails_on
        self.log: list[str] = []
        self.snapshots = SnapshotStore()
        self.snapshots.listen(lambda: self.log.append(f"now {self.snapshots.snapshot.state}"))

    def enter(self, coming: Snapshot) -> None:
        self.log.append(f"enter {coming.state}")
        if coming.state is self.fails_on:
            raise OSError("the lamp is broken")

    def make_safe(self) -> None:
        self.log.append("safe")

    def machine(self) -> StateMachine:
        return StateMachine(self.snapshots, self.enter, self.make_safe)


def walk(machine: StateMachine, events: list[Event]) -> None:
    for event in events:
        machine.fire(event)


TO_SCANNING = [Event.OPENED, Event.TEST_PASSED, Event.START, Event.PREPARED]


def test_the_hook_runs_before_the_state_counts_as_entered() -> None:
    hooks = Hooks()
    machine = hooks.machine()
    machine.fire(Event.OPENED)
    assert hooks.log == ["enter self_test", "now self_test"]


@pytest.mark.parametrize(
    ("target", "events"),
    [
        (State.SCANNING, TO_SCANNING),
        (State.PAUSED, [*TO_SCANNING, Event.LID_OPENED]),
        (State.COMPLETE, [*TO_SCANNING, Event.SCANNED, Event.STORED]),
        (State.SHUTTING_DOWN, [*TO_SCANNING, Event.SHUT_DOWN]),
    ],
)
def test_a_failing_hook_leads_to_a_safe_fault_not_to_the_state_asked_for(
    target: State, events: list[Event]
) -> None:
    hooks = Hooks(fails_on=target)
    machine = hooks.machine()
    walk(machine, events[:-1])
    with pytest.raises(OSError, match="lamp"):
        machine.fire(events[-1])
    assert machine.state is State.FAULT
    assert "the lamp is broken" in str(hooks.snapshots.snapshot.error)
    assert hooks.log[-3:] == [f"enter {target}", "safe", "now fault"]


def test_a_refused_event_changes_nothing_and_calls_no_hook() -> None:
    hooks = Hooks()
    machine = hooks.machine()
    with pytest.raises(RuntimeError, match="not possible while the instrument is starting"):
        machine.fire(Event.RESUME)
    assert machine.state is State.BOOTING
    assert hooks.log == []
