"""A stage driver on the emulated controller, run fast."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from hal.clock import SystemClock
from hal.config import StageConfig
from hal.grbl import link
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


@pytest.fixture
def closed_rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[StageRig]:
    # Silence is waited for in real time; the emulator answers within a millisecond.
    monkeypatch.setattr(link, "MIN_REAL_WAIT_S", 0.08)
    clock = AdjustableClock(SPEED)
    config = StageConfig(travel_x_mm=30.0, travel_y_mm=30.0, travel_z_mm=10.0)
    emulator = GrblEmulator(config, clock, start_um=(5000.0, 6000.0, 4000.0))
    config = config.model_copy(update={"port": emulator.port})
    stage = GrblStage(config, clock)
    yield StageRig(stage, emulator, config, clock)
    stage.close()
    emulator.close()


@pytest.fixture
def rig(closed_rig: StageRig) -> StageRig:
    closed_rig.stage.open()
    closed_rig.stage.home()
    return closed_rig
