"""The light supervisor: what it drives, when, and for whom; seen on recorded edges."""

from __future__ import annotations

import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from light_rig import LONG_PULSE_MS, PIN, serving, wait_for_low

from hal.config import HardwareConfig, LightConfig, SimulationConfig
from hal.errors import DeviceError, LightError, SettingsError, SupervisorError
from hal.factory import build_light_supervisor
from hal.light.gpio_light import GpioLight
from hal.light.supervised_line import SupervisedLine
from hal.light.supervisor import LightSupervisor, pid_file
from hal.sim.gpio.lines import FileLines, MemoryLines
from hal.sim.gpio.module import FakeGpio
from hal.sim.gpio.supervisor import InnerSupervisor

# Far beyond what the settings allow: a loaded computer takes its time inside a pulse.
MAX_PULSE_MS = LONG_PULSE_MS
CONFIG = LightConfig().model_copy(update={"max_pulse_ms": MAX_PULSE_MS})


@pytest.fixture
def lines() -> MemoryLines:
    return MemoryLines()


@pytest.fixture
def gpio(lines: MemoryLines) -> FakeGpio:
    return FakeGpio(lines)


@pytest.fixture
def supervisor(gpio: FakeGpio) -> Iterator[InnerSupervisor]:
    supervisor = InnerSupervisor(CONFIG, gpio)
    yield supervisor
    supervisor.close()


@pytest.fixture
def light(lines: MemoryLines, supervisor: InnerSupervisor) -> Iterator[GpioLight]:
    light = light_at(supervisor.socket, FakeGpio(lines))
    yield light
    light.close()


def light_at(path: Path, gpio: FakeGpio, connect_timeout_s: float = 2.0) -> GpioLight:
    line = SupervisedLine(path, gpio, PIN, connect_timeout_s)
    return GpioLight(line, CONFIG, lambda: True)


def test_without_a_supervisor_the_line_is_low_and_stays_low(gpio: FakeGpio) -> None:
    light = light_at(Path("/nowhere/light.sock"), gpio, 0.0)
    gpio.set_input(PIN, gpio.HIGH)
    with pytest.raises(SupervisorError, match="no light supervisor"):
        light.open()
    assert gpio.level(PIN) == gpio.LOW


def test_a_supervisor_takes_a_line_that_a_killed_process_left_high(
    lines: MemoryLines, gpio: FakeGpio
) -> None:
    lines.drive(PIN, gpio.HIGH)
    supervisor = InnerSupervisor(CONFIG, gpio)
    assert gpio.level(PIN) == gpio.LOW
    supervisor.close()


def test_when_the_supervisor_ends_in_a_pulse_the_light_goes_off_and_stays_off(
    gpio: FakeGpio, lines: MemoryLines, supervisor: InnerSupervisor
) -> None:
    light = light_at(supervisor.socket, FakeGpio(lines), 0.0)
    light.open()

    def lose_it() -> None:
        with light.pulse(MAX_PULSE_MS):
            supervisor.close()
            wait_for_low(gpio)
            give_up_s = time.monotonic() + 30.0
            while light.is_on:
                assert time.monotonic() < give_up_s, "the pulse goes on"
                time.sleep(0.001)
            assert light.on_time_s < MAX_PULSE_MS / 1000.0 - 1.0

    with pytest.raises(LightError) as caught:
        lose_it()
    assert caught.value.error_code == "LIGHT-SUPERVISOR-ENDED"
    with pytest.raises(SupervisorError), light.pulse(10.0):
        pytest.fail("light without a supervisor")
    light.close()
    assert [edge.level for edge in gpio.edges(PIN)] == [1, 0]


def test_a_supervisor_that_was_started_again_is_found_again(
    gpio: FakeGpio, lines: MemoryLines, light: GpioLight, supervisor: InnerSupervisor
) -> None:
    light.open()
    supervisor.close()
    supervisor.socket.parent.mkdir()
    again = LightSupervisor(FakeGpio(lines), PIN, supervisor.socket, max_pulse_ms=MAX_PULSE_MS)
    again.open()
    with serving(again), light.pulse(MAX_PULSE_MS):
        assert gpio.level(PIN) == gpio.HIGH
    again.close()


class Client:
    """Speaks to the supervisor by hand."""

    def __init__(self, path: Path) -> None:
        self.connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.connection.settimeout(30.0)
        self.connection.connect(str(path))

    def ask(self, message: str) -> str:
        self.connection.send(message.encode())
        return self.connection.recv(256).decode()

    def on(self, serial: int, duration_ms: float) -> str:
        return self.ask(f"on {serial} {time.monotonic() + duration_ms / 1000.0!r}")


@pytest.fixture
def client(supervisor: InnerSupervisor) -> Iterator[Client]:
    client = Client(supervisor.socket)
    yield client
    client.connection.close()


def test_a_pulse_ends_at_its_deadline_and_the_next_one_is_given(
    gpio: FakeGpio, client: Client
) -> None:
    assert client.ask("hello 0") == "hello 0 ok"
    for serial in (1, 2):
        asked_s = time.monotonic()
        assert client.on(serial, 30.0) == f"on {serial} ok"
        wait_for_low(gpio)
        assert gpio.edges(PIN)[-1].time_s - asked_s >= 0.03
    assert [edge.level for edge in gpio.edges(PIN)] == [1, 0, 1, 0]


def test_the_answers_come_when_the_line_is_as_it_was_asked_for(
    gpio: FakeGpio, client: Client
) -> None:
    client.ask("hello 0")
    for serial in range(1, 20):
        client.on(serial, MAX_PULSE_MS)
        assert gpio.level(PIN) == gpio.HIGH
        assert client.ask(f"off {serial}") == f"off {serial} ok"
        assert gpio.level(PIN) == gpio.LOW
    assert client.ask("off 0") == "off 0 ok", "at any time"


@pytest.mark.parametrize("duration_ms", [10_100.0, 1e9, float("inf"), float("nan")])
def test_a_pulse_beyond_the_hard_maximum_is_refused(
    gpio: FakeGpio, client: Client, duration_ms: float
) -> None:
    client.ask("hello 0")
    assert client.on(1, duration_ms).startswith("on 1 refused")
    assert gpio.edges(PIN) == []


@pytest.mark.parametrize("duration_ms", [0.0, -1.0, float("-inf")])
def test_an_order_that_comes_after_its_deadline_gives_no_light(
    gpio: FakeGpio, client: Client, duration_ms: float
) -> None:
    client.ask("hello 0")
    assert client.on(1, duration_ms).startswith("on 1 failed LIGHT-DEADLINE")
    assert gpio.edges(PIN) == []


def test_an_instrument_that_is_too_slow_for_its_own_deadline_is_told_so(
    gpio: FakeGpio, light: GpioLight
) -> None:
    light.open()
    with pytest.raises(LightError) as caught, light.pulse(1e-9):
        pytest.fail("the block was entered")
    assert caught.value.error_code == "LIGHT-DEADLINE"
    assert gpio.edges(PIN) == []


@pytest.mark.parametrize(
    "message", ["hello 0", "on", "on x 5", "on 2 soon", "on 2 5", "off x", "?"]
)
def test_what_makes_no_sense_in_a_pulse_ends_it_and_the_connection(
    gpio: FakeGpio, client: Client, message: str
) -> None:
    client.ask("hello 0")
    client.on(1, MAX_PULSE_MS)
    assert client.ask(message) == ""
    assert [edge.level for edge in gpio.edges(PIN)] == [1, 0]


@pytest.mark.parametrize("message", ["on 1 50", "off 1", "hello 7"])
def test_who_does_not_greet_is_not_served(gpio: FakeGpio, client: Client, message: str) -> None:
    assert client.ask(message) == ""
    assert gpio.edges(PIN) == []


def test_a_line_that_fails_is_told_with_its_cause(
    gpio: FakeGpio, light: GpioLight, supervisor: InnerSupervisor
) -> None:
    gpio.fail(PIN)
    with pytest.raises(LightError, match="does not answer") as caught:
        light.open()
    assert caught.value.error_code == "LIGHT-LINE"
    gpio.fail(PIN, failing=False)
    light.open()
    gpio.fail(PIN)
    with pytest.raises(LightError, match="does not answer") as caught, light.pulse(100.0):
        pytest.fail("the block was entered")
    assert caught.value.error_code == "LIGHT-LINE"
    assert gpio.edges(PIN) == []
    gpio.fail(PIN, failing=False)


def test_a_line_that_reads_high_when_driven_low_is_told(
    lines: MemoryLines, gpio: FakeGpio, light: GpioLight
) -> None:
    lines.stick(PIN, gpio.HIGH)
    with pytest.raises(LightError) as caught:
        light.open()
    assert caught.value.error_code == "LIGHT-STUCK"
    lines.stick(PIN, None)
    light.open()


def test_a_line_that_somebody_holds_is_taken_when_the_instrument_comes_again(
    tmp_path: Path,
) -> None:
    other = FakeGpio(FileLines(tmp_path))
    other.setup(PIN, other.OUT, initial=other.LOW)
    supervisor = InnerSupervisor(CONFIG, FakeGpio(FileLines(tmp_path)))
    light = light_at(supervisor.socket, other)
    with pytest.raises(LightError, match="in use") as caught:
        light.open()
    assert caught.value.error_code == "LIGHT-LINE"
    other.cleanup(PIN)
    light.open()
    with light.pulse(MAX_PULSE_MS):
        assert other.level(PIN) == other.HIGH
    light.close()
    supervisor.close()


def test_a_line_that_does_not_obey_is_driven_low_until_it_does(
    gpio: FakeGpio, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    obey = gpio.output
    refusals = iter(range(5))

    def output(channel: int, level: int) -> None:
        if level == gpio.LOW and next(refusals, None) is not None:
            raise OSError("no answer")
        obey(channel, level)

    client.ask("hello 0")
    client.on(1, MAX_PULSE_MS)
    monkeypatch.setattr(gpio, "output", output)
    assert client.ask("off 1") == "off 1 failed LIGHT-LINE no answer"
    assert gpio.level(PIN) == gpio.HIGH
    wait_for_low(gpio)
    assert client.ask("off 1") == "off 1 ok"


def test_a_second_instrument_is_refused_and_the_first_one_goes_on(
    gpio: FakeGpio, light: GpioLight, supervisor: InnerSupervisor
) -> None:
    light.open()
    second = SupervisedLine(supervisor.socket, gpio, PIN, connect_timeout_s=0.05)
    with pytest.raises(SupervisorError, match="another instrument"):
        second.open()
    with light.pulse(MAX_PULSE_MS):
        assert gpio.level(PIN) == gpio.HIGH
    light.close()
    patient = SupervisedLine(supervisor.socket, gpio, PIN)
    patient.open()
    patient.close()


def test_a_second_supervisor_is_refused_and_the_first_one_goes_on(
    gpio: FakeGpio, light: GpioLight, supervisor: InnerSupervisor
) -> None:
    light.open()
    second = LightSupervisor(gpio, PIN, supervisor.socket, max_pulse_ms=MAX_PULSE_MS)
    with pytest.raises(DeviceError) as caught:
        second.open()
    assert caught.value.error_code == "LIGHT-SUPERVISOR-TWICE"
    with light.pulse(MAX_PULSE_MS):
        assert gpio.level(PIN) == gpio.HIGH


def test_only_its_own_user_may_use_socket_and_lock(supervisor: InnerSupervisor) -> None:
    for path in (supervisor.socket, pid_file(supervisor.socket)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_supervisor_that_does_not_answer_gives_no_light(
    gpio: FakeGpio, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("s") / "light.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as frozen:
        frozen.bind(str(path))
        frozen.listen()
        with pytest.raises(SupervisorError, match="does not answer"):
            light_at(path, gpio, 0.0).open()
    assert gpio.edges(PIN) == []


def test_the_service_manager_gets_heartbeats_without_an_instrument(
    gpio: FakeGpio, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("s") / "light.sock"
    supervisor = LightSupervisor(gpio, PIN, path, max_pulse_ms=MAX_PULSE_MS)
    supervisor.open()
    beats = iter(range(3))

    def heartbeat() -> None:
        if next(beats, None) is None:
            supervisor.stop()

    supervisor.serve(heartbeat)
    supervisor.close()


def test_on_lines_in_files_current_follows_what_the_supervisor_drives(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("s") / "light.sock"
    config = HardwareConfig(
        light=CONFIG.model_copy(update={"readback_pin": 37, "supervisor_socket": str(path)}),
        simulation=SimulationConfig(gpio_directory=str(tmp_path)),
    )
    supervisor = build_light_supervisor(config)
    supervisor.open()
    seen = FileLines(tmp_path)
    line = SupervisedLine(path, FakeGpio(seen), PIN)
    with serving(supervisor):
        line.open()
        assert seen.level(37) == 0
        line.on(time.monotonic() + 9.0)
        line.off()
        line.close()
    supervisor.close()
    assert [(edge.pin, edge.level) for edge in seen.edges()] == [
        (PIN, 1),
        (37, 1),
        (PIN, 0),
        (37, 0),
    ]


def test_lines_inside_the_process_cannot_be_supervised_from_outside() -> None:
    with pytest.raises(SettingsError, match="inside"):
        build_light_supervisor(HardwareConfig())
