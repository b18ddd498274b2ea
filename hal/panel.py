"""Interface of the front panel: start button, status lamp, lid switch."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol


class Lamp(StrEnum):
    """What the status lamp shows."""

    OFF = "off"
    READY = "ready"
    BUSY = "busy"
    DONE = "done"
    FAULT = "fault"


class Panel(Protocol):
    """Levels are polled, because edge interrupts lose events on some boards."""

    def open(self) -> None:
        """Claim the lines and show :attr:`Lamp.OFF`.  Raises DeviceError."""

    @property
    def lid_closed(self) -> bool:
        """Whether the lid is closed, read twice and open when in doubt.  Raises DeviceError."""

    def take_start_press(self) -> bool:
        """Return True once per debounced press of the start button since the last call."""

    def show(self, lamp: Lamp) -> None:
        """Set the status lamp."""

    def close(self) -> None:
        """Lamp off and release the lines.  Never raises; can be called twice."""
