"""Stage moves that end still."""

from __future__ import annotations

from threading import Event

from device.config import ScanConfig
from hal.clock import Clock
from hal.stage import Position, Stage


class Mover:
    """Moves and settles; every wait ends with Cancelled when ``cancel`` is set."""

    def __init__(self, stage: Stage, clock: Clock, scan: ScanConfig, cancel: Event) -> None:
        self._stage = stage
        self._clock = clock
        self._settle_xy_s = scan.settle_xy_ms / 1000.0
        self._settle_z_s = scan.settle_z_ms / 1000.0
        self._cancel = cancel

    def home(self) -> None:
        """Home the stage when its position is not known."""
        if not self._stage.homed:
            self._stage.home(self._cancel)

    def to(self, x_um: float, y_um: float, z_um: float) -> Position:
        """Go to a place and stand still there; return the position reported."""
        position = self._stage.move_to(x_um, y_um, z_um, self._cancel)
        self._clock.sleep(self._settle_xy_s, self._cancel)
        return position

    def to_z(self, z_um: float) -> None:
        """Change the focus and stand still."""
        self._stage.move_to(z_um=z_um, cancel=self._cancel)
        self._clock.sleep(self._settle_z_s, self._cancel)
