"""The instrument's end of the light supervisor, against supervisors that misbehave."""

from __future__ import annotations

import gc
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Protocol

import pytest
from light_rig import PATIENCE_S, PIN

from hal.errors import DeviceError, SilentSupervisorError, SupervisorError
from hal.light import supervised_line
from hal.light.supervised_line import SupervisedLine
from hal.sim.gpio.module import FakeGpio

Answer = Callable[[str], list[str] | None]
"""Returns the answers to an order; None ends the connection."""


class Start(Protocol):
    def __call__(self, answer: Answer, *, after: Event | None = None) -> Path: ...


class SharedGpio(FakeGpio):
    """Counts the claims, of which somebody else spoils the first ``refused``."""

    def __init__(self) -> None:
        super().__init__()
        self.claims = self.refused = 0

    def setup(self, channel: int, direction: int, *, initial: int | None = None) -> None:
        self.claims += 1
        if self.claims <= self.refused:
            raise OSError("somebody else has the line")
        super().setup(channel, direction, initial=initial)


@pytest.fixture
def gpio() -> SharedGpio:
    return SharedGpio()


@pytest.fixture
def scripted(socket_path: Path) -> Iterator[Start]:
    """Starts a supervisor that answers as it is told, once ``after`` is set."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    threads: list[Thread] = []

    def serve(answer: Answer) -> None:
        with suppress(OSError), listener.accept()[0] as connection:
            while (order := connection.recv(256)) and (said := answer(order.decode())) is not None:
                for line in said:
                    connection.send(line.encode())

    def listen(answer: Answer, after: Event | None) -> None:
        if after is not None:
            after.wait(PATIENCE_S)
        listener.bind(str(socket_path))
        listener.listen()
        threads.append(Thread(target=serve, args=[answer], daemon=True))
        threads[-1].start()

    def start(answer: Answer, *, after: Event | None = None) -> Path:
        if after is None:
            listen(answer, None)
        else:
            threads.append(Thread(target=listen, args=[answer, after], daemon=True))
            threads[-1].start()
        return socket_path

    yield start
    for thread in threads:
        thread.join(PATIENCE_S)
    listener.close()


def obeyed(order: str) -> list[str]:
    return [f"{' '.join(order.split()[:2])} ok"]


def test_a_line_that_was_never_opened_gives_no_light(gpio: SharedGpio) -> None:
    line = SupervisedLine(Path("/nowhere"), gpio, PIN)
    assert not line.is_live()
    with pytest.raises(SupervisorError) as caught:
        line.on(time.monotonic() + 1.0)
    assert caught.value.error_code == "LIGHT-SUPERVISOR-UNCONNECTED"


def test_the_answer_to_a_former_pulse_is_not_taken_for_that_to_this_one(
    gpio: SharedGpio, scripted: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def answer(order: str) -> list[str]:
        seen.append(" ".join(order.split()[:2]))
        if seen[-1].startswith("on") and len(seen) == 2:
            return []
        late = [f"{seen[1]} refused too late"] if len(seen) > 2 else []
        return [*late, *obeyed(order)]

    line = SupervisedLine(scripted(answer), gpio, PIN)
    line.open()
    monkeypatch.setattr(supervised_line, "ANSWER_TIMEOUT_S", 0.05)
    with pytest.raises(SilentSupervisorError):
        line.on(time.monotonic() + 1.0)
    monkeypatch.setattr(supervised_line, "ANSWER_TIMEOUT_S", PATIENCE_S)
    line.off()
    line.on(time.monotonic() + 1.0)
    line.close()


def test_an_answer_that_waits_to_be_read_is_not_the_end_of_the_connection(
    gpio: SharedGpio, scripted: Start
) -> None:
    line = SupervisedLine(scripted(lambda order: [*obeyed(order), "on 7 ok"]), gpio, PIN)
    line.open()
    line.on(time.monotonic() + 1.0)
    assert line.is_live()
    line.close()


@pytest.mark.timeout(60)
def test_an_answer_that_is_overdue_is_not_waited_for(
    gpio: SharedGpio, scripted: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = SupervisedLine(
        scripted(lambda order: obeyed(order) if order.startswith("hello") else []), gpio, PIN
    )
    line.open()
    monkeypatch.setattr(supervised_line, "ANSWER_TIMEOUT_S", -10.0)
    with pytest.raises(SilentSupervisorError):
        line.on(time.monotonic() + 1.0)
    line.close()


def test_a_supervisor_that_starts_later_is_waited_for(gpio: SharedGpio, scripted: Start) -> None:
    begun = Event()
    line = SupervisedLine(scripted(obeyed, after=begun), gpio, PIN, PATIENCE_S)
    first_try = line.connect

    def connect() -> None:
        try:
            first_try()
        finally:
            begun.set()

    line.connect = connect  # type: ignore[method-assign]
    line.open()
    assert line.is_live()
    line.close()


def ends_at(wanted: str) -> Answer:
    return lambda order: None if order.startswith(wanted) else obeyed(order)


def test_a_supervisor_that_ends_in_the_dark_leaves_the_line_to_the_next_one(
    gpio: SharedGpio, scripted: Start
) -> None:
    answers = iter([obeyed, obeyed, obeyed, lambda _: None])

    def answer(order: str) -> list[str] | None:
        return next(answers)(order)

    line = SupervisedLine(scripted(answer), gpio, PIN)
    line.open()
    line.on(time.monotonic() + 1.0)
    line.off()
    line.off()
    assert not line.is_live()
    assert gpio.claims == 0


def test_the_line_of_a_supervisor_that_ended_in_a_pulse_is_taken_when_it_is_free(
    gpio: SharedGpio, scripted: Start
) -> None:
    gpio.refused = 2
    line = SupervisedLine(scripted(ends_at("on")), gpio, PIN)
    line.open()
    with pytest.raises(SupervisorError) as caught:
        line.on(time.monotonic() + 1.0)
    assert caught.value.error_code == "LIGHT-SUPERVISOR-LOST"
    assert gpio.claims == 3
    line.off()
    assert gpio.claims == 3


def test_a_line_that_cannot_be_taken_is_told_and_the_supervisor_is_blamed(
    gpio: SharedGpio,
    scripted: Start,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpio.refused = 1
    monkeypatch.setattr(supervised_line, "TAKE_LOW_S", 0.0)
    line = SupervisedLine(scripted(ends_at("on")), gpio, PIN)
    line.open()
    with pytest.raises(DeviceError) as caught:
        line.on(time.monotonic() + 1.0)
    assert caught.value.error_code == "LIGHT-SUPERVISOR-LOST"
    assert "LIGHT-LINE-TAKEN" in caplog.text


@pytest.mark.timeout(60)
def test_a_supervisor_with_a_full_queue_is_silent_and_not_waited_for(
    gpio: SharedGpio, socket_path: Path
) -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        listener.bind(str(socket_path))
        listener.listen(0)
        with suppress(BlockingIOError):
            while True:
                caller = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
                caller.setblocking(False)
                caller.connect(str(socket_path))
        with pytest.raises(SilentSupervisorError) as caught:
            SupervisedLine(socket_path, gpio, PIN).connect()
        assert caught.value.error_code == "LIGHT-SUPERVISOR-QUEUE"
        # A connection that was left open would warn now.
        gc.collect()
