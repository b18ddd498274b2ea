"""The read-back line of the LED: does current flow when, and only when, it should?"""

from __future__ import annotations

import logging
import time
from typing import Final

from hal.errors import LedError, LightError
from hal.interfaces.gpio import GPIO_FAILURES, Gpio

log = logging.getLogger(__name__)

AGREE_S: Final = 0.010
_POLL_S: Final = 0.001


class LedCurrent:
    """Compares the current with what the light's line asks for, in real time.

    With the camera's strobe in series the current flows only while the camera exposes, so during a
    pulse it must have been seen once; after it, it must be gone.

    Args:
        gpio: provider of the line.
        pin: input that is high while current flows.
    """

    def __init__(self, gpio: Gpio, pin: int) -> None:
        self._gpio = gpio
        self._pin = pin
        self._seen = False
        self._on_since_s = 0.0

    def open(self) -> None:
        """Claim the line; raises LightError."""
        try:
            self._gpio.setup(self._pin, self._gpio.IN)
        except GPIO_FAILURES as error:
            raise LightError("LIGHT-READBACK-LINE", pin=self._pin, reason=error) from error

    def close(self) -> None:
        """Release the line.  Never raises."""
        try:
            self._gpio.cleanup(self._pin)
        except GPIO_FAILURES as error:
            log.warning("the read-back line could not be released: %s", error)

    def begin(self) -> None:
        """Make sure that no current flows before a pulse, and forget the last one.

        Raises:
            LedError: current flows although the light is off.
        """
        self._seen = False
        if self._flows():
            raise LedError("LIGHT-READBACK-BEFORE", pin=self._pin)

    def expect(self) -> None:
        """Note that the light is on from now."""
        self._on_since_s = time.monotonic()

    @property
    def seen(self) -> bool:
        """Whether current was seen in this pulse."""
        return self._seen

    def fault_when_on(self) -> LedError | None:
        """Return the fault if no current was seen 10 ms after :meth:`expect`."""
        try:
            self._seen = self._seen or self._flows()
        except LedError as error:
            return error
        if self._seen or time.monotonic() - self._on_since_s < AGREE_S:
            return None
        return LedError("LIGHT-READBACK", pin=self._pin)

    def fault_when_off(self) -> LedError | None:
        """Wait at most 10 ms for the current to end; return the fault if it does not."""
        give_up_s = time.monotonic() + AGREE_S
        try:
            while self._flows():
                if time.monotonic() > give_up_s:
                    return LedError("LIGHT-READBACK-AFTER", pin=self._pin)
                time.sleep(_POLL_S)
        except LedError as error:
            return error
        return None

    def _flows(self) -> bool:
        try:
            return self._gpio.input(self._pin) == self._gpio.HIGH
        except GPIO_FAILURES as error:
            raise LedError("LIGHT-READBACK-FAILED", pin=self._pin, reason=error) from error
