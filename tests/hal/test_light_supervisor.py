"""The light supervisor: what it takes low, when, and whom it serves; seen on recorded edges."""

from __future__ import annotations

import os
import signal
import socket
import stat
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
from light_rig import PIN, LightRig, gives_light, go_on, hear, light_up

from hal.config import HardwareConfig, LightConfig
from hal.errors import DeviceError, LightError, SettingsError, SupervisorError
from hal.factory import build_light_supervisor
from hal.gpio_light import GpioLight
from hal.light_lease import LightLease
from hal.light_supervisor import LightSupervisor
from hal.sim.gpio import FakeGpio
from hal.sim.gpio_lines import MemoryLines
from hal.sim.supervisor import InnerSupervisor

BOUND_MS = 100.0
GRACE_MS = 20.0
MAX_PULSE_MS = 10_000.0
# Far beyond what the settings allow: a loaded computer takes its time inside a pulse.
CONFIG = LightConfig(supervisor_grace_ms=GRACE_MS).model_copy(update={"max_pulse_ms": MAX_PULSE_MS})


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[LightRig]:
    rig = LightRig(tmp_path)
    yield rig
    rig.close()


@pytest.fixture
def lines() -> MemoryLines:
    return MemoryLines()


@pytest.fixture
def supervisor(lines: MemoryLines) -> Iterator[InnerSupervisor]:
    supervisor = InnerSupervisor(CONFIG, lines)
    yield supervisor
    supervisor.close()


@pytest.fixture
def gpio(lines: MemoryLines) -> FakeGpio:
    return FakeGpio(lines)


@pytest.fixture
def light(gpio: FakeGpio, supervisor: InnerSupervisor) -> Iterator[GpioLight]:
    lease = LightLease(str(supervisor.socket), connect_timeout_s=2.0)
    light = GpioLight(gpio, CONFIG, lambda: True, lease)
    yield light
    light.close()


def wait_for_low(gpio: FakeGpio) -> None:
    give_up_s = time.monotonic() + 10.0
    while gpio.level(PIN) == gpio.HIGH:
        assert time.monotonic() < give_up_s, "the line stays high"
        time.sleep(0.001)


def test_after_kill_minus_9_in_a_pulse_the_supervisor_takes_the_line_low(rig: LightRig) -> None:
    supervisor = rig.supervisor()
    high_ms: list[float] = []
    for _ in range(12):
        measured = rig.kill_in_a_pulse()
        if measured is not None:
            assert rig.edges()[-1].pid == supervisor.pid
            high_ms.append(measured)
        if len(high_ms) == 3:
            break
    # The best of several: a computer that is busy with other things says nothing of this one.
    assert min(high_ms) < BOUND_MS


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("memory_mb", "bound_ms"),
    # The kernel frees the memory of a process, as much as a running instrument has, before it
    # closes its lines; beyond 200 ms the one-shot has long ended the light.
    [(0, BOUND_MS), (350, 200.0)],
)
def test_the_time_the_line_stays_high_after_kill_minus_9(
    rig: LightRig, capsys: pytest.CaptureFixture[str], memory_mb: int, bound_ms: float
) -> None:
    rig.supervisor()
    tries = [rig.kill_in_a_pulse(memory_mb) for _ in range(24)]
    high_ms = sorted(measured for measured in tries if measured is not None)
    with capsys.disabled():
        rounded = " ".join(f"{value:.2f}" for value in high_ms)
        print(f"\n{memory_mb} MB, high after kill -9, ms, n = {len(high_ms)}: {rounded}")  # noqa: T201
    assert len(high_ms) >= 20
    assert statistics.median(high_ms) < bound_ms


def test_a_frozen_instrument_that_keeps_an_exclusive_line_is_killed(rig: LightRig) -> None:
    supervisor = rig.supervisor()
    process = rig.instrument()
    light_up(process)
    os.kill(process.pid, signal.SIGSTOP)
    rig.wait_until(lambda: not rig.is_lit())
    assert process.wait() == -signal.SIGKILL
    assert [(edge.level, edge.pid) for edge in rig.edges()] == [
        (1, process.pid),
        (0, supervisor.pid),
    ]


def test_a_frozen_instrument_on_a_shared_line_lives_and_gives_light_again(
    tmp_path: Path, rig: LightRig
) -> None:
    lines = type(rig.lines)(rig.lines.folder, exclusive=False)
    inner = InnerSupervisor(LightConfig(max_pulse_ms=200.0), lines)
    rig.socket = inner.socket
    process = rig.instrument("shared")
    light_up(process)
    os.kill(process.pid, signal.SIGSTOP)
    rig.wait_until(lambda: not rig.is_lit())
    assert rig.edges()[-1].pid == os.getpid()
    os.kill(process.pid, signal.SIGCONT)
    go_on(process)
    assert hear(process).startswith("LIGHT-")
    assert gives_light(process)
    inner.close()


def test_without_a_supervisor_the_line_is_low_and_stays_low(gpio: FakeGpio) -> None:
    light = GpioLight(gpio, CONFIG, lambda: True, LightLease("/nowhere/light.sock", 0.0))
    gpio.set_input(PIN, gpio.HIGH)
    with pytest.raises(SupervisorError, match="no light supervisor"):
        light.open()
    assert gpio.level(PIN) == gpio.LOW


def test_a_supervisor_takes_a_line_that_a_killed_process_left_high(
    lines: MemoryLines, gpio: FakeGpio
) -> None:
    lines.drive(PIN, gpio.HIGH)
    supervisor = InnerSupervisor(CONFIG, lines)
    assert gpio.level(PIN) == gpio.LOW
    supervisor.close()


def test_when_the_supervisor_ends_in_a_pulse_the_light_goes_off_and_stays_off(
    gpio: FakeGpio, light: GpioLight, supervisor: InnerSupervisor
) -> None:
    light.open()

    def lose_it() -> None:
        with light.pulse(MAX_PULSE_MS):
            supervisor.close()
            wait_for_low(gpio)

    with pytest.raises(LightError) as caught:
        lose_it()
    assert caught.value.error_code == "LIGHT-SUPERVISOR"
    with pytest.raises(SupervisorError), light.pulse(10.0):
        pytest.fail("light without a supervisor")
    assert [edge.level for edge in gpio.edges(PIN)] == [1, 0]


def test_a_supervisor_that_was_started_again_is_found_again(
    gpio: FakeGpio, lines: MemoryLines, light: GpioLight, supervisor: InnerSupervisor
) -> None:
    light.open()
    supervisor.close()
    supervisor.socket.parent.mkdir()
    again = LightSupervisor(
        FakeGpio(lines), PIN, supervisor.socket, max_pulse_ms=MAX_PULSE_MS, grace_ms=GRACE_MS
    )
    again.open()
    with serving(again), light.pulse(MAX_PULSE_MS):
        assert gpio.level(PIN) == gpio.HIGH
    again.close()


@contextmanager
def serving(supervisor: LightSupervisor) -> Iterator[None]:
    thread = Thread(target=supervisor.serve)
    thread.start()
    try:
        yield
    finally:
        supervisor.stop()
        thread.join()


class Client:
    """Speaks to the supervisor by hand."""

    def __init__(self, path: Path) -> None:
        self.connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.connection.settimeout(10.0)
        self.connection.connect(str(path))

    def ask(self, message: str) -> str:
        self.connection.send(message.encode())
        return self.connection.recv(256).decode()


@pytest.fixture
def client(supervisor: InnerSupervisor) -> Iterator[Client]:
    client = Client(supervisor.socket)
    yield client
    client.connection.close()


def test_an_overdue_lease_ends_after_its_deadline_and_its_grace(
    gpio: FakeGpio, client: Client
) -> None:
    assert client.ask("hello 0") == "ok 0"
    gpio.setup(PIN, gpio.OUT, initial=gpio.HIGH)
    asked_s = time.monotonic()
    assert client.ask("on 1 30") == "ok 1"
    wait_for_low(gpio)
    fall_s = gpio.edges(PIN)[-1].time_s
    assert fall_s - asked_s >= (30.0 + GRACE_MS) / 1000.0
    assert client.connection.recv(256) == b""


def test_a_lease_that_was_ended_in_time_leaves_the_line_alone(
    gpio: FakeGpio, client: Client
) -> None:
    client.ask("hello 0")
    gpio.setup(PIN, gpio.OUT, initial=gpio.HIGH)
    client.ask("on 1 1000")
    client.connection.send(b"off 1")
    time.sleep((1000.0 + 2 * GRACE_MS) / 1000.0)
    assert client.ask("on 2 100") == "ok 2", "the connection was not dropped"
    assert gpio.level(PIN) == gpio.HIGH
    client.connection.close()
    wait_for_low(gpio)


@pytest.mark.parametrize("duration_ms", ["0", "-1", "10000.1", "inf", "nan"])
def test_a_lease_beyond_the_hard_maximum_is_refused(client: Client, duration_ms: str) -> None:
    client.ask("hello 0")
    assert client.ask(f"on 1 {duration_ms}").startswith("refused 1")


@pytest.mark.parametrize("message", ["on 1 50", "hello 7", "on", "on x 5", "on 1 soon", "?"])
def test_what_makes_no_sense_ends_the_connection_with_the_line_low(
    gpio: FakeGpio, client: Client, message: str
) -> None:
    if message != "on 1 50":
        client.ask("hello 0")
    gpio.setup(PIN, gpio.OUT, initial=gpio.HIGH)
    client.connection.send(message.encode())
    assert client.connection.recv(256) == b""
    wait_for_low(gpio)


def test_a_second_instrument_is_refused_and_the_first_one_goes_on(
    gpio: FakeGpio, light: GpioLight, supervisor: InnerSupervisor
) -> None:
    light.open()
    second = LightLease(str(supervisor.socket), connect_timeout_s=0.05)
    with pytest.raises(SupervisorError, match="another instrument"):
        second.connect()
    with light.pulse(MAX_PULSE_MS):
        assert gpio.level(PIN) == gpio.HIGH
    light.close()
    patient = LightLease(str(supervisor.socket))
    patient.connect()
    patient.close()


def test_a_second_supervisor_is_refused_and_the_first_one_goes_on(
    gpio: FakeGpio, light: GpioLight, supervisor: InnerSupervisor
) -> None:
    light.open()
    second = LightSupervisor(
        gpio, PIN, supervisor.socket, max_pulse_ms=MAX_PULSE_MS, grace_ms=GRACE_MS
    )
    with pytest.raises(DeviceError) as caught:
        second.open()
    assert caught.value.error_code == "LIGHT-SUPERVISOR"
    with light.pulse(MAX_PULSE_MS):
        assert gpio.level(PIN) == gpio.HIGH


def test_the_socket_of_a_killed_supervisor_does_not_hinder_the_next(rig: LightRig) -> None:
    first = rig.supervisor()
    first.kill()
    first.wait()
    assert rig.socket.exists()
    rig.supervisor()
    assert gives_light(rig.instrument())


def test_when_the_supervisor_is_killed_in_a_pulse_the_instrument_takes_the_line_low(
    rig: LightRig,
) -> None:
    supervisor = rig.supervisor()
    process = rig.instrument()
    light_up(process)
    supervisor.kill()
    rig.wait_until(lambda: not rig.is_lit())
    assert rig.edges()[-1].pid == process.pid
    go_on(process)
    assert hear(process).startswith("LIGHT-")
    light_edges = len(rig.edges())
    go_on(process)
    assert hear(process) == "LIGHT-SUPERVISOR"
    assert len(rig.edges()) == light_edges


def test_the_supervisor_ends_politely_with_its_socket_removed(rig: LightRig) -> None:
    process = rig.supervisor()
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 0
    assert not rig.socket.exists()


def test_only_its_own_user_may_use_the_socket(supervisor: InnerSupervisor) -> None:
    assert stat.S_IMODE(supervisor.socket.stat().st_mode) == 0o600


def test_a_supervisor_that_does_not_answer_gives_no_light(
    gpio: FakeGpio, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("s") / "light.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as frozen:
        frozen.bind(str(path))
        frozen.listen()
        light = GpioLight(gpio, CONFIG, lambda: True, LightLease(str(path), 0.0))
        with pytest.raises(SupervisorError, match="does not answer"):
            light.open()
    assert gpio.edges(PIN) == []


def test_the_lease_is_there_before_the_line_goes_high(gpio: FakeGpio) -> None:
    seen: list[tuple[str, int]] = []

    class Watched(LightLease):
        def connect(self) -> None:
            seen.append(("connect", gpio.level(PIN)))

        def is_live(self) -> bool:
            return True

        def begin(self, deadline_ms: float) -> None:
            seen.append((f"on {deadline_ms:g}", gpio.level(PIN)))

        def end(self) -> None:
            seen.append(("off", gpio.level(PIN)))

    light = GpioLight(gpio, CONFIG, lambda: True, Watched("unused"))
    light.open()
    with light.pulse(MAX_PULSE_MS):
        seen.append(("lit", gpio.level(PIN)))
    light.close()
    assert seen == [("connect", 0), ("on 10000", 0), ("lit", 1), ("off", 0)]


def test_lines_inside_the_process_cannot_be_supervised_from_outside() -> None:
    with pytest.raises(SettingsError, match="inside"):
        build_light_supervisor(HardwareConfig())
