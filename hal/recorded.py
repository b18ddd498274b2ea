"""The light's line and lease, with a note of all that is done to them."""

from __future__ import annotations

from hal.errors import SupervisorError
from hal.gpio import Gpio
from hal.light_lease import Lease
from hal.recorder import Recorder

WIRE = "light"


class RecordedGpio:
    """:class:`hal.gpio.Gpio` that notes what is driven, and every change of what is read."""

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


class RecordedLease:
    """:class:`hal.light_lease.Lease` that notes what was asked and answered."""

    def __init__(self, lease: Lease, recorder: Recorder) -> None:
        self._lease = lease
        self._recorder = recorder

    def connect(self) -> None:
        """Find the supervisor.  Raises SupervisorError."""
        try:
            self._lease.connect()
        except SupervisorError as error:
            self._recorder.note(WIRE, "error", error.as_dict())
            raise
        self._recorder.note(WIRE, "lease", "connected")

    def is_live(self) -> bool:
        """Whether the supervisor is there."""
        live = self._lease.is_live()
        if not live:
            self._recorder.note(WIRE, "lease", "not live")
        return live

    def begin(self, deadline_ms: float) -> None:
        """Open a lease.  Raises SupervisorError."""
        try:
            self._lease.begin(deadline_ms)
        except SupervisorError as error:
            self._recorder.note(WIRE, "error", error.as_dict())
            raise
        self._recorder.note(WIRE, "lease", f"begun for {deadline_ms:g} ms")

    def end(self) -> None:
        """Tell that the line is low.  Never raises."""
        self._lease.end()
        self._recorder.note(WIRE, "lease", "ended")

    def close(self) -> None:
        """Give the connection up.  Never raises."""
        self._lease.close()
        self._recorder.note(WIRE, "lease", "closed")
