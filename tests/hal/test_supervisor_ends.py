"""How pulses, connections and the light supervisor itself end, and that nothing is left behind."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
from light_rig import LONG_PULSE_MS, PATIENCE_S, PIN, serving, wait_for_low

from hal.errors import DeviceError
from hal.light import supervisor as module
from hal.light.supervisor import LightSupervisor, pid_file
from hal.sim.gpio.module import FakeGpio


@pytest.fixture
def gpio() -> FakeGpio:
    return FakeGpio()


@pytest.fixture
def supervisor(gpio: FakeGpio, socket_path: Path) -> Iterator[LightSupervisor]:
    """One that listens and does not serve yet."""
    supervisor = LightSupervisor(gpio, PIN, socket_path, max_pulse_ms=LONG_PULSE_MS)
    supervisor.open()
    yield supervisor
    supervisor.close()


@contextmanager
def connected(socket_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(PATIENCE_S)
        connection.connect(str(socket_path))
        connection.send(b"hello 0")
        yield connection


def light_up(connection: socket.socket) -> None:
    assert connection.recv(256) == b"hello 0 ok"
    connection.send(f"on 1 {time.monotonic() + LONG_PULSE_MS / 1000.0 - 0.1!r}".encode())
    assert connection.recv(256) == b"on 1 ok"


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def wait_for_open_files(number: int) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while open_files() != number:
        assert time.monotonic() < give_up_s, f"{open_files()} files are open, not {number}"
        time.sleep(0.001)


def test_a_pulse_ends_when_the_kernel_begins_to_end_the_process_that_ordered_it(
    gpio: FakeGpio, socket_path: Path, supervisor: LightSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(supervisor), connected(socket_path) as connection:
        light_up(connection)
        monkeypatch.setattr(module, "_is_ending", lambda _: True)
        assert connection.recv(256) == b""
        wait_for_low(gpio)
    rise, fall = gpio.edges(PIN)
    assert fall.time_s - rise.time_s < LONG_PULSE_MS / 1000.0 - 1.0


def test_a_line_that_fails_while_it_goes_high_is_taken_low_at_once(
    gpio: FakeGpio, socket_path: Path, supervisor: LightSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive = gpio.output

    def fail_high(channel: int, level: int) -> None:
        drive(channel, level)
        if level == gpio.HIGH:
            raise OSError("no answer")

    monkeypatch.setattr(gpio, "output", fail_high)
    with serving(supervisor), connected(socket_path) as connection:
        assert connection.recv(256) == b"hello 0 ok"
        connection.send(f"on 1 {time.monotonic() + LONG_PULSE_MS / 1000.0 - 0.1!r}".encode())
        assert connection.recv(256) == b"on 1 failed LIGHT-LINE no answer"
        assert [edge.level for edge in gpio.edges(PIN)] == [1, 0]


def test_a_supervisor_that_stops_in_a_pulse_takes_the_line_low_before_it_is_closed(
    gpio: FakeGpio, socket_path: Path, supervisor: LightSupervisor
) -> None:
    with connected(socket_path) as connection:
        with serving(supervisor):
            light_up(connection)
            assert gpio.level(PIN) == gpio.HIGH
        assert gpio.level(PIN) == gpio.LOW


def test_a_refused_instrument_that_has_greeted_already_sees_why(
    socket_path: Path, supervisor: LightSupervisor
) -> None:
    with connected(socket_path) as first, connected(socket_path) as second, serving(supervisor):
        assert first.recv(256) == b"hello 0 ok"
        assert second.recv(256) == b"hello 0 refused another instrument is connected"
        assert second.recv(256) == b""


def test_an_instrument_that_comes_in_the_moment_in_which_the_former_one_goes_is_served(
    socket_path: Path, supervisor: LightSupervisor
) -> None:
    go_on, held = Event(), Event()
    go_on.set()

    def heartbeat() -> None:
        if not go_on.is_set():
            held.set()
            assert go_on.wait(PATIENCE_S)

    thread = Thread(target=supervisor.serve, args=[heartbeat])
    thread.start()
    with connected(socket_path) as former:
        assert former.recv(256) == b"hello 0 ok"
        go_on.clear()
        assert held.wait(PATIENCE_S)
    with connected(socket_path) as next_one:
        go_on.set()
        assert next_one.recv(256) == b"hello 0 ok"
    supervisor.stop()
    thread.join(PATIENCE_S)


@pytest.mark.parametrize(
    ("user", "answer"),
    [
        (0, b"hello 0 ok"),
        (4712, b"hello 0 ok"),
        (1, b"hello 0 refused it belongs to another user"),
        (4711, b"hello 0 refused it belongs to another user"),
    ],
)
def test_only_root_and_the_supervisor_s_own_user_are_served(
    socket_path: Path,
    supervisor: LightSupervisor,
    monkeypatch: pytest.MonkeyPatch,
    user: int,
    answer: bytes,
) -> None:
    monkeypatch.setattr(module, "_peer", lambda _: (os.getpid(), user))
    monkeypatch.setattr("os.getuid", lambda: 4712)
    with connected(socket_path) as connection, serving(supervisor):
        assert connection.recv(256) == answer


def test_a_process_that_the_kernel_does_not_watch_is_served_all_the_same(
    gpio: FakeGpio, socket_path: Path, supervisor: LightSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched: list[int] = []

    def refuse(pid: int) -> int:
        watched.append(pid)
        raise ProcessLookupError

    monkeypatch.setattr(os, "pidfd_open", refuse)
    with serving(supervisor):
        before = open_files()
        with connected(socket_path) as connection:
            light_up(connection)
        wait_for_low(gpio)
        assert watched == [os.getpid()]
        wait_for_open_files(before)


@pytest.mark.parametrize("order", ["on x 5", "on 1 soon"])
def test_an_order_with_something_else_than_a_number_ends_the_connection(
    socket_path: Path, supervisor: LightSupervisor, order: str
) -> None:
    with serving(supervisor), connected(socket_path) as connection:
        assert connection.recv(256) == b"hello 0 ok"
        connection.send(order.encode())
        assert connection.recv(256) == b""


def test_an_instrument_that_does_not_hear_the_answers_is_dropped_and_the_line_goes_low(
    gpio: FakeGpio, socket_path: Path, supervisor: LightSupervisor
) -> None:
    def talk(connection: socket.socket) -> None:
        for _ in range(200_000):
            connection.send(b"off 1")

    with serving(supervisor), connected(socket_path) as connection:
        light_up(connection)
        with pytest.raises(OSError, match=r"Broken pipe|reset"):
            talk(connection)
        wait_for_low(gpio)


def test_an_instrument_that_ends_without_having_read_its_answers_is_dropped(
    gpio: FakeGpio, socket_path: Path, supervisor: LightSupervisor
) -> None:
    with serving(supervisor):
        with connected(socket_path) as connection:
            until_s = time.monotonic() + LONG_PULSE_MS / 1000.0 - 0.1
            connection.send(f"on 1 {until_s!r}".encode())
            give_up_s = time.monotonic() + PATIENCE_S
            while gpio.level(PIN) != gpio.HIGH:
                assert time.monotonic() < give_up_s, "never lit"
                time.sleep(0.001)
        wait_for_low(gpio)
        with connected(socket_path) as connection:
            assert connection.recv(256) == b"hello 0 ok"


@pytest.mark.parametrize(("flags", "ending"), [(0x400104, True), (0x400103, False)])
def test_a_process_is_ending_when_the_kernel_s_flag_says_so(
    monkeypatch: pytest.MonkeyPatch, flags: int, ending: bool
) -> None:
    stat = f"42 (any) name) R 1 42 42 0 -1 {flags} 90 0"
    monkeypatch.setattr(Path, "read_bytes", lambda _: stat.encode())
    assert module._is_ending(42) is ending


def test_a_process_that_nobody_can_look_at_is_not_taken_for_ending() -> None:
    assert not module._is_ending(2**22 + 1)


def test_instruments_that_come_and_go_leave_no_open_file(
    socket_path: Path, supervisor: LightSupervisor
) -> None:
    with serving(supervisor):
        before = open_files()
        for _ in range(3):
            with connected(socket_path) as connection:
                assert connection.recv(256) == b"hello 0 ok"
            wait_for_open_files(before)


def test_a_closed_supervisor_leaves_place_for_the_next_one(
    gpio: FakeGpio, socket_path: Path
) -> None:
    before = open_files()
    for _ in range(2):
        supervisor = LightSupervisor(gpio, PIN, socket_path, max_pulse_ms=LONG_PULSE_MS)
        supervisor.open()
        supervisor.close()
    assert open_files() == before


@pytest.mark.parametrize("opened", [True, False])
def test_closing_again_closes_nothing_else(gpio: FakeGpio, socket_path: Path, opened: bool) -> None:
    before = open_files()
    supervisor = LightSupervisor(gpio, PIN, socket_path, max_pulse_ms=LONG_PULSE_MS)
    if opened:
        supervisor.open()
    supervisor.close()
    supervisor.close()
    assert open_files() == before
    os.fstat(0)
    os.fstat(1)


def test_the_line_is_given_back_at_the_end(gpio: FakeGpio, socket_path: Path) -> None:
    supervisor = LightSupervisor(gpio, PIN, socket_path, max_pulse_ms=LONG_PULSE_MS)
    supervisor.open()
    assert gpio.input(PIN) == gpio.LOW
    supervisor.close()
    with pytest.raises(RuntimeError, match="not set up"):
        gpio.input(PIN)


def test_the_lock_names_the_process_whatever_stood_there(gpio: FakeGpio, socket_path: Path) -> None:
    pid_file(socket_path).write_text("1234567890123", encoding="ascii")
    supervisor = LightSupervisor(gpio, PIN, socket_path, max_pulse_ms=LONG_PULSE_MS)
    supervisor.open()
    assert pid_file(socket_path).read_text(encoding="ascii") == str(os.getpid())
    supervisor.close()


def test_a_supervisor_that_cannot_listen_leaves_no_open_file(
    gpio: FakeGpio, socket_path: Path
) -> None:
    before = open_files()
    for wrong in (socket_path.parent / "missing" / "light.sock", socket_path.parent / ("x" * 200)):
        supervisor = LightSupervisor(gpio, PIN, wrong, max_pulse_ms=LONG_PULSE_MS)
        with pytest.raises(DeviceError) as caught:
            supervisor.open()
        assert caught.value.error_code == "LIGHT-SUPERVISOR-SOCKET"
        assert open_files() == before


def test_a_second_supervisor_leaves_no_open_file(
    gpio: FakeGpio, socket_path: Path, supervisor: LightSupervisor
) -> None:
    before = open_files()
    with pytest.raises(DeviceError):
        LightSupervisor(gpio, PIN, socket_path, max_pulse_ms=LONG_PULSE_MS).open()
    assert open_files() == before


def test_a_supervisor_that_waits_for_no_signal_leaves_those_of_others_alone(
    gpio: FakeGpio, socket_path: Path
) -> None:
    supervisor = LightSupervisor(gpio, PIN, socket_path, max_pulse_ms=LONG_PULSE_MS)
    supervisor.open()
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        signal.set_wakeup_fd(one.fileno())
        supervisor.close()
        assert signal.set_wakeup_fd(-1) == one.fileno()


def test_signals_no_longer_wake_a_closed_supervisor(gpio: FakeGpio, socket_path: Path) -> None:
    former = signal.getsignal(signal.SIGUSR1)
    supervisor = LightSupervisor(gpio, PIN, socket_path, max_pulse_ms=LONG_PULSE_MS)
    supervisor.open()
    try:
        supervisor.stop_on(signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR1)
        supervisor.serve()
    finally:
        supervisor.close()
        signal.signal(signal.SIGUSR1, former)
    assert signal.set_wakeup_fd(-1) == -1
