"""Interface of the UV light.  "On" is a lease with a deadline, never a state that stays."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol


class Light(Protocol):
    """The 260 nm LED.

    Off after construction, after every exception, and after close.  A pulse ends when its block
    ends, when its deadline passes, when the interlock opens, when its supervisor is gone, or at the
    hard maximum, whichever is first; the deadline runs on real time, never on scaled time.
    """

    @property
    def max_pulse_ms(self) -> float:
        """Hard maximum of one pulse, ms."""

    @property
    def is_on(self) -> bool:
        """Whether the line is driven high now."""

    @property
    def on_time_s(self) -> float:
        """Seconds of light given since construction."""

    def open(self) -> None:
        """Claim the line and drive it low.  Raises LightError."""

    def pulse(self, deadline_ms: float) -> AbstractContextManager[None]:
        """Light on for the block, at most ``deadline_ms``.

        Raises:
            LightError: ``deadline_ms`` is not in (0, max_pulse_ms]; the light was never on.  Or,
                on leaving the block: the pulse was ended early by its deadline, so the frame taken
                in it is not trustworthy.
            InterlockError: the lid is open, before or during the block, or it was and nobody
                acknowledged that.
            SupervisorError: there is no supervisor, or it ended during the block.
            DeviceError: the supervisor does not answer, so the light may be on; do not try again.
            LedError: the current of the LED is not what it should be; do not try again.
            DeviceClosedError: the light is not open.
        """

    def acknowledge_lid(self) -> None:
        """Allow light again after the lid was open; called on a person's word only.

        Raises InterlockError while the lid is open.
        """

    def off(self) -> None:
        """Drive the line low now; safe from any thread, at any time, also when closed."""

    def close(self) -> None:
        """Off and release the line.  Never raises; can be called twice."""


Interlock = Callable[[], bool]
"""Returns True while the lid is closed, i.e. while light is allowed."""
