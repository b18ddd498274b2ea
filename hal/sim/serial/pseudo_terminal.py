"""An emulated serial port: a pseudo-terminal with an emulated controller behind it."""

from __future__ import annotations

import contextlib
import os
import select
import tempfile
import termios
import tty
from collections.abc import Callable
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Protocol

from hal.clock import Clock

_TICK_S = 0.001
_IDLE_TICK_S = 0.02


class EmulatedController(Protocol):
    """What the host talks to.  Called with the lock held, in seconds of the given clock."""

    @property
    def has_work(self) -> bool:
        """Whether something will happen by itself, so that time must be followed closely."""

    def connected(self, now_s: float) -> None:
        """A host has opened the port."""

    def exchange(self, data: bytes, now_s: float) -> list[bytes]:
        """Take bytes of the host, perhaps none, and return what is written to it."""

    def powered_off(self, now_s: float) -> None:
        """The cable was pulled, and the power with it."""


class PseudoTerminal:
    """Runs a controller in a thread of its own; :attr:`port` opens like any other serial port.

    Args:
        controller: what is behind the port.
        clock: the controller's time.
        lock: held while the controller is called; its owner's other methods take it as well.
        name: of the thread and of the folder.
        before: called with the lock held before the host's bytes reach the controller.
    """

    def __init__(
        self,
        controller: EmulatedController,
        clock: Clock,
        lock: Lock,
        name: str,
        before: Callable[[float], None],
    ) -> None:
        self._controller = controller
        self._clock = clock
        self._lock = lock
        self._before = before
        self._stop = Event()
        self._folder = tempfile.TemporaryDirectory(prefix=f"leukolux-{name}-")
        self._link = Path(self._folder.name) / "tty"
        self._master: int | None = None
        self._connected = False
        self.plug_in()
        self.thread = Thread(target=self._run, name=f"{name}-emulator", daemon=True)
        self.thread.start()

    @property
    def port(self) -> str:
        """Path to give to the driver; stays the same when unplugged and plugged in again."""
        return str(self._link)

    def unplug(self) -> None:
        """Pull the cable: the port is gone and the controller has no power."""
        with self._lock:
            self._controller.powered_off(self._clock.monotonic_s())
            self._close_master()
            self._link.unlink(missing_ok=True)

    def plug_in(self) -> None:
        """Put the cable back."""
        with self._lock:
            if self._master is not None:
                return
            self._master, slave = os.openpty()
            # Raw before anybody opens it, or the terminal would echo the controller back to itself.
            tty.setraw(slave, termios.TCSANOW)
            os.set_blocking(self._master, False)
            self._link.symlink_to(os.ttyname(slave))
            # Closed again, so that the master end can tell whether somebody has the port open.
            os.close(slave)
            self._connected = False

    def close(self) -> None:
        """Stop the thread and remove the port.  Can be called twice."""
        self._stop.set()
        self.thread.join()
        with self._lock:
            self._close_master()
        self._folder.cleanup()

    def _close_master(self) -> None:
        if self._master is not None:
            os.close(self._master)
            self._master = None

    def _run(self) -> None:
        poller = select.poll()
        registered: int | None = None
        while not self._stop.is_set():
            with self._lock:
                master = self._master
                tick_s = _TICK_S if self._controller.has_work else _IDLE_TICK_S
            if master != registered:
                if registered is not None:
                    with contextlib.suppress(KeyError):
                        poller.unregister(registered)
                if master is not None:
                    poller.register(master, select.POLLIN)
                registered = master
            if master is None or not self._serve(master, poller, tick_s):
                self._stop.wait(_IDLE_TICK_S)

    def _serve(self, master: int, poller: select.poll, tick_s: float) -> bool:
        """Wait up to one tick for bytes and answer; return whether a host is connected."""
        events = dict(poller.poll(tick_s * 1000.0)).get(master, 0)
        with self._lock:
            if self._master != master:
                return False
            now_s = self._clock.monotonic_s()
            data = b""
            if events & select.POLLIN:
                with contextlib.suppress(OSError):
                    data = os.read(master, 4096)
            if data:
                self._before(now_s)
            if events & select.POLLHUP:
                if self._connected:
                    # What the host wrote before it went still reaches the controller.
                    self._controller.exchange(data, now_s)
                self._connected = False
                return False
            if not self._connected:
                self._connected = True
                self._controller.connected(now_s)
            for answer in self._controller.exchange(data, now_s):
                # A host that does not read loses bytes, as on a line without flow control.
                with contextlib.suppress(OSError):
                    os.write(master, answer)
        return True
