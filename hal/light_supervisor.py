"""A small process beside the instrument that takes the UV line low when the instrument fails.

The line belongs to whoever is responsible for it: to the instrument while it is connected, else to
the supervisor, which holds it low.  Before each pulse the instrument asks for a lease.  When a
lease passes its deadline, or the instrument's connection or process ends, the supervisor drops the
connection, claims the line and drives it low.  Providers on the kernel's character device give a
line to one process only and free it when that process dies; the claim is therefore repeated, and a
frozen process that keeps the line is killed.  All times are real, never those of a scaled clock.
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
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hal.errors import DeviceError
from hal.gpio import GPIO_FAILURES, Gpio
from hal.light_lease import MESSAGE_BYTES

log = logging.getLogger(__name__)

CLAIM_RETRY_S: Final = 0.001
CLAIM_SLOWLY_S: Final = 0.02
HURRY_S: Final = 1.0
"""How long a line that somebody keeps is claimed as fast as can be, then slowly."""
KILL_AFTER_S: Final = 0.1
"""A connected process that keeps the line this long after its lease is frozen, and is killed."""

_PEER = struct.Struct("iII")  # process, user, group


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
        max_pulse_ms: longest lease.
        grace_ms: how long after its deadline a lease is overdue.
    """

    def __init__(
        self, gpio: Gpio, pin: int, path: Path, *, max_pulse_ms: float, grace_ms: float
    ) -> None:
        self._gpio = gpio
        self._pin = pin
        self._path = path
        self._max_pulse_ms = max_pulse_ms
        self._grace_ms = grace_ms
        self._selector = selectors.DefaultSelector()
        self._lock = -1
        self._listener: socket.socket | None = None
        self._wake, self._waker = socket.socketpair()
        self._selector.register(self._wake, selectors.EVENT_READ, self._stop)
        self._stopping = False
        self._wakes_on_signals = False
        self._instrument: _Instrument | None = None
        self._suspect: _Instrument | None = None
        self._lease: int | None = None
        self._lease_end_s = 0.0
        self._held = False
        self._securing_since_s: float | None = None

    def open(self) -> None:
        """Take the line low, then listen.

        Raises:
            DeviceError: another supervisor runs, or the socket cannot be made.
        """
        try:
            self._be_the_only_one()
            self._secure()
            # The lock says that nobody listens there: what lies there is left of a killed one.
            self._path.unlink(missing_ok=True)
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            # Nobody can connect before listen(), so there is no moment with other rights.
            self._listener.bind(str(self._path))
            self._path.chmod(0o600)
            self._listener.listen(2)
        except OSError as error:
            self.close()
            raise DeviceError(
                f"The light supervisor cannot listen at {self._path}: {error}.",
                remedy="Let one supervisor run, with a socket in a folder that it may write to.",
                code="LIGHT-SUPERVISOR",
            ) from error
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def serve(self) -> None:
        """Watch until :meth:`stop`."""
        while not self._stopping:
            ready = [key for key, _ in self._selector.select(self._timeout_s())]
            # The end of an old connection comes before a new one.
            for key in sorted(ready, key=lambda key: key.fileobj is self._listener):
                if key.fileobj in self._selector.get_map():
                    key.data()
            if self._overdue():
                # The end of the pulse may be waiting to be read.
                self._hear()
                if self._overdue():
                    self._drop("its pulse is overdue")
            if self._securing_since_s is not None:
                self._try_to_secure()

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
        for instrument in (self._instrument, self._suspect):
            if instrument is not None:
                instrument.close()
        self._instrument = self._suspect = None
        self._release()
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

    def _be_the_only_one(self) -> None:
        """Take the lock that a supervisor holds while it lives.  Raises OSError."""
        self._lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _timeout_s(self) -> float | None:
        if self._securing_since_s is not None:
            hurry = time.monotonic() - self._securing_since_s < HURRY_S
            return CLAIM_RETRY_S if hurry else CLAIM_SLOWLY_S
        if self._lease is not None:
            return max(0.0, self._lease_end_s - time.monotonic())
        return None

    def _overdue(self) -> bool:
        return self._lease is not None and time.monotonic() > self._lease_end_s

    def _stop(self) -> None:
        self._stopping = True

    def _accept(self) -> None:
        if self._listener is None:
            return
        # A connection that fails while it begins is nobody's.
        with suppress(OSError):
            connection, _ = self._listener.accept()
            refusal = self._refusal(connection)
            if refusal:
                log.warning("a connection is refused: %s", refusal)
                with suppress(OSError):
                    connection.send(f"refused 0 {refusal}".encode(), socket.MSG_DONTWAIT)
                    # Closed with its greeting unread, the other end would not see the answer.
                    connection.recv(MESSAGE_BYTES, socket.MSG_DONTWAIT)
                connection.close()
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
        if self._securing_since_s is not None:
            return "the line is being taken low"
        user = _peer(connection)[1]
        if user not in (0, os.getuid()):
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
        """Act on one message; return False for one that makes no sense."""
        match words:
            case ["hello", "0"] if not instrument.greeted:
                instrument.greeted = True
                self._release()
                return self._answer(instrument, "ok 0")
            case ["on", serial, duration_ms] if instrument.greeted and self._lease is None:
                return self._grant(instrument, serial, duration_ms)
            case ["off", serial] if instrument.greeted and serial.isdecimal():
                if self._lease == int(serial):
                    self._lease = None
                return True
        return False

    def _grant(self, instrument: _Instrument, serial: str, duration_ms: str) -> bool:
        try:
            number, wanted_ms = int(serial), float(duration_ms)
        except ValueError:
            return False
        if not 0.0 < wanted_ms <= self._max_pulse_ms:
            return self._answer(instrument, f"refused {number} no pulse of {wanted_ms:g} ms")
        self._lease = number
        self._lease_end_s = time.monotonic() + (wanted_ms + self._grace_ms) / 1000.0
        return self._answer(instrument, f"ok {number}")

    def _answer(self, instrument: _Instrument, text: str) -> bool:
        try:
            instrument.connection.send(text.encode(), socket.MSG_DONTWAIT)
        except OSError:
            return False
        return True

    def _drop(self, why: str) -> None:
        """End the connection and take the line low, first of all."""
        instrument, self._instrument = self._instrument, None
        if instrument is None:
            return
        lit, self._lease = self._lease is not None, None
        self._selector.unregister(instrument.connection)
        if instrument.pidfd >= 0:
            self._selector.unregister(instrument.pidfd)
        # The instrument, if it lives, notices this end and gives the line up.
        with suppress(OSError):
            instrument.connection.shutdown(socket.SHUT_WR)
        self._forget_suspect()
        self._suspect = instrument
        self._secure()
        log.log(
            logging.WARNING if lit else logging.INFO,
            "the instrument (process %d) is dropped%s: %s",
            instrument.pid,
            " during a pulse" if lit else "",
            why,
        )

    def _secure(self) -> None:
        self._securing_since_s = time.monotonic()
        self._try_to_secure()

    def _try_to_secure(self) -> None:
        try:
            self._gpio.setup(self._pin, self._gpio.OUT, initial=self._gpio.LOW)
        except GPIO_FAILURES as error:
            since_s = self._securing_since_s or time.monotonic()
            if time.monotonic() - since_s > KILL_AFTER_S:
                self._kill_suspect(error)
            return
        self._held = True
        self._securing_since_s = None
        self._forget_suspect()

    def _kill_suspect(self, error: BaseException) -> None:
        """End a process that lost its lease, keeps the line, and does not say that it is low."""
        suspect = self._suspect
        if suspect is None or suspect.pid == os.getpid() or suspect.pidfd < 0:
            return
        with suppress(OSError):
            if suspect.connection.recv(MESSAGE_BYTES).startswith(b"off"):
                self._forget_suspect()
                return
        log.critical("process %d keeps the UV line and is killed: %s", suspect.pid, error)
        with suppress(ProcessLookupError, PermissionError):
            signal.pidfd_send_signal(suspect.pidfd, signal.SIGKILL)
        self._forget_suspect()

    def _forget_suspect(self) -> None:
        if self._suspect is not None:
            self._suspect.close()
            self._suspect = None

    def _release(self) -> None:
        if not self._held:
            return
        self._held = False
        try:
            self._gpio.cleanup(self._pin)
        except GPIO_FAILURES:
            log.critical("the UV line could not be released", exc_info=True)


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
