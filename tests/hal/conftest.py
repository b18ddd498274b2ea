"""A stage driver on the emulated controller, run fast."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from stage_rig import SPEED, AdjustableClock, StageRig

from hal import serial_port
from hal.config import StageConfig
from hal.grbl.driver import GrblStage
from hal.sim.grbl_emulator import GrblEmulator

# A loaded computer may stall any example; that says nothing about the code.
settings.register_profile("loaded", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("loaded")


@pytest.fixture
def closed_rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[StageRig]:
    # Silence is waited for in real time; the emulator answers within a millisecond.
    monkeypatch.setattr(serial_port, "MIN_REAL_WAIT_S", 0.08)
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
