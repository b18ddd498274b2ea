"""Whom `line_low_or_fail` kills when a light supervisor does not answer, and whom never."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from light_rig import PATIENCE_S, PIN

from hal.clock import ManualClock, SystemClock
from hal.errors import LightError, SilentSupervisorError, SupervisorError
from hal.light import supervised_line, supervised_off
from hal.light.supervised_off import line_low_or_fail
from hal.light.supervisor import pid_file
from hal.sim.gpio.module import FakeGpio


@pytest.fixture
def silent(socket_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The socket of a supervisor that takes every call and never answers."""
    monkeypatch.setattr(supervised_line, "ANSWER_TIMEOUT_S", 0.01)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(socket_path))
        listener.listen()
        yield socket_path


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """Some process."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def listens(monkeypatch: pytest.MonkeyPatch, *answers: bool) -> None:
    """Let each look at who listens find what ``answers`` say."""
    left = iter(answers)
    monkeypatch.setattr(supervised_off, "supervisor_listens", lambda _: next(left))


def test_a_process_that_took_over_the_number_of_a_supervisor_is_not_killed(
    silent: Path, sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    pid_file(silent).write_text(str(sleeper.pid), encoding="ascii")
    listens(monkeypatch, True, False, False)
    opened = len(list(Path("/proc/self/fd").iterdir()))
    assert not line_low_or_fail(FakeGpio(), PIN, silent, SystemClock(), PATIENCE_S)
    assert len(list(Path("/proc/self/fd").iterdir())) == opened
    assert sleeper.poll() is None


def test_a_process_whose_number_another_supervisor_has_replaced_is_not_killed(
    silent: Path, sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    pid_file(silent).write_text(str(sleeper.pid), encoding="ascii")
    opened = os.pidfd_open

    def open_late(pid: int) -> int:
        process = opened(pid)
        pid_file(silent).write_text("1", encoding="ascii")
        return process

    monkeypatch.setattr(os, "pidfd_open", open_late)
    listens(monkeypatch, True, True, False)
    assert not line_low_or_fail(FakeGpio(), PIN, silent, SystemClock(), PATIENCE_S)
    assert sleeper.poll() is None


@pytest.mark.timeout(60)
def test_a_second_supervisor_that_does_not_answer_is_a_failure_and_is_not_killed(
    silent: Path, sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    pid_file(silent).write_text(str(sleeper.pid), encoding="ascii")
    kill, killed = supervised_off._kill_supervisor, []

    def started_again(path: Path, pin: int) -> None:
        kill(path, pin)
        killed.append(path)
        assert len(killed) == 1

    monkeypatch.setattr(supervised_off, "_kill_supervisor", started_again)
    with pytest.raises(LightError) as caught:
        line_low_or_fail(FakeGpio(), PIN, silent, SystemClock(), PATIENCE_S)
    assert caught.value.error_code == "LIGHT-UNVERIFIED-SILENT"
    assert sleeper.wait(PATIENCE_S) == -9


def test_a_supervisor_that_outlives_its_kill_is_a_failure(
    silent: Path, sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    pid_file(silent).write_text(str(sleeper.pid), encoding="ascii")
    monkeypatch.setattr(supervised_off, "END_MS", 10.0)
    monkeypatch.setattr(signal, "pidfd_send_signal", lambda *_: None)
    with pytest.raises(LightError) as caught:
        line_low_or_fail(FakeGpio(), PIN, silent, SystemClock(), PATIENCE_S)
    assert caught.value.error_code == "LIGHT-UNVERIFIED-ALIVE"


@pytest.mark.parametrize("content", [None, "", "light"])
def test_a_silent_supervisor_whose_number_nobody_knows_is_a_failure(
    silent: Path, content: str | None
) -> None:
    if content is not None:
        pid_file(silent).write_text(content, encoding="ascii")
    with pytest.raises(LightError) as caught:
        line_low_or_fail(FakeGpio(), PIN, silent, SystemClock(), PATIENCE_S)
    assert caught.value.error_code == "LIGHT-UNVERIFIED-PROCESS"


@pytest.mark.parametrize("error", [PermissionError("not yours"), ValueError("no number")])
def test_a_supervisor_that_may_not_be_killed_is_a_failure(
    silent: Path,
    sleeper: subprocess.Popen[bytes],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    def refuse(*_: object) -> None:
        raise error

    pid_file(silent).write_text(str(sleeper.pid), encoding="ascii")
    monkeypatch.setattr(signal, "pidfd_send_signal", refuse)
    with pytest.raises(LightError) as caught:
        line_low_or_fail(FakeGpio(), PIN, silent, SystemClock(), PATIENCE_S)
    assert caught.value.error_code == "LIGHT-UNVERIFIED-KILL"


BUSY = SupervisorError("LIGHT-SUPERVISOR-REFUSES", reason="another instrument is connected")
TAKEN = LightError("LIGHT-LINE-TAKEN", pin=PIN, patience_s=0.0, reason="busy")


@pytest.mark.parametrize(("error", "code"), [(BUSY, "LIGHT-UNVERIFIED"), (TAKEN, TAKEN.error_code)])
def test_a_line_in_use_is_tried_again_for_as_long_as_the_patience_lasts(
    monkeypatch: pytest.MonkeyPatch, error: LightError, code: str
) -> None:
    tries: list[float] = []
    clock = ManualClock()

    def low_now(*_: object) -> bool:
        tries.append(clock.monotonic_s())
        if len(tries) % 4:
            raise error
        return True

    monkeypatch.setattr(supervised_off, "_low_now", low_now)
    assert line_low_or_fail(FakeGpio(), PIN, Path("/nowhere"), clock, PATIENCE_S)
    assert len(tries) == 4
    assert tries[-1] > tries[0]
    with pytest.raises(LightError) as caught:
        line_low_or_fail(FakeGpio(), PIN, Path("/nowhere"), clock, 0.0)
    assert caught.value.error_code == code
    assert len(tries) == 5


def test_after_a_kill_the_patience_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = iter([SilentSupervisorError("LIGHT-SUPERVISOR-QUEUE"), TAKEN, TAKEN])

    def low_now(*_: object) -> bool:
        for error in errors:
            raise error
        return False

    monkeypatch.setattr(supervised_off, "_low_now", low_now)
    monkeypatch.setattr(supervised_off, "_kill_supervisor", lambda *_: None)
    assert not line_low_or_fail(FakeGpio(), PIN, Path("/nowhere"), ManualClock(), PATIENCE_S)
