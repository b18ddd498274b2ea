"""What systemd hears: nothing without a socket, and heartbeats only from the loop that works."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event as Signal
from threading import Thread

import pytest
from notify_socket import NotifySocket
from small_instrument import TIMEOUT_S, SmallInstrument

from device.engine import engine
from device.engine.state.states import State
from device.instrument import Instrument
from device.system.service_manager import ServiceManager
from hal.clock import ManualClock, SystemClock
from hal.panel.gpio_panel import GpioPanel

WATCHDOG_S = 8.0
SILENCE_S = 0.5


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[NotifySocket]:
    with NotifySocket(str(tmp_path / "notify")) as listening:
        yield listening


def environment(systemd: NotifySocket, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": systemd.address, "PATH": "/bin", **more}


def watching(systemd: NotifySocket, clock: ManualClock | None = None) -> ServiceManager:
    """A manager with a watchdog of ``WATCHDOG_S``."""
    usec = {"WATCHDOG_USEC": f"{WATCHDOG_S * 1e6:.0f}", "WATCHDOG_PID": str(os.getpid())}
    return ServiceManager.from_environment(environment(systemd, **usec), clock or ManualClock())


def test_each_message_is_what_systemd_expects(systemd: NotifySocket) -> None:
    manager = ServiceManager.from_environment(environment(systemd))
    assert manager.listens
    manager.status("idle: waiting\nfor a sample.")
    manager.ready()
    manager.stopping()
    assert systemd.waiting() == [
        {"STATUS": "idle: waiting for a sample."},
        {"READY": "1"},
        {"STOPPING": "1"},
    ]


def test_an_abstract_socket_is_spoken_to() -> None:
    with NotifySocket(f"@leukolux-test-{os.getpid()}") as systemd:
        ServiceManager.from_environment(environment(systemd)).ready()
        assert systemd.waiting() == [{"READY": "1"}]


@pytest.mark.parametrize("address", [None, "", "vsock:2:1234", "notify"])
def test_without_a_socket_nothing_happens(
    address: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with NotifySocket(str(tmp_path / "notify")) as systemd:
        given = {} if address is None else {"NOTIFY_SOCKET": address}
        manager = ServiceManager.from_environment({**given, "WATCHDOG_USEC": "1000000"})
        assert not manager.listens
        manager.ready()
        manager.heartbeat()
        manager.allow(100.0)
        assert systemd.waiting() == []


def test_a_manager_that_is_gone_harms_nobody(systemd: NotifySocket, tmp_path: Path) -> None:
    clock = ManualClock()
    manager = watching(systemd, clock)
    path = Path(systemd.address)
    path.unlink()
    manager.ready()
    manager.heartbeat()
    with NotifySocket(str(path)) as again:
        manager.heartbeat()
        assert again.waiting() == [{"WATCHDOG": "1"}]


def test_what_systemd_says_is_not_handed_on_to_children(systemd: NotifySocket) -> None:
    given = environment(systemd, WATCHDOG_USEC="1000000", WATCHDOG_PID="1")
    ServiceManager.from_environment(given)
    assert given == {"PATH": "/bin"}


def test_the_watchdog_is_fed_several_times_within_its_time(systemd: NotifySocket) -> None:
    clock = ManualClock()
    manager = watching(systemd, clock)
    for _ in range(160):
        manager.heartbeat()
        clock.advance(0.05)
    assert systemd.waiting() == [{"WATCHDOG": "1"}] * 4


@pytest.mark.parametrize("usec", ["", "0", "-1", "soon"])
def test_without_a_time_there_is_no_watchdog(systemd: NotifySocket, usec: str) -> None:
    manager = ServiceManager.from_environment(environment(systemd, WATCHDOG_USEC=usec))
    manager.heartbeat()
    manager.ready()
    assert systemd.waiting() == [{"READY": "1"}]


def test_the_watchdog_of_another_process_is_not_fed(systemd: NotifySocket) -> None:
    given = environment(systemd, WATCHDOG_USEC="1000000", WATCHDOG_PID="1")
    ServiceManager.from_environment(given).heartbeat()
    assert systemd.waiting() == []


def test_a_long_step_widens_the_watchdog_until_the_next_beat(systemd: NotifySocket) -> None:
    manager = watching(systemd)
    manager.allow(WATCHDOG_S / 2)
    assert systemd.waiting() == []
    manager.allow(600.0)
    manager.heartbeat()
    assert systemd.waiting() == [
        {"WATCHDOG_USEC": "600000000", "WATCHDOG": "1"},
        {"WATCHDOG_USEC": "8000000", "WATCHDOG": "1"},
    ]


class StickyLid:
    """Lets every reading of the lid wait while it is stuck."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free = Signal()
        self.free.set()
        self.stuck = Signal()
        read = GpioPanel.lid_closed.fget
        assert read is not None

        def lid_closed(panel: GpioPanel) -> bool:
            if not self.free.is_set():
                self.stuck.set()
                assert self.free.wait(TIMEOUT_S)
            return bool(read(panel))

        monkeypatch.setattr(GpioPanel, "lid_closed", property(lid_closed))


@contextmanager
def watched(folder: Path, watchdog: ServiceManager) -> Iterator[Instrument]:
    made = SmallInstrument(folder, physics=False, watchdog=watchdog)
    try:
        with made.instrument as instrument:
            yield instrument
    finally:
        made.records.close()


def test_a_loop_that_hangs_starves_the_watchdog(
    tmp_path: Path, systemd: NotifySocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    lid = StickyLid(monkeypatch)
    # So short that it wants a message at every turn of the loop.
    impatient = ServiceManager(systemd.address, 0.004, SystemClock())
    with watched(tmp_path, impatient) as instrument:
        instrument.wait_for(State.IDLE, timeout_s=TIMEOUT_S)
        systemd.waiting()
        assert systemd.next() == {"WATCHDOG": "1"}
        lid.free.clear()
        assert lid.stuck.wait(TIMEOUT_S)
        systemd.waiting()
        with pytest.raises(TimeoutError):
            systemd.next(SILENCE_S)
        lid.free.set()
        assert systemd.next() == {"WATCHDOG": "1"}


def test_engines_that_take_minutes_are_allowed_their_time(
    tmp_path: Path, systemd: NotifySocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "builds_engines", lambda wanted: True)
    manager = ServiceManager(systemd.address, WATCHDOG_S, SystemClock())
    with watched(tmp_path, manager) as instrument:
        instrument.wait_for(State.IDLE, timeout_s=TIMEOUT_S)
        widened, restored = (systemd.until("WATCHDOG_USEC")[-1] for _ in range(2))
    assert widened["WATCHDOG_USEC"] == f"{engine.ENGINES_S * 1e6:.0f}"
    assert restored["WATCHDOG_USEC"] == f"{WATCHDOG_S * 1e6:.0f}"


@pytest.mark.slow
def test_no_beat_is_missing_while_a_run_waits_for_the_stage(
    tmp_path: Path, systemd: NotifySocket
) -> None:
    manager = ServiceManager(systemd.address, 0.004, SystemClock())
    with watched(tmp_path, manager) as instrument:
        instrument.wait_for(State.IDLE, timeout_s=TIMEOUT_S)
        instrument.start("S-1")
        homing = Thread(
            target=lambda: instrument.wait_for(State.COMPLETE, State.FAULT, timeout_s=TIMEOUT_S)
        )
        homing.start()
        heartbeats = 0
        while homing.is_alive():
            # Mover waits half a second at a time.
            heartbeats += "WATCHDOG" in systemd.next(timeout_s=5.0)
        homing.join()
        assert instrument.status().state == State.COMPLETE
    assert heartbeats > 20
