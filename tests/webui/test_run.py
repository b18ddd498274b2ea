"""``leukolux run`` under systemd: up when it is up, and every state told."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from threading import Event as Signal
from threading import Thread
from typing import cast

import pytest
from instrument_double import InstrumentDouble
from notify_socket import NotifySocket

from device.engine.state.states import State
from device.instrument import Instrument
from device.system.service_manager import ServiceManager
from webui.cli.run import report

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = "from webui.cli.main import main; main()"


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[NotifySocket]:
    with NotifySocket(str(tmp_path / "notify")) as listening:
        yield listening


@pytest.fixture
def reporting(instrument: InstrumentDouble, systemd: NotifySocket) -> Iterator[None]:
    instrument.become(state=State.BOOTING, activity="Starting.")
    manager = ServiceManager.from_environment({"NOTIFY_SOCKET": systemd.address})
    stop = Signal()
    thread = Thread(target=report, args=(cast(Instrument, instrument), manager, stop))
    thread.start()
    yield
    stop.set()
    instrument.become()
    thread.join()


@pytest.mark.usefixtures("reporting")
def test_ready_is_said_once_and_not_while_booting(
    instrument: InstrumentDouble, systemd: NotifySocket
) -> None:
    assert systemd.next() == {"STATUS": "booting: Starting."}
    instrument.become(activity="Opening the stage.")
    assert systemd.next() == {"STATUS": "booting: Opening the stage."}
    instrument.become(state=State.SELF_TEST, activity="Testing itself.")
    assert systemd.next() == {"STATUS": "self test: Testing itself."}
    assert systemd.next() == {"READY": "1"}
    instrument.become(state=State.IDLE, activity="Waiting for a sample.")
    assert systemd.next() == {"STATUS": "idle: Waiting for a sample."}


@pytest.mark.usefixtures("reporting")
def test_an_instrument_that_fails_while_booting_is_up_to_show_it(
    instrument: InstrumentDouble, systemd: NotifySocket
) -> None:
    instrument.become(state=State.FAULT, activity="Stopped by a failure.")
    assert "READY" in systemd.until("READY")[-1]


@pytest.mark.slow
def test_the_program_is_up_when_it_says_so_and_ends_by_sigterm(
    systemd: NotifySocket, tmp_path: Path
) -> None:
    settings = tmp_path / "leukolux.toml"
    settings.write_text(f'[records]\ndirectory = "{tmp_path}/data"\n', encoding="utf-8")
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "run", "--sim", "--port", "0", "--settings", str(settings)],
        cwd=ROOT,
        env={
            **os.environ,
            "NOTIFY_SOCKET": systemd.address,
            "WATCHDOG_USEC": "2000000",
            "PYTHONUNBUFFERED": "1",
        },
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        systemd.until("READY", timeout_s=60.0)
        assert program.stdout is not None
        address = re.search(r"http://\S+", program.stdout.readline())
        assert address is not None
        with urllib.request.urlopen(address[0], timeout=10.0) as answer:
            assert answer.status == 200
        systemd.until("WATCHDOG", timeout_s=10.0)
        program.send_signal(signal.SIGTERM)
        systemd.until("STOPPING", timeout_s=30.0)
        assert program.wait(timeout=30.0) == 0
    finally:
        program.kill()
        program.communicate()
