"""Interface of the motorised three-axis stage."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Event
from typing import Protocol


@dataclass(frozen=True)
class Position:
    """A place in the stage frame, um: x to the right, y down in the image, z towards focus +."""

    x_um: float
    y_um: float
    z_um: float


@dataclass(frozen=True)
class Travel:
    """Reachable box of the stage frame, um: every axis runs from 0 to its length."""

    x_um: float
    y_um: float
    z_um: float


class Stage(Protocol):
    """Moves the slide.  :class:`hal.stage.guarded.GuardedStage` adds limits and the last approach.

    One owner thread; only :meth:`stop` may be called from another.

    After any :class:`~hal.errors.StageError` the stage stands still.  After an alarm, a reset or a
    reconnect :attr:`homed` is False and moves are refused until :meth:`home` succeeds.
    """

    @property
    def travel(self) -> Travel:
        """Reachable box, um."""

    @property
    def homed(self) -> bool:
        """Whether the position is known."""

    def open(self) -> None:
        """Connect and identify the controller.  Raises DeviceTimeoutError or StageError."""

    def home(self, cancel: Event | None = None) -> None:
        """Run the homing cycle; blocks until done.

        z goes first, away from the objective; x and y move when it is there.

        Raises:
            StageError: the controller failed, StageAlarmError where it says so itself.
            DeviceTimeoutError: no end before the deadline; motion was stopped.
            Cancelled: ``cancel`` was set; motion was stopped, the position is not known.
            DeviceClosedError: the stage is not open.
        """

    def move_to(
        self,
        x_um: float | None = None,
        y_um: float | None = None,
        z_um: float | None = None,
        cancel: Event | None = None,
    ) -> Position:
        """Move the named axes to absolute positions and wait until the stage stands still there.

        Returns the position reported after arrival.

        Raises:
            StageLimitError: target outside :attr:`travel`; nothing was sent.
            StageError: not homed, refused, or the position was lost.
            DeviceTimeoutError: no arrival before the deadline; motion was stopped.
            Cancelled: ``cancel`` was set; motion was stopped with the position kept.
            DeviceClosedError: the stage is not open.
        """

    def position(self) -> Position:
        """Ask the controller where the stage is, um."""

    def stop(self) -> None:
        """Stop any motion as fast as the position can be kept; safe from any thread."""

    def close(self) -> None:
        """Stop and disconnect.  Never raises; can be called twice."""
