"""The front panel as the engine uses it: what a person pressed, and what lamp and buzzer say."""

from __future__ import annotations

import logging
from typing import Final

from device.engine.state.states import State
from device.status import StopReason
from hal.errors import LeukoluxError
from hal.interfaces.panel import Lamp, Panel, Press, Sound

log = logging.getLogger(__name__)

_LAMPS: Final = {
    State.IDLE: Lamp.READY,
    State.PAUSED: Lamp.PAUSED,
    State.FAULT: Lamp.FAULT,
    State.SHUTTING_DOWN: Lamp.OFF,
}
"""What the lamp shows; the outcome when complete, busy in every other state."""


class FrontPanel:
    """Polled by the owner of the hardware wherever it passes or waits.

    A short press asks for a start, a long one for an abort; a press that started a run does not
    abort it, however long it is held.
    """

    def __init__(self, panel: Panel) -> None:
        self._panel = panel
        self._start = False
        self._abort = False
        self._spent = False
        self._failing = False
        self._refusing = False

    def poll(self) -> None:
        """Look at the button and continue the patterns of lamp and buzzer.

        Never raises: a failing panel must not end a run.
        """
        try:
            self._panel.tick()
            press = self._panel.take_press()
            if press is not None:
                self._panel.sound(Sound.CLICK)
        except LeukoluxError as error:
            if not self._failing:
                log.warning("the front panel does not work: %s", error)
            self._failing = True
            return
        self._failing = False
        if press is Press.SHORT:
            self._start, self._spent = True, False
        elif press is Press.LONG and not self._spent:
            self._abort = True

    def take_start(self) -> bool:
        """Return whether a start was asked for, and forget it; its press is used up then."""
        asked, self._start = self._start, False
        self._spent = self._spent or asked
        return asked

    def take_abort(self) -> bool:
        """Return whether an abort was asked for, and forget it."""
        asked, self._abort = self._abort, False
        return asked

    def forget(self) -> None:
        """Forget what was asked for in another state."""
        self._start = self._abort = False

    @property
    def refusing(self) -> bool:
        """Whether the lamp says that a press was refused."""
        return self._refusing

    def enter(self, state: State, reason: StopReason | None) -> None:
        """Show ``state``, and say that a run ended for ``reason`` or that something failed.

        Raises DeviceError.
        """
        self._refusing = False
        if state is State.COMPLETE:
            refused = reason is StopReason.REFUSED
            self._panel.show(Lamp.REFUSED if refused else Lamp.DONE)
            if refused:
                self._panel.sound(Sound.REFUSED)
            elif reason is not StopReason.ABORTED:
                self._panel.sound(Sound.DONE)
            return
        self._panel.show(_LAMPS.get(state, Lamp.BUSY))
        if state is State.FAULT:
            self._panel.sound(Sound.FAULT)

    def refuse(self, *, pressed: bool) -> None:
        """Say that a start is refused; after a press the lamp says so until a state is shown.

        Raises DeviceError.
        """
        self._panel.sound(Sound.REFUSED)
        if pressed:
            self._panel.show(Lamp.REFUSED)
            self._refusing = True
