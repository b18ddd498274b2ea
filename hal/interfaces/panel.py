"""Interface of the front panel: start button, status lamp, buzzer, lid switch."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol


class Lamp(StrEnum):
    """What the status lamp shows; each has a colour and a rhythm of its own."""

    OFF = "off"
    READY = "ready"
    BUSY = "busy"
    PAUSED = "paused"
    DONE = "done"
    REFUSED = "refused"
    FAULT = "fault"


class Sound(StrEnum):
    """What the buzzer says."""

    CLICK = "click"
    DONE = "done"
    REFUSED = "refused"
    FAULT = "fault"


class Press(StrEnum):
    """What a person did with the start button."""

    SHORT = "short"
    """Pressed; comes at once, also when it becomes a long one."""

    LONG = "long"
    """Still held after ``panel.long_press_ms``."""


class Panel(Protocol):
    """Levels are polled, because edge interrupts lose events on some boards.

    Nothing waits: whoever owns the panel calls :meth:`tick` and :meth:`take_press` in its loop.
    After any DeviceError the lamps are dark and the buzzer is silent, as far as the lines obey.
    """

    def open(self) -> None:
        """Claim the lines and show :attr:`Lamp.OFF`.  Raises DeviceError."""

    @property
    def lid_closed(self) -> bool:
        """Whether the lid is closed, read twice and open when in doubt.  Raises DeviceError."""

    def take_press(self) -> Press | None:
        """Return a debounced press or hold of the start button, each once.  Raises DeviceError."""

    def show(self, lamp: Lamp) -> None:
        """Begin a pattern of the status lamp.  Raises DeviceError."""

    def sound(self, sound: Sound) -> None:
        """Begin a pattern of the buzzer, where there is one.  Raises DeviceError."""

    def tick(self) -> None:
        """Let lamp and buzzer follow their patterns.  Raises DeviceError."""

    def close(self) -> None:
        """Lamp and buzzer off, lines released.  Never raises; can be called twice."""
