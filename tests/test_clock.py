"""Waits of every clock: scaled, cancellable, and never backwards."""

from __future__ import annotations

from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal.clock import ManualClock, SystemClock
from hal.errors import Cancelled


def test_a_scaled_clock_runs_faster_than_the_system_clock() -> None:
    plain, fast = SystemClock(), SystemClock(speed=1000.0)
    around_s = [plain.monotonic_s()]
    began_s = fast.monotonic_s()
    within_s = [plain.monotonic_s()]
    fast.sleep(2.0)
    within_s.append(plain.monotonic_s())
    fast_s = fast.monotonic_s() - began_s
    around_s.append(plain.monotonic_s())
    assert fast_s >= 2.0
    # However long this thread was held up between two readings.
    shortest_s, longest_s = (1000.0 * (end - begin) for begin, end in (within_s, around_s))
    assert shortest_s * 0.999 <= fast_s <= longest_s * 1.001


@pytest.mark.parametrize("clock", [SystemClock(), SystemClock(10.0), ManualClock()])
def test_a_cancelled_wait_ends_at_once(clock: SystemClock | ManualClock) -> None:
    cancel = Event()
    cancel.set()
    with pytest.raises(Cancelled):
        clock.sleep(1e6, cancel)


@pytest.mark.parametrize("clock", [SystemClock(1000.0), ManualClock()])
def test_wait_tells_whether_the_event_was_set(clock: SystemClock | ManualClock) -> None:
    event = Event()
    assert not clock.wait(event, 0.5)
    event.set()
    assert clock.wait(event, 1e6)


@given(st.lists(st.floats(-10.0, 10.0)))
def test_a_manual_clock_never_goes_backwards(steps_s: list[float]) -> None:
    clock = ManualClock()
    for step_s in steps_s:
        before_s = clock.monotonic_s()
        clock.advance(step_s)
        assert clock.monotonic_s() >= before_s


def test_a_clock_that_stands_still_is_refused() -> None:
    with pytest.raises(ValueError, match="speed"):
        SystemClock(speed=0.0)
