"""A serial port: bytes out, bytes in, with deadlines that hold under scaled time."""

from __future__ import annotations

import contextlib
import time
from threading import Lock

import serial

from hal.clock import Clock
from hal.errors import DeviceClosedError, DeviceError
from hal.recorder.recorder import UNRECORDED, Recorder

READ_SLICE_S = 0.02


class Deadline:
    """Passes when both the time of the injected clock and its real patience have passed.

    The patience keeps a simulation from calling a busy computer a dead controller.
    """

    def __init__(self, clock: Clock, timeout_s: float) -> None:
        self._clock = clock
        self._end_s = clock.monotonic_s() + timeout_s
        self._real_end_s = time.monotonic() + clock.patience_s

    @property
    def passed(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self._real_end_s and self._clock.monotonic_s() >= self._end_s


class SerialPort:
    """The serial port of a stage controller.  Reads belong to one thread, writes to any.

    Args:
        port: name of the device file.
        baud: speed, 8N1.
        rtscts: whether the two ends hold each other up by their RTS and CTS lines.
        setting: name of the setting that holds ``port``, for the messages.
        recorder: notes what goes over the line, under the name of ``setting``.
    """

    def __init__(
        self,
        port: str,
        baud: int,
        *,
        rtscts: bool = False,
        setting: str = "stage.port",
        recorder: Recorder = UNRECORDED,
    ) -> None:
        self.port = port
        self._baud = baud
        self._rtscts = rtscts
        self._setting = setting
        self._recorder = recorder
        self._serial: serial.Serial | None = None
        self._write_lock = Lock()

    @property
    def is_open(self) -> bool:
        """Whether the port is open."""
        return self._serial is not None

    def open(self) -> None:
        """Open the port.  Raises DeviceError."""
        try:
            self._serial = serial.Serial(
                self.port,
                self._baud,
                timeout=READ_SLICE_S,
                write_timeout=1.0,
                rtscts=self._rtscts,
                exclusive=True,
            )
        except (OSError, ValueError) as error:
            self._recorder.note(self._setting, "error", f"not opened: {error}")
            raise DeviceError(
                "STAGE-PORT", port=self.port, reason=error, setting=self._setting
            ) from error
        self._recorder.note(self._setting, "open", self.port)

    def write(self, data: bytes) -> None:
        """Send ``data``.  Raises DeviceError if the port is gone, DeviceClosedError."""
        with self._write_lock:
            port = self.require_open()
            # Before it is sent, so that no answer is noted before its question.
            self._recorder.note(self._setting, "tx", data)
            try:
                port.write(data)
            except OSError as error:
                raise self._gone(error) from error

    def receive(self, *, blocking: bool) -> bytes:
        """Return the bytes that have come; ``blocking`` waits a moment for the first.

        Raises:
            DeviceError: the port is gone.
            DeviceClosedError: the port is not open.
        """
        port = self.require_open()
        try:
            waiting = port.in_waiting
            data = bytes(port.read(max(1, waiting))) if waiting or blocking else b""
        except (OSError, TypeError) as error:
            # pyserial raises TypeError when another thread closed the port under a read.
            raise self._gone(error) from error
        if data:
            self._recorder.note(self._setting, "rx", data)
        return data

    def close(self) -> None:
        """Close the port.  Never raises; can be called twice."""
        with self._write_lock:
            port, self._serial = self._serial, None
            if port is not None:
                with contextlib.suppress(OSError):
                    port.close()
                self._recorder.note(self._setting, "close", self.port)

    def require_open(self) -> serial.Serial:
        """Return the open port.  Raises DeviceClosedError."""
        if self._serial is None:
            raise DeviceClosedError("STAGE-CLOSED")
        return self._serial

    def _gone(self, error: Exception) -> DeviceError:
        self._recorder.note(self._setting, "error", str(error))
        return DeviceError("STAGE-UNPLUGGED", port=self.port, reason=error)
