"""A stage driver on the emulated controller, with a clock whose speed can be changed."""

from __future__ import annotations

import time
from dataclasses import dataclass

from hal.clock import SystemClock
from hal.config import StageConfig
from hal.grbl.driver import GrblStage
from hal.sim.grbl_emulator import GrblEmulator

SPEED = 100.0


class AdjustableClock(SystemClock):
    """A clock whose speed can change without a jump."""

    def __init__(self, speed: float) -> None:
        super().__init__(speed)
        self._offset_s = 0.0

    def monotonic_s(self) -> float:
        return self._offset_s + time.monotonic() * self.speed

    def set_speed(self, speed: float) -> None:
        now_s = self.monotonic_s()
        self.speed = speed
        self._offset_s = now_s - time.monotonic() * speed


@dataclass
class StageRig:
    """The driver and what it talks to."""

    stage: GrblStage
    emulator: GrblEmulator
    config: StageConfig
    clock: AdjustableClock
