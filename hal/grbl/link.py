"""The serial line: bytes out, lines in, with deadlines that hold under scaled time."""

from __future__ import annotations

import contextlib
import logging
import time
from threading import Event, Lock

import serial

from hal.clock import Clock
from hal.errors import Cancelled, DeviceClosedError, DeviceError

log = logging.getLogger(__name__)

_READ_SLICE_S = 0.02
_LONGEST_LINE = 512
MIN_REAL_WAIT_S = 0.25


class Deadline:
    """Passes when both the injected clock and a floor of real time have passed.

    The floor keeps a fast simulated clock from calling a busy computer a dead controller.
    """

    def __init__(self, clock: Clock, timeout_s: float) -> None:
        self._clock = clock
        self._end_s = clock.monotonic_s() + timeout_s
        self._real_end_s = time.monotonic() + min(timeout_s, MIN_REAL_WAIT_S)

    @property
    def passed(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self._real_end_s and self._clock.monotonic_s() >= self._end_s


class SerialLink:
    """One serial port.  Reads belong to one thread; :meth:`write` is safe from any."""

    def __init__(self, port: str, baud: int) -> None:
        self.port = port
        self._baud = baud
        self._serial: serial.Serial | None = None
        self._write_lock = Lock()
        self._buffer = bytearray()

    @property
    def is_open(self) -> bool:
        """Whether the port is open."""
        return self._serial is not None

    def open(self) -> None:
        """Open the port.  Raises DeviceError."""
        try:
            self._serial = serial.Serial(
                self.port, self._baud, timeout=_READ_SLICE_S, write_timeout=1.0, exclusive=True
            )
        except (OSError, ValueError) as error:
            raise DeviceError(
                f"The stage's serial port {self.port} cannot be opened: {error}.",
                remedy="Check the cable, the setting stage.port, and the rights to the port.",
                code="STAGE-PORT",
            ) from error
        self._buffer.clear()

    def write(self, data: bytes) -> None:
        """Send ``data``.  Raises DeviceError when the port is gone, DeviceClosedError."""
        with self._write_lock:
            port = self.require_open()
            try:
                port.write(data)
            except OSError as error:
                raise self._gone(error) from error

    def read_line(self, deadline: Deadline, cancel: Event | None = None) -> str | None:
        """Return the next non-empty line, or None when ``deadline`` passed.

        Bytes that are no ASCII become U+FFFD, so that a damaged line stays visible as one.

        Raises:
            DeviceError: the port is gone.
            Cancelled: ``cancel`` was set.
        """
        while True:
            line = self.take_line()
            if line is not None:
                return line
            if cancel is not None and cancel.is_set():
                raise Cancelled("The wait for the stage controller")
            if deadline.passed:
                return None
            self._fill(blocking=True)

    def take_line(self) -> str | None:
        """Return a non-empty line that has already come, or None; does not wait."""
        self._fill(blocking=False)
        while (end := self._buffer.find(b"\n")) >= 0:
            line = self._buffer[:end].decode("ascii", errors="replace").strip("\r\n ")
            del self._buffer[: end + 1]
            if line:
                return line
        if len(self._buffer) > _LONGEST_LINE:
            log.warning("%d bytes without a line end were dropped", len(self._buffer))
            self._buffer.clear()
        return None

    def close(self) -> None:
        """Close the port.  Never raises; can be called twice."""
        with self._write_lock:
            port, self._serial = self._serial, None
            if port is not None:
                with contextlib.suppress(OSError):
                    port.close()

    def _fill(self, *, blocking: bool) -> None:
        port = self.require_open()
        try:
            waiting = port.in_waiting
            if waiting or blocking:
                self._buffer += port.read(max(1, waiting))
        except (OSError, TypeError) as error:
            # pyserial raises TypeError when another thread closed the port under a read.
            raise self._gone(error) from error

    def require_open(self) -> serial.Serial:
        """Return the open port.  Raises DeviceClosedError."""
        if self._serial is None:
            raise DeviceClosedError(
                "The stage is not connected.", remedy="Open the stage first.", code="STAGE-CLOSED"
            )
        return self._serial

    def _gone(self, error: Exception) -> DeviceError:
        return DeviceError(
            f"The stage's serial port {self.port} failed: {error}.",
            remedy="Check the USB cable and the controller's power, then reconnect and home.",
            code="STAGE-UNPLUGGED",
        )
