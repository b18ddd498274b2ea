"""The light's lines, with a note of all that is done to them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from hal.errors import DeviceError
from hal.interfaces.gpio import Gpio
from hal.light.uv_line import UvLine
from hal.recorder.recorder import Recorder

WIRE = "light"


class RecordedGpio:
    """:class:`Gpio` that notes what is driven, and every change of what is read."""

    def __init__(self, gpio: Gpio, recorder: Recorder) -> None:
        self._gpio = gpio
        self._recorder = recorder
        self._read: dict[int, int] = {}
        self.BOARD, self.IN, self.OUT = gpio.BOARD, gpio.IN, gpio.OUT
        self.LOW, self.HIGH = gpio.LOW, gpio.HIGH

    def setmode(self, mode: int, /) -> None:
        """Choose the pin numbering."""
        self._gpio.setmode(mode)

    def setwarnings(self, enabled: bool, /) -> None:
        """Say whether pins left over from a killed process are warned about."""
        self._gpio.setwarnings(enabled)

    def setup(self, channel: int, direction: int, /, **initial: int) -> None:
        """Claim a pin."""
        self._gpio.setup(channel, direction, **initial)
        self._recorder.note(WIRE, "claimed", {"pin": channel, **initial})

    def output(self, channel: int, level: int, /) -> None:
        """Drive an output; what failed to be driven is not noted as driven."""
        self._gpio.output(channel, level)
        self._recorder.note(WIRE, "driven", {"pin": channel, "level": level})

    def input(self, channel: int, /) -> int:
        """Read a pin."""
        level = self._gpio.input(channel)
        if self._read.get(channel) != level:
            self._read[channel] = level
            self._recorder.note(WIRE, "read", {"pin": channel, "level": level})
        return level

    def cleanup(self, channel: int, /) -> None:
        """Release a pin."""
        self._gpio.cleanup(channel)
        self._recorder.note(WIRE, "released", {"pin": channel})


class RecordedLine:
    """:class:`UvLine` in the supervisor's hands, with a note of all that it is told.

    Args:
        line: the line.
        pin: as it is named in the notes.
        recorder: takes them.
    """

    def __init__(self, line: UvLine, pin: int, recorder: Recorder) -> None:
        self._line = line
        self._pin = pin
        self._recorder = recorder
        self._lit = False

    def open(self) -> None:
        """Take the line.  Raises LightError."""
        with self._noted_errors():
            self._line.open()
        self._recorder.note(WIRE, "lease", "connected")

    def is_live(self) -> bool:
        """Whether the supervisor is there."""
        live = self._line.is_live()
        if not live:
            self._recorder.note(WIRE, "lease", "not live")
        return live

    def on(self, until_s: float) -> None:
        """Drive the line high.  Raises LightError."""
        lease_ms = (until_s - time.monotonic()) * 1000.0
        self._lit = True
        with self._noted_errors():
            self._line.on(until_s)
        self._recorder.note(WIRE, "lease", f"begun for {lease_ms:.1f} ms")
        self._recorder.note(WIRE, "driven", {"pin": self._pin, "level": 1})

    def off(self) -> None:
        """Drive the line low.  Raises LightError, DeviceError."""
        with self._noted_errors():
            self._line.off()
        if self._lit:
            self._lit = False
            self._recorder.note(WIRE, "driven", {"pin": self._pin, "level": 0})
            self._recorder.note(WIRE, "lease", "ended")

    def close(self) -> None:
        """Give the line up.  Never raises."""
        self._line.close()
        self._recorder.note(WIRE, "lease", "closed")

    @contextmanager
    def _noted_errors(self) -> Iterator[None]:
        try:
            yield
        except DeviceError as error:
            self._recorder.note(WIRE, "error", error.as_dict())
            raise
