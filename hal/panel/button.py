"""A push button as a person uses it: debounced, pressed once, or held."""

from __future__ import annotations

from typing import Final

from hal.clock import Clock
from hal.interfaces.panel import Press

LOOKS: Final = 3
"""Number of equal looks in a row that count: two alone may fall on two bounces."""


class Button:
    """Turns levels into presses, on the injected clock.

    Args:
        debounce_ms: time a level must hold.
        long_press_ms: time after which a press that holds is a long one.
        down: level at the beginning; a button that is held then is no press until released.
    """

    def __init__(
        self, clock: Clock, *, debounce_ms: float, long_press_ms: float, down: bool
    ) -> None:
        self._clock = clock
        self._debounce_ms = debounce_ms
        self._long_press_ms = long_press_ms
        self._level = self._pressed = down
        self._long = down
        self._since_s = clock.monotonic_s()
        self._looks = 0

    def look(self, down: bool) -> Press | None:
        """Take the level read now; return what that makes of it, each press and hold once."""
        now_s = self._clock.monotonic_s()
        if down != self._level:
            self._level, self._since_s, self._looks = down, now_s, 0
        self._looks += 1
        held_ms = (now_s - self._since_s) * 1000.0
        if held_ms < self._debounce_ms or self._looks < LOOKS:
            return None
        if down != self._pressed:
            self._pressed, self._long = down, False
            return Press.SHORT if down else None
        if down and not self._long and held_ms >= self._long_press_ms:
            self._long = True
            return Press.LONG
        return None
