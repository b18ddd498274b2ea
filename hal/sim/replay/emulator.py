"""A recording of the stage's controllers behind serial ports that a driver can open."""

from __future__ import annotations

from threading import Lock
from types import TracebackType

from hal.clock import Clock
from hal.errors import InputError
from hal.recorder.recording import Recording
from hal.sim.replay.controller import ReplayController
from hal.sim.serial.pseudo_terminal import PseudoTerminal


class ReplayEmulator:
    """Serves every serial conversation of a recording; a context manager.

    Args:
        recording: what to say.
        clock: paces the answers.

    Raises:
        InputError: the recording has no serial conversation.
    """

    def __init__(
        self,
        recording: Recording,
        clock: Clock,
    ) -> None:
        self.lock = Lock()
        spoken = {entry.wire for entry in recording.entries if entry.kind == "tx"}
        if not spoken:
            raise InputError("REPLAY-NO-SERIAL", path=recording.path)
        self._controllers = {
            wire: ReplayController(recording.path, recording.of(wire), recording.speed)
            for wire in recording.wires()
            if wire in spoken
        }
        self._terminals = {
            wire: PseudoTerminal(controller, clock, self.lock, "replay", lambda now_s: None)
            for wire, controller in self._controllers.items()
        }

    @property
    def ports(self) -> dict[str, str]:
        """Serial port of each connection, by its setting."""
        return {wire: terminal.port for wire, terminal in self._terminals.items()}

    @property
    def steps_left(self) -> int:
        """Recorded orders that the driver has not given yet."""
        with self.lock:
            return sum(controller.steps_left for controller in self._controllers.values())

    def check(self) -> None:
        """Raise InputError if a driver sent what was not recorded; names the line.

        Of several connections it is the first deviation: the others follow from it.
        """
        with self.lock:
            deviations = [
                (controller.deviated_s, controller.deviation)
                for controller in self._controllers.values()
                if controller.deviation is not None
            ]
        if deviations:
            raise min(deviations, key=lambda found: found[0])[1]

    def close(self) -> None:
        """Remove the ports.  Can be called twice."""
        for terminal in self._terminals.values():
            terminal.close()

    def __enter__(self) -> ReplayEmulator:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
