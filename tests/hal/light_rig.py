"""Instrument and light supervisor as processes of their own, on lines that outlive them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from hal.config import LightConfig
from hal.light.supervisor import LightSupervisor
from hal.light.switch_off import supervisor_listens
from hal.sim.gpio.lines import Edge, FileLines
from hal.sim.gpio.module import FakeGpio

PIN = LightConfig().pin
PULSE_MS = 200.0
LONG_PULSE_MS = 10_000.0
PATIENCE_S = 30.0
HERE = Path(__file__).resolve().parent
COMMAND = "from webui.cli.main import cli; cli()"
PATIENT = """
import sys
from pathlib import Path
from threading import Thread
from hal.light.supervisor import LightSupervisor
from hal.sim.gpio.module import FakeGpio
from hal.sim.gpio.lines import FileLines
gpio, path = FakeGpio(FileLines(Path(sys.argv[1]))), Path(sys.argv[2])
if sys.argv[5:] == ["stuck"]:
    gpio.lines.stick(int(sys.argv[3]), 1)
supervisor = LightSupervisor(gpio, int(sys.argv[3]), path, max_pulse_ms=float(sys.argv[4]))
supervisor.open()
supervisor.serve()
"""


@contextmanager
def serving(supervisor: LightSupervisor) -> Iterator[None]:
    """Let a supervisor serve on a thread."""
    thread = Thread(target=supervisor.serve)
    thread.start()
    try:
        yield
    finally:
        supervisor.stop()
        thread.join(PATIENCE_S)


def wait_for_low(gpio: FakeGpio) -> None:
    """Wait until the light's line is low."""
    give_up_s = time.monotonic() + PATIENCE_S
    while gpio.level(PIN) == gpio.HIGH:
        assert time.monotonic() < give_up_s, "the line stays high"
        time.sleep(0.001)


class LightRig:
    """Starts and ends processes; sees the line as an oscilloscope does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # The path of a socket must be short.
        self._run = tempfile.TemporaryDirectory(prefix="leukolux-")
        self.socket = Path(self._run.name) / "light.sock"
        self.lines = FileLines(folder / "lines", exclusive=False)
        self._processes: list[subprocess.Popen[str]] = []
        self.settings = folder / "leukolux.toml"
        self.settings.write_text(
            f"[simulation]\ngpio_directory = {json.dumps(str(folder / 'lines'))}\n"
            f"[light]\nsupervisor_socket = {json.dumps(str(self.socket))}\n"
            f"max_pulse_ms = {PULSE_MS}\n",
            encoding="utf-8",
        )

    def supervisor(self) -> subprocess.Popen[str]:
        """Start `leukolux light-supervisor`, and wait until it listens."""
        return self._listening(
            ["-c", COMMAND, "light-supervisor", "--settings", str(self.settings)]
        )

    def patient_supervisor(self, *, stuck: bool = False) -> subprocess.Popen[str]:
        """Start one that allows pulses far longer than any delay of a loaded computer.

        Its line may be stuck high.
        """
        given = (self.folder / "lines", self.socket, PIN, LONG_PULSE_MS, *["stuck"] * stuck)
        return self._listening(["-c", PATIENT, *map(str, given)])

    def _listening(self, words: list[str]) -> subprocess.Popen[str]:
        process = self._start(words)
        # A killed supervisor leaves its socket behind.
        self.wait_until(lambda: supervisor_listens(self.socket))
        return process

    def instrument(
        self, *, pulse_ms: float = PULSE_MS, memory_mb: int = 0
    ) -> subprocess.Popen[str]:
        """Start a process with an open light that fills some memory."""
        given = (self.folder / "lines", self.socket, pulse_ms, memory_mb)
        process = self._start([str(HERE / "lit_process.py"), *map(str, given)])
        assert hear(process) == "open"
        return process

    def edges(self) -> list[Edge]:
        """Return all edges of the light's line."""
        return [edge for edge in self.lines.edges() if edge.pin == PIN]

    def is_lit(self) -> bool:
        """Whether the line is high."""
        return self.lines.level(PIN) == 1

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that another process does."""
        give_up_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < give_up_s, "never happened"
            time.sleep(0.0005)

    def kill_in_a_pulse(
        self, *, pulse_ms: float = PULSE_MS, memory_mb: int = 0
    ) -> tuple[float, float]:
        """Kill -9 an instrument whose light is on.

        Returns how long the line was high, and how much of that after the kill, ms; the latter is
        negative when this computer was so slow that the pulse was over before the kill.
        """
        process = self.instrument(pulse_ms=pulse_ms, memory_mb=memory_mb)
        before = len(self.edges())
        light_up(process)
        os.kill(process.pid, signal.SIGKILL)
        killed_s = time.monotonic()
        self.wait_until(lambda: not self.is_lit())
        process.wait()
        rise, fall = self.edges()[before:]
        assert (rise.level, fall.level) == (1, 0)
        return (fall.time_s - rise.time_s) * 1000.0, (fall.time_s - killed_s) * 1000.0

    def close(self) -> None:
        """End every process that was started."""
        for process in self._processes:
            process.kill()
            process.communicate()
        self._run.cleanup()

    def _start(self, words: list[str]) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=HERE.parent.parent,
            env={**os.environ, "PYTHONPATH": str(HERE.parent.parent)},
        )
        self._processes.append(process)
        return process


def hear(process: subprocess.Popen[str]) -> str:
    """Return the next word of a process."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def light_up(process: subprocess.Popen[str]) -> None:
    """Let an instrument give a pulse, and return when the light is on."""
    go_on(process)
    assert hear(process) == "lit"


def gives_light(process: subprocess.Popen[str]) -> bool:
    """Whether a pulse works; one that a busy computer made late is given again."""
    for _ in range(20):
        go_on(process)
        if (word := hear(process)) == "lit":
            go_on(process)
            word = hear(process)
        if word != "LIGHT-DEADLINE":
            return word == "over"
    return False


def go_on(process: subprocess.Popen[str]) -> None:
    """Send a line: it begins a pulse, or ends it."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
