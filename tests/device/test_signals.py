"""A signal sets its event also at the worst moment."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from threading import Event

import pytest

from device.system.signals import setter


@pytest.fixture
def event() -> Event:
    return Event()


@pytest.fixture(autouse=True)
def handled(event: Event) -> Iterator[None]:
    former = signal.signal(signal.SIGUSR2, setter(event))
    yield
    signal.signal(signal.SIGUSR2, former)


@pytest.mark.timeout(30)
def test_a_signal_that_comes_while_the_event_is_about_to_be_waited_for(event: Event) -> None:
    # What wait() holds until it sleeps.
    with event._cond:
        signal.raise_signal(signal.SIGUSR2)
    assert event.wait(20.0)


def test_many_signals_are_one(event: Event) -> None:
    for _ in range(5):
        signal.raise_signal(signal.SIGUSR2)
    assert event.wait(20.0)
