"""A small process that owns the UV line and drives it for the instrument.

The line is high for one pulse at a time, which the instrument orders.  It goes low when the pulse
is over, its deadline passes, or the instrument's connection or process ends, whichever is first.
All times are real, never those of a scaled clock.
"""

from __future__ import annotations

import fcntl
import logging
import os
import selectors
import signal
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hal.errors import DeviceError, LightError
from hal.interfaces.gpio import Gpio
from hal.light.cuts import deadline_cut
from hal.light.supervised_line import MESSAGE_BYTES
from hal.light.uv_line import OwnLine

log = logging.getLogger(__name__)

RETRY_S: Final = 0.01
"""How soon to drive a line low again that does not obey."""
LOOK_S: Final = 0.005
"""How often, during a pulse, to check that the process that ordered it is not ending."""
HEARTBEAT_S: Final = 0.25
"""Longest time between two heartbeats for the service manager."""

_PEER = struct.Struct("iII")  # process, user, group
_EXITING: Final = 0x4
"""Flag of a process that ends, in the kernel's table of processes: PF_EXITING."""


def pid_file(path: Path) -> Path:
    """Return the file with the process number of a socket's supervisor, which locks it."""
    return Path(f"{path}.lock")


@dataclass
class _Instrument:
    """The connected process."""

    connection: socket.socket
    pid: int
    pidfd: int
    greeted: bool = False

    def close(self) -> None:
        self.connection.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1


class LightSupervisor:
    """Serves one instrument at a time on a UNIX socket.

    Args:
        gpio: provider of the line.
        pin: the line that enables the LED driver.
        path: of the socket; its folder must exist.
        max_pulse_ms: longest pulse.
    """

    def __init__(self, gpio: Gpio, pin: int, path: Path, *, max_pulse_ms: float) -> None:
        self._line = OwnLine(gpio, pin)
        self._path = path
        self._max_pulse_ms = max_pulse_ms
        self._selector = selectors.DefaultSelector()
        self._lock = -1
        self._listener: socket.socket | None = None
        self._wake, self._waker = socket.socketpair()
        self._selector.register(self._wake, selectors.EVENT_READ, self._stop)
        self._stopping = False
        self._wakes_on_signals = False
        self._instrument: _Instrument | None = None
        self._until_s: float | None = None
        self._disobeyed = False

    def open(self) -> None:
        """Take the line, low, then listen.

        A line that fails is no reason to end: the instrument learns of it when it connects.

        Raises:
            DeviceError: another supervisor runs, or the socket cannot be made.
        """
        try:
            self._take_lock()
            self._claim()
            # With the lock held, a socket that exists is left over from a killed supervisor.
            self._path.unlink(missing_ok=True)
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            # Nobody can connect before listen(), so there is no moment with other rights.
            self._listener.bind(str(self._path))
            self._path.chmod(0o600)
            self._listener.listen(2)
        except OSError as error:
            self.close()
            raise DeviceError("LIGHT-SUPERVISOR-SOCKET", path=self._path, reason=error) from error
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def serve(self, heartbeat: Callable[[], None] | None = None) -> None:
        """Serve until :meth:`stop`.

        Args:
            heartbeat: called in every round, at least every 0.25 s.
        """
        try:
            while not self._stopping:
                ready = [
                    key for key, _ in self._selector.select(self._timeout_s(heartbeat is not None))
                ]
                if self._disobeyed or self._overdue():
                    self._darken()
                elif self._orphaned():
                    self._drop("its process is ending")
                # The end of an old connection comes before a new one.
                for key in sorted(ready, key=lambda key: key.fileobj is self._listener):
                    # By number: what a former one closed has none any more.
                    if key.fd in self._selector.get_map():
                        key.data()
                if heartbeat is not None:
                    heartbeat()
        finally:
            self._darken()

    def stop(self) -> None:
        """Let :meth:`serve` return; safe from any thread."""
        with suppress(OSError):
            self._waker.send(b"!")

    def stop_on(self, *numbers: signal.Signals) -> None:
        """Let signals end :meth:`serve`; for the main thread of a process of its own."""
        # Written by the signal itself: its Python handler waits until the selector returns.
        self._waker.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        self._wakes_on_signals = True
        for number in numbers:
            signal.signal(number, lambda *_: None)

    def close(self) -> None:
        """Give the line back, low, and remove the socket.  Can be called twice."""
        if self._wakes_on_signals:
            signal.set_wakeup_fd(-1)
            self._wakes_on_signals = False
        self._darken()
        self._line.close()
        if self._instrument is not None:
            self._instrument.close()
            self._instrument = None
        if self._listener is not None:
            self._listener.close()
            self._path.unlink(missing_ok=True)
            self._listener = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
        self._selector.close()
        self._wake.close()
        self._waker.close()

    def _take_lock(self) -> None:
        """Take the lock that a supervisor holds while it lives, and write its process number.

        Raises:
            DeviceError: another supervisor holds it.
            OSError: the file cannot be made.
        """
        self._lock = os.open(pid_file(self._path), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            raise DeviceError("LIGHT-SUPERVISOR-TWICE", path=self._path) from error
        os.ftruncate(self._lock, 0)
        os.write(self._lock, str(os.getpid()).encode())

    def _timeout_s(self, beats: bool) -> float | None:
        waits_s = [HEARTBEAT_S] if beats else []
        if self._disobeyed:
            waits_s.append(RETRY_S)
        if self._until_s is not None:
            waits_s += [LOOK_S, max(0.0, self._until_s - time.monotonic())]
        return min(waits_s, default=None)

    def _overdue(self) -> bool:
        return self._until_s is not None and time.monotonic() >= self._until_s

    def _orphaned(self) -> bool:
        instrument = self._instrument
        return self._until_s is not None and instrument is not None and _is_ending(instrument.pid)

    def _stop(self) -> None:
        self._stopping = True

    def _accept(self) -> None:
        if self._listener is None:
            return
        # A connection that fails while it begins needs no answer.
        with suppress(OSError):
            connection, _ = self._listener.accept()
            refusal = self._refusal(connection)
            if refusal:
                with suppress(OSError):
                    connection.send(f"hello 0 refused {refusal}".encode(), socket.MSG_DONTWAIT)
                    # Closed with its greeting unread, the other end would not see the answer.
                    connection.recv(MESSAGE_BYTES, socket.MSG_DONTWAIT)
                connection.close()
                log.warning("a connection is refused: %s", refusal)
                return
            connection.setblocking(False)
            pid = _peer(connection)[0]
            self._instrument = _Instrument(connection, pid, _watch_process(pid))
            self._selector.register(connection, selectors.EVENT_READ, self._hear)
            if self._instrument.pidfd >= 0:
                # The process may share its connection with children that outlive it.
                self._selector.register(
                    self._instrument.pidfd,
                    selectors.EVENT_READ,
                    lambda: self._drop("its process ended"),
                )

    def _refusal(self, connection: socket.socket) -> str:
        if self._instrument is not None:
            return "another instrument is connected"
        if _peer(connection)[1] not in (0, os.getuid()):
            return "it belongs to another user"
        return ""

    def _hear(self) -> None:
        instrument = self._instrument
        if instrument is None:
            return
        try:
            message = instrument.connection.recv(MESSAGE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if not message:
            self._drop("its connection ended")
        elif not self._obey(instrument, message.decode("ascii", "replace").split()):
            self._drop(f"it sent {message!r}")

    def _obey(self, instrument: _Instrument, words: list[str]) -> bool:
        """Act on one message; return False if it is malformed or out of order."""
        match words:
            case ["hello", "0"] if not instrument.greeted:
                error = self._claim()
                instrument.greeted = error is None
            case ["on", serial, until] if instrument.greeted and self._until_s is None:
                try:
                    until_s, _ = float(until), int(serial)
                except ValueError:
                    return False
                left_ms = (until_s - time.monotonic()) * 1000.0
                # Written so that NaN, which no comparison accepts, is refused.
                if not left_ms <= self._max_pulse_ms:
                    return _say(instrument, words, f"refused no pulse of {left_ms:g} ms")
                error = self._light_up(until_s) if left_ms > 0.0 else deadline_cut()
            case ["off", serial] if instrument.greeted and serial.isdecimal():
                error = self._darken()
            case _:
                return False
        why = "ok" if error is None else f"failed {error.error_code} {error.__cause__}"
        return _say(instrument, words, why)

    def _claim(self) -> LightError | None:
        """Take the line, or drive it low if it is taken, and check that it is."""
        self._until_s = None
        try:
            self._line.open()
        except LightError as error:
            log.critical("%s", error)
            return error
        return None

    def _light_up(self, until_s: float) -> LightError | None:
        self._until_s = until_s
        try:
            self._line.on(until_s)
        except LightError as error:
            # It may be high all the same.
            self._darken()
            return error
        return None

    def _darken(self) -> LightError | None:
        """Drive the line low; :meth:`serve` tries again until it obeys."""
        self._until_s = None
        try:
            self._line.off()
        except LightError as error:
            if not self._disobeyed:
                log.critical("%s", error)
            self._disobeyed = True
            return error
        self._disobeyed = False
        return None

    def _drop(self, why: str) -> None:
        """Take the line low, first of all, and end the connection."""
        lit = self._until_s is not None
        self._darken()
        instrument, self._instrument = self._instrument, None
        if instrument is None:
            return
        self._selector.unregister(instrument.connection)
        if instrument.pidfd >= 0:
            self._selector.unregister(instrument.pidfd)
        instrument.close()
        log.log(
            logging.WARNING if lit else logging.INFO,
            "the instrument (process %d) is dropped%s: %s",
            instrument.pid,
            " during a pulse" if lit else "",
            why,
        )


def _say(instrument: _Instrument, order: list[str], answer: str) -> bool:
    """Answer an order; return False if the answer cannot be sent."""
    text = " ".join([*order[:2], answer])
    try:
        instrument.connection.send(text.encode()[:MESSAGE_BYTES], socket.MSG_DONTWAIT)
    except OSError:
        return False
    return True


def _peer(connection: socket.socket) -> tuple[int, int]:
    """Return process and user at the other end, as the kernel knows them."""
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    pid, user, _ = _PEER.unpack(packed)
    return int(pid), int(user)


def _watch_process(pid: int) -> int:
    """Return a descriptor that becomes readable when ``pid`` ends, or -1."""
    try:
        return os.pidfd_open(pid)
    except OSError:
        return -1


def _is_ending(pid: int) -> bool:
    """Return whether the kernel is about to end a process.

    It frees the memory first, which may take long, and closes the connection after that.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        # After the name, which may hold anything: state, parent, group, session, two more, flags.
        return bool(int(stat.rpartition(b")")[2].split()[6]) & _EXITING)
    except (OSError, ValueError, IndexError):
        return False
