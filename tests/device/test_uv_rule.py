"""The rule about UV light, situation by situation, on the recorded edges of the light's line.

Off after construction, after any exception, on close, on abort, on lid open, on loss of the
control loop's heartbeat, on process death.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event as Signal

import pytest
from small_instrument import TIMEOUT_S, SmallInstrument

from device.engine.state.states import State
from hal.config import LightConfig
from hal.sim.gpio.lines import Edge, FileLines

PIN = LightConfig().pin
EXPOSURE = 6
"""The exposure in which things happen; the first ones warm the LED and set the exposure."""


def edges(rig: SmallInstrument) -> list[Edge]:
    return rig.world.gpio.edges(PIN)


def in_a_pulse(rig: SmallInstrument, action: Callable[[], object]) -> list[int]:
    """Let ``action`` happen while the light is on; return where the number of edges comes then."""
    seen: list[int] = []

    def happen() -> None:
        assert rig.world.gpio.level(PIN) == 1
        seen.append(len(edges(rig)))
        action()

    rig.camera.at[EXPOSURE] = happen
    return seen


def assert_dark_since(rig: SmallInstrument, seen: list[int]) -> None:
    """The pulse in which it happened ended, and there was no other."""
    assert len(seen) == 1
    assert len(edges(rig)) == seen[0] + 1
    assert_every_pulse_ended(rig)


def assert_every_pulse_ended(rig: SmallInstrument) -> None:
    levels = [edge.level for edge in edges(rig)]
    assert levels == [1, 0] * (len(levels) // 2)
    assert rig.world.gpio.level(PIN) == 0


def test_off_after_construction_and_until_a_run_is_started(rig: SmallInstrument) -> None:
    rig.idle()
    assert edges(rig) == []
    rig.start()
    rig.wait_for(State.COMPLETE)
    assert edges(rig)[0].level == 1, "the recorder sees light where there is some"
    assert_every_pulse_ended(rig)


@pytest.mark.parametrize("error", [RuntimeError("a bug"), KeyError("another")])
def test_off_after_any_exception(rig: SmallInstrument, error: Exception) -> None:
    def fail() -> None:
        raise error

    seen = in_a_pulse(rig, fail)
    rig.start()
    rig.wait_for(State.FAULT)
    assert_dark_since(rig, seen)


def test_off_after_a_device_failure(rig: SmallInstrument) -> None:
    seen = in_a_pulse(rig, rig.sensor.unplug)
    rig.start()
    rig.wait_for(State.FAULT)
    assert_dark_since(rig, seen)


def test_off_on_close(rig: SmallInstrument) -> None:
    def close() -> None:
        rig.hardware.light.close()
        assert rig.world.gpio.level(PIN) == 0

    seen = in_a_pulse(rig, close)
    rig.start()
    rig.wait_for(State.FAULT)
    rig.instrument.close()
    assert_dark_since(rig, seen)


def test_off_when_the_instrument_is_closed_in_a_run(rig: SmallInstrument) -> None:
    taken = Signal()
    in_a_pulse(rig, taken.set)
    rig.start()
    assert taken.wait(TIMEOUT_S)
    rig.instrument.close()
    count = len(edges(rig))
    assert_every_pulse_ended(rig)
    assert count == len(edges(rig))


def test_off_on_abort(rig: SmallInstrument) -> None:
    seen = in_a_pulse(rig, rig.instrument.abort)
    rig.start()
    rig.wait_for(State.COMPLETE)
    assert_dark_since(rig, seen)


def test_off_on_lid_open_until_it_is_closed_and_acknowledged(rig: SmallInstrument) -> None:
    release = Signal()

    def open_the_lid() -> None:
        rig.world.set_lid(closed=False)
        give_up_s = time.monotonic() + TIMEOUT_S
        while rig.world.gpio.level(PIN) and time.monotonic() < give_up_s:
            release.wait(0.001)

    seen = in_a_pulse(rig, open_the_lid)
    rig.start()
    rig.wait_for(State.PAUSED)
    opened, *_ = [e for e in rig.world.gpio.edges(rig.settings.panel.lid_pin) if e.level == 0]
    fall = edges(rig)[-1]
    assert_dark_since(rig, seen)
    assert fall.time_s >= opened.time_s, "in the middle of the pulse"
    rig.world.set_lid(closed=True)
    rig.wait_until(
        lambda status: all(c.met for c in status.start_conditions if c.name == "lid_closed")
    )
    assert_dark_since(rig, seen)
    rig.instrument.resume()
    rig.wait_for(State.COMPLETE)
    assert len(edges(rig)) > seen[0] + 1
    assert_every_pulse_ended(rig)


def test_off_when_the_loop_that_owns_the_exposure_is_stuck(rig: SmallInstrument) -> None:
    stuck, release = Signal(), Signal()

    def hang() -> None:
        stuck.set()
        release.wait(TIMEOUT_S)

    seen = in_a_pulse(rig, hang)
    rig.start()
    assert stuck.wait(TIMEOUT_S)
    give_up_s = time.monotonic() + TIMEOUT_S
    while rig.world.gpio.level(PIN):
        assert time.monotonic() < give_up_s
        time.sleep(0.002)
    assert_dark_since(rig, seen)
    release.set()
    rig.wait_for(State.COMPLETE)
    assert_every_pulse_ended(rig)


class Processes:
    """`leukolux scan --sim` and `leukolux light-supervisor`, each a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._run = tempfile.TemporaryDirectory(prefix="leukolux-")
        self.lines = FileLines(folder / "lines", exclusive=False)
        self.settings = folder / "leukolux.toml"
        self.settings.write_text(
            f"[light]\nsupervisor_socket = {json.dumps(self._run.name + '/light.sock')}\n"
            f"[simulation]\ngpio_directory = {json.dumps(str(folder / 'lines'))}\n"
            f"[camera]\nwidth_px = 256\nheight_px = 192\n"
            f"[records]\nmin_free_mb = 1.0\n",
            encoding="utf-8",
        )
        self._all: list[subprocess.Popen[bytes]] = []

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        root = Path(__file__).resolve().parent.parent.parent
        process = subprocess.Popen(
            [sys.executable, "-c", "from webui.cli.main import cli; cli()", *words],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._all.append(process)
        return process

    def wait_for(self, level: int, process: subprocess.Popen[bytes]) -> None:
        give_up_s = time.monotonic() + 200.0
        while (self.lines.level(PIN) or 0) != level:
            assert time.monotonic() < give_up_s
            assert level == 0 or process.poll() is None, "the scan ended"
            time.sleep(0.0005)

    def close(self) -> None:
        for process in self._all:
            process.kill()
            process.wait()
        self._run.cleanup()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path)
    yield processes
    processes.close()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_off_on_process_death(processes: Processes) -> None:
    settings = str(processes.settings)
    supervisor = processes.start("light-supervisor", "--settings", settings)
    for _ in range(10):
        scan = processes.start("scan", "--sim", "--settings", settings, "--speed", "1")
        processes.wait_for(1, scan)
        killed_s = time.monotonic()
        os.kill(scan.pid, signal.SIGKILL)
        scan.wait()
        processes.wait_for(0, scan)
        seen = [edge for edge in processes.lines.edges() if edge.pin == PIN]
        assert seen[-1].level == 0
        assert {edge.pid for edge in seen} == {supervisor.pid}
        if seen[-1].time_s > killed_s:
            return
    pytest.fail("the scan was never killed within a pulse")
