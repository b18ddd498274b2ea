"""The line that switches the UV light, whoever drives it."""

from __future__ import annotations

import logging
from typing import Protocol

from hal.interfaces.gpio import GPIO_FAILURES, Gpio
from hal.light.cuts import line_failed, line_stuck

log = logging.getLogger(__name__)


class UvLine(Protocol):
    """An output, high = on; used by one thread at a time."""

    def open(self) -> None:
        """Take the line, low from the first moment; if it is taken already, drive it low.

        Raises:
            LightError: it fails (LIGHT-LINE) or reads high although it is driven low (LIGHT-STUCK).
            SupervisorError: a supervisor should own it, and no supervisor answers.
        """

    def is_live(self) -> bool:
        """Return whether it was taken and has not been lost since."""

    def on(self, until_s: float) -> None:
        """Drive it high until :meth:`off`; a supervisor also ends it.

        Args:
            until_s: when the pulse must be over, on the computer's monotonic clock.

        Raises:
            LightError: it fails, or ``until_s`` has passed; :meth:`off` is still to be called.
            SupervisorError: as :meth:`open`.
        """

    def off(self) -> None:
        """Drive it low, if it was taken; returns when it is low.

        Raises:
            LightError: it does not obey (LIGHT-LINE).
            DeviceError: the supervisor does not answer, so the light may be on; no LightError,
                because another try gives no frame.
        """

    def close(self) -> None:
        """Give it back to its pull-down.  Never raises; can be called twice."""


class OwnLine:
    """:class:`UvLine` that this process drives.

    Args:
        gpio: provider of the line.
        pin: the line that enables the LED driver.
    """

    def __init__(self, gpio: Gpio, pin: int) -> None:
        self._gpio = gpio
        self._pin = pin
        self._claimed = False

    def open(self) -> None:
        """Claim the line, low; raises LightError."""
        try:
            if self._claimed:
                self._gpio.output(self._pin, self._gpio.LOW)
            else:
                self._gpio.setup(self._pin, self._gpio.OUT, initial=self._gpio.LOW)
                self._claimed = True
            stuck = self._gpio.input(self._pin) != self._gpio.LOW
        except GPIO_FAILURES as error:
            raise line_failed(self._pin, error) from error
        if stuck:
            raise line_stuck(self._pin)

    def is_live(self) -> bool:
        """Return whether the line is claimed."""
        return self._claimed

    def on(self, until_s: float) -> None:
        """Drive the line high; the caller ends it.  Raises LightError."""
        self._output(self._gpio.HIGH)

    def off(self) -> None:
        """Drive the line low when it is claimed; raises LightError."""
        if self._claimed:
            self._output(self._gpio.LOW)

    def close(self) -> None:
        """Release the line.  Never raises."""
        if not self._claimed:
            return
        self._claimed = False
        try:
            self._gpio.cleanup(self._pin)
        except GPIO_FAILURES:
            log.critical("the UV line could not be released", exc_info=True)

    def _output(self, level: int) -> None:
        try:
            self._gpio.output(self._pin, level)
        except GPIO_FAILURES as error:
            raise line_failed(self._pin, error) from error
