"""The front panel on GPIO lines: start button, lid switch, three lamps, buzzer."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from hal.clock import Clock
from hal.config import PanelConfig
from hal.errors import DeviceClosedError, DeviceError
from hal.interfaces.gpio import GPIO_FAILURES, Gpio
from hal.interfaces.panel import Lamp, Press, Sound
from hal.panel.button import Button
from hal.panel.patterns import SILENT, STEADY, Pattern, PatternPlayer

log = logging.getLogger(__name__)

GREEN_AMBER_RED: Final[dict[Lamp, tuple[bool, bool, bool]]] = {
    Lamp.OFF: (False, False, False),
    Lamp.READY: (True, False, False),
    Lamp.BUSY: (False, True, False),
    Lamp.PAUSED: (False, True, True),
    Lamp.DONE: (True, True, False),
    Lamp.REFUSED: (True, False, True),
    Lamp.FAULT: (False, False, True),
}

RHYTHM: Final[dict[Lamp, Pattern]] = {
    Lamp.OFF: SILENT,
    Lamp.READY: STEADY,
    Lamp.BUSY: Pattern((1000.0, 1000.0)),
    Lamp.PAUSED: Pattern((200.0, 1800.0)),
    Lamp.DONE: Pattern((200.0, 200.0, 200.0, 1400.0)),
    Lamp.REFUSED: Pattern((200.0, 200.0, 200.0, 200.0, 200.0, 1000.0)),
    Lamp.FAULT: Pattern((250.0, 250.0)),
}
"""Every state has its own rhythm, so that nobody needs to see colours; at most 2.5 flashes/s."""

BEEPS: Final[dict[Sound, Pattern]] = {
    Sound.CLICK: Pattern((30.0,), repeats=False),
    Sound.DONE: Pattern((150.0, 100.0, 400.0), repeats=False),
    Sound.REFUSED: Pattern((800.0,), repeats=False),
    Sound.FAULT: Pattern((150.0, 150.0) * 5, repeats=False),
}


class GpioPanel:
    """:class:`hal.interfaces.panel.Panel` on GPIO lines.

    Pull-ups are external, because some providers ignore the setting.

    Args:
        gpio: provider of the lines.
        config: pins and times.
        clock: measures presses and patterns; real time, because a person is real.
    """

    def __init__(self, gpio: Gpio, config: PanelConfig, clock: Clock) -> None:
        self._gpio = gpio
        self._config = config
        self._clock = clock
        self._lamps = (config.lamp_green_pin, config.lamp_amber_pin, config.lamp_red_pin)
        self._outputs = (*self._lamps, *((config.buzzer_pin,) if config.buzzer_pin else ()))
        self._inputs = (config.start_pin, config.lid_pin)
        self._open = False
        self._button: Button | None = None
        self._lamp = Lamp.OFF
        self._rhythm = PatternPlayer(clock)
        self._beep = PatternPlayer(clock)
        self._driven: dict[int, bool] = {}

    def open(self) -> None:
        """Claim the lines and show :attr:`Lamp.OFF`.  Raises DeviceError."""
        if self._open:
            return
        with self._guarded():
            for pin in self._outputs:
                self._gpio.setup(pin, self._gpio.OUT, initial=self._gpio.LOW)
                self._driven[pin] = False
            for pin in self._inputs:
                self._gpio.setup(pin, self._gpio.IN)
        self._open = True
        self._lamp = Lamp.OFF
        self._beep.play(SILENT)
        self._button = Button(
            self._clock,
            debounce_ms=self._config.debounce_ms,
            long_press_ms=self._config.long_press_ms,
            down=self._reads(self._config.start_pin, self._gpio.LOW),
        )

    @property
    def lid_closed(self) -> bool:
        """Whether the lid is closed: two readings agree.

        Raises:
            DeviceError: the line cannot be read.
            DeviceClosedError: the panel is not open.
        """
        pin = self._config.lid_pin
        return self._reads(pin, self._gpio.HIGH) and self._reads(pin, self._gpio.HIGH)

    def take_press(self) -> Press | None:
        """Return a press or hold of the start button, each once.

        Poll it at least as often as the shortest press that should count.

        Raises:
            DeviceError: the line cannot be read.
            DeviceClosedError: the panel is not open.
        """
        down = self._reads(self._config.start_pin, self._gpio.LOW)
        return self._button.look(down) if self._button is not None else None

    def show(self, lamp: Lamp) -> None:
        """Begin a pattern of the lamps.  Raises DeviceError, DeviceClosedError."""
        self._require_open()
        self._lamp = lamp
        self._rhythm.play(RHYTHM[lamp])
        self.tick()

    def sound(self, sound: Sound) -> None:
        """Begin a pattern of the buzzer.  Raises DeviceError, DeviceClosedError."""
        self._require_open()
        self._beep.play(BEEPS[sound])
        self.tick()

    def tick(self) -> None:
        """Let lamps and buzzer follow their patterns.  Raises DeviceError, DeviceClosedError."""
        self._require_open()
        lit = self._rhythm.is_on
        wanted = dict(
            zip(self._lamps, (lit and part for part in GREEN_AMBER_RED[self._lamp]), strict=True)
        )
        if self._config.buzzer_pin:
            wanted[self._config.buzzer_pin] = self._beep.is_on
        with self._guarded():
            for pin, on in wanted.items():
                self._drive(pin, on)

    def close(self) -> None:
        """Lamps and buzzer off, lines released.  Never raises; can be called twice."""
        if not self._open:
            return
        self._open = False
        self._go_dark()
        for pin in (*self._outputs, *self._inputs):
            try:
                self._gpio.cleanup(pin)
            except GPIO_FAILURES as error:
                log.warning("pin %d of the panel could not be released: %s", pin, error)

    def _drive(self, pin: int, on: bool) -> None:
        if self._driven.get(pin) is not on:
            self._gpio.output(pin, self._gpio.HIGH if on else self._gpio.LOW)
            self._driven[pin] = on

    def _go_dark(self) -> None:
        """Every output low, as far as it obeys."""
        self._lamp = Lamp.OFF
        self._beep.play(SILENT)
        for pin in self._outputs:
            try:
                self._gpio.output(pin, self._gpio.LOW)
                self._driven[pin] = False
            except GPIO_FAILURES as error:
                self._driven.pop(pin, None)
                log.warning("pin %d of the panel does not go low: %s", pin, error)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Turn a failure of a line into a DeviceError, with everything dark."""
        try:
            yield
        except GPIO_FAILURES as error:
            self._go_dark()
            raise DeviceError("PANEL", reason=error) from error

    def _reads(self, pin: int, level: int) -> bool:
        self._require_open()
        with self._guarded():
            return self._gpio.input(pin) == level

    def _require_open(self) -> None:
        if not self._open:
            raise DeviceClosedError("PANEL-CLOSED")
