"""The serial line of a GRBL controller: bytes out, lines in."""

from __future__ import annotations

import logging
from threading import Event

from hal.errors import Cancelled
from hal.recorder.recorder import UNRECORDED, Recorder
from hal.stage.serial_port import Deadline, SerialPort

log = logging.getLogger(__name__)

_LONGEST_LINE = 512


class SerialLink(SerialPort):
    """One serial port, read by lines."""

    def __init__(self, port: str, baud: int, recorder: Recorder = UNRECORDED) -> None:
        super().__init__(port, baud, recorder=recorder)
        self._buffer = bytearray()

    def open(self) -> None:
        """Open the port.  Raises DeviceError."""
        super().open()
        self._buffer.clear()

    def read_line(self, deadline: Deadline, cancel: Event | None = None) -> str | None:
        """Return the next non-empty line, or None if ``deadline`` passed.

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
            self._buffer += self.receive(blocking=True)

    def take_line(self) -> str | None:
        """Return a non-empty line that has already come, or None; does not wait."""
        self._buffer += self.receive(blocking=False)
        while (end := self._buffer.find(b"\n")) >= 0:
            line = self._buffer[:end].decode("ascii", errors="replace").strip("\r\n ")
            del self._buffer[: end + 1]
            if line:
                return line
        if len(self._buffer) > _LONGEST_LINE:
            log.warning("%d bytes without a line end were dropped", len(self._buffer))
            self._buffer.clear()
        return None
