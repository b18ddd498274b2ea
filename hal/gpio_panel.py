"""The front panel on GPIO lines: start button, lid switch, three lamps."""

from __future__ import annotations

import logging

from hal.clock import Clock
from hal.config import PanelConfig
from hal.errors import DeviceClosedError, DeviceError
from hal.gpio import GPIO_FAILURES, Gpio
from hal.panel import Lamp

log = logging.getLogger(__name__)

_GREEN_AMBER_RED: dict[Lamp, tuple[bool, bool, bool]] = {
    Lamp.OFF: (False, False, False),
    Lamp.READY: (True, False, False),
    Lamp.BUSY: (False, True, False),
    Lamp.DONE: (True, True, False),
    Lamp.FAULT: (False, False, True),
}


class GpioPanel:
    """:class:`hal.panel.Panel` on GPIO lines.

    Pull-ups are external, because some providers ignore the setting.

    Args:
        gpio: provider of the lines.
        config: pins and debounce time.
        clock: measures the debounce time; real time, because a finger is real.
    """

    def __init__(self, gpio: Gpio, config: PanelConfig, clock: Clock) -> None:
        self._gpio = gpio
        self._config = config
        self._clock = clock
        self._lamps = (config.lamp_green_pin, config.lamp_amber_pin, config.lamp_red_pin)
        self._open = False
        self._button_down = False
        self._level_down = False
        self._level_since_s = 0.0

    def open(self) -> None:
        """Claim the lines and show :attr:`Lamp.OFF`.  Raises DeviceError."""
        if self._open:
            return
        try:
            for pin in self._lamps:
                self._gpio.setup(pin, self._gpio.OUT, initial=self._gpio.LOW)
            for pin in (self._config.start_pin, self._config.lid_pin):
                self._gpio.setup(pin, self._gpio.IN)
        except GPIO_FAILURES as error:
            raise _panel_failed(error) from error
        self._open = True
        # A button held down while the instrument starts is not a press.
        self._level_down = self._button_down = self._reads(self._config.start_pin, self._gpio.LOW)
        self._level_since_s = self._clock.monotonic_s()

    @property
    def lid_closed(self) -> bool:
        """Whether the lid is closed: two readings agree.

        Raises:
            DeviceError: the line cannot be read.
            DeviceClosedError: the panel is not open.
        """
        pin = self._config.lid_pin
        return self._reads(pin, self._gpio.HIGH) and self._reads(pin, self._gpio.HIGH)

    def take_start_press(self) -> bool:
        """Return True once per press that has held for the debounce time.

        Poll it at least as often as the shortest press that should count.

        Raises:
            DeviceError: the line cannot be read.
            DeviceClosedError: the panel is not open.
        """
        down = self._reads(self._config.start_pin, self._gpio.LOW)
        now_s = self._clock.monotonic_s()
        if down != self._level_down:
            self._level_down, self._level_since_s = down, now_s
        if (now_s - self._level_since_s) * 1000.0 < self._config.debounce_ms:
            return False
        pressed = down and not self._button_down
        self._button_down = down
        return pressed

    def show(self, lamp: Lamp) -> None:
        """Set the lamps.  Raises DeviceError, DeviceClosedError."""
        self._require_open()
        try:
            self._light_up(lamp)
        except GPIO_FAILURES as error:
            raise _panel_failed(error) from error

    def close(self) -> None:
        """Lamps off and lines released.  Never raises; can be called twice."""
        if not self._open:
            return
        self._open = False
        try:
            self._light_up(Lamp.OFF)
            for pin in (*self._lamps, self._config.start_pin, self._config.lid_pin):
                self._gpio.cleanup(pin)
        except GPIO_FAILURES as error:
            log.warning("the panel could not be released: %s", error)

    def _light_up(self, lamp: Lamp) -> None:
        for pin, lit in zip(self._lamps, _GREEN_AMBER_RED[lamp], strict=True):
            self._gpio.output(pin, self._gpio.HIGH if lit else self._gpio.LOW)

    def _reads(self, pin: int, level: int) -> bool:
        self._require_open()
        try:
            return self._gpio.input(pin) == level
        except GPIO_FAILURES as error:
            raise _panel_failed(error) from error

    def _require_open(self) -> None:
        if not self._open:
            raise DeviceClosedError("The front panel is closed.", remedy="Open the panel first.")


def _panel_failed(error: Exception) -> DeviceError:
    return DeviceError(
        f"The front panel's lines failed: {error}.",
        remedy="Restart the instrument; if it stays, have the panel's cable checked.",
        code="PANEL",
    )
