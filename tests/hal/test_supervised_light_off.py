"""`leukolux light-off --supervisor` reports a line as low only if somebody read it back."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Timer

import pytest
from light_rig import COMMAND, LONG_PULSE_MS, PIN, LightRig, gives_light, light_up

from hal.light.supervisor import pid_file

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[LightRig]:
    rig = LightRig(tmp_path)
    yield rig
    rig.close()


def light_off(rig: LightRig, patience_s: float = 2.0) -> tuple[int, str]:
    words = ["--settings", rig.settings, "--supervisor", rig.socket, "--patience-s", patience_s]
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "light-off", *map(str, words)],
        capture_output=True,
        text=True,
        cwd=rig.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def frozen_in_a_pulse(rig: LightRig) -> subprocess.Popen[str]:
    """A supervisor that stands still with the light on; the instrument has ended."""
    supervisor = rig.patient_supervisor()
    instrument = rig.instrument(pulse_ms=LONG_PULSE_MS)
    light_up(instrument)
    supervisor.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, supervisor.pid, os.WSTOPPED | os.WNOWAIT)
    instrument.kill()
    instrument.wait()
    assert rig.is_lit()
    return supervisor


def test_a_frozen_supervisor_that_holds_the_line_high_is_killed_and_the_line_taken_low(
    rig: LightRig,
) -> None:
    supervisor = frozen_in_a_pulse(rig)
    code, output = light_off(rig)
    assert not rig.is_lit()
    assert code == 0
    assert f"The UV line (pin {PIN}) is low." in output
    assert supervisor.wait() == -signal.SIGKILL


def test_a_frozen_supervisor_that_cannot_be_killed_is_a_failure(rig: LightRig) -> None:
    frozen_in_a_pulse(rig)
    pid_file(rig.socket).write_text("", encoding="ascii")
    code, output = light_off(rig)
    assert rig.is_lit()
    assert code == 3
    assert "LIGHT-UNVERIFIED" in output


def test_a_frozen_supervisor_with_a_full_queue_of_callers_is_killed_as_well(rig: LightRig) -> None:
    frozen_in_a_pulse(rig)
    with ExitStack() as callers:
        while True:
            caller = callers.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            caller.setblocking(False)
            if caller.connect_ex(str(rig.socket)) == errno.EAGAIN:
                break
        code, _ = light_off(rig)
    assert (code, rig.is_lit()) == (0, False)


def test_a_frozen_supervisor_that_the_service_manager_kills_first_leaves_a_line_to_take_low(
    rig: LightRig,
) -> None:
    supervisor = frozen_in_a_pulse(rig)
    # Killed by nobody else: without its number only the service manager can.
    pid_file(rig.socket).write_text("", encoding="ascii")
    watchdog = Timer(0.5, supervisor.kill)
    watchdog.start()
    code, _ = light_off(rig)
    watchdog.join()
    assert (code, rig.is_lit()) == (0, False)


def test_a_live_supervisor_takes_its_line_low_reads_it_back_and_lives_on(rig: LightRig) -> None:
    supervisor = rig.supervisor()
    rig.lines.drive(PIN, 1)
    code, output = light_off(rig)
    assert (code, rig.is_lit()) == (0, False)
    assert "supervisor" in output
    assert supervisor.poll() is None
    assert gives_light(rig.instrument())


def test_a_line_that_the_supervisor_reads_high_is_a_failure(rig: LightRig) -> None:
    rig.patient_supervisor(stuck=True)
    code, output = light_off(rig, patience_s=0.0)
    assert code == 3
    assert "LIGHT-STUCK" in output


def test_a_supervisor_that_serves_an_instrument_is_not_taken_for_dark(rig: LightRig) -> None:
    supervisor = rig.patient_supervisor()
    instrument = rig.instrument(pulse_ms=LONG_PULSE_MS)
    light_up(instrument)
    code, output = light_off(rig, patience_s=0.2)
    assert rig.is_lit()
    assert code == 3
    assert "LIGHT-UNVERIFIED" in output
    assert supervisor.poll() is None
