"""The part of the ``RPi.GPIO`` interface that the instrument uses, and how a provider is loaded."""

from __future__ import annotations

import importlib
import sys
from typing import Protocol, cast

from hal.errors import DeviceError


class Gpio(Protocol):
    """A module or object with the interface of ``RPi.GPIO``; pins are BOARD numbers."""

    BOARD: int
    IN: int
    OUT: int
    LOW: int
    HIGH: int

    def setmode(self, mode: int, /) -> None:
        """Choose the pin numbering; the same choice may be repeated."""

    def setwarnings(self, enabled: bool, /) -> None:
        """Say whether pins left over from a killed process are warned about."""

    def setup(self, channel: int, direction: int, /, *, initial: int = ...) -> None:
        """Claim a pin; an output takes its first level in the same call."""

    def output(self, channel: int, level: int, /) -> None:
        """Drive an output."""

    def input(self, channel: int, /) -> int:
        """Read a pin; on an output, the driven level."""

    def cleanup(self, channel: int, /) -> None:
        """Release a pin."""


GPIO_FAILURES = (Exception,)
"""What the providers raise when a line fails: RPi.GPIO a RuntimeError or ValueError, Jetson.GPIO
also an OSError or a plain Exception, rpi-lgpio also ``lgpio.error``, which is nothing but an
Exception."""


def load_gpio(provider: str) -> Gpio:
    """Import the GPIO provider ``provider`` and set BOARD numbering.

    Jetson.GPIO and rpi-lgpio both offer the module ``RPi.GPIO``.  There is no fallback: an
    instrument that cannot switch its light must not pretend to.

    Raises:
        DeviceError: the provider is not installed or refuses this board.
    """
    try:
        gpio = cast(Gpio, importlib.import_module(provider))
        _keep_chips_open()
        gpio.setmode(gpio.BOARD)
        gpio.setwarnings(False)
    except GPIO_FAILURES as error:
        raise DeviceError("GPIO", provider=provider, reason=error) from error
    return gpio


def _keep_chips_open() -> None:
    """Keep Jetson.GPIO from closing descriptors that are no longer its own.

    Releasing one channel, version 2.1.13 closes the chip's descriptor, which all channels share;
    every other channel closes the same number again when it is released, and by then it may belong
    to a database or a connection.  A chip that stays open holds no line.
    """
    jetson = sys.modules.get("Jetson.GPIO.gpio_cdev")
    if jetson is not None:
        jetson.close_chip = lambda chip_fd: None  # type: ignore[attr-defined]
