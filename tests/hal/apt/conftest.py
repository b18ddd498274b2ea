"""The APT stage driver on emulated controllers, run fast."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from apt_rig import STAGE, Rig
from stage_rig import SPEED, AdjustableClock

from hal.config import StageConfig
from hal.sim.apt.emulator import AptEmulator
from hal.stage.apt.driver import AptStage


@pytest.fixture
def closed_rig() -> Iterator[Rig]:
    clock = AdjustableClock(SPEED)
    emulator = AptEmulator(STAGE, clock, start_um=(5000.0, 6000.0, 2000.0))
    config = StageConfig(driver="apt", port=emulator.port)
    apt = STAGE.model_copy(update={"port_z": emulator.port_z})
    stage = AptStage(config, apt, clock)
    yield Rig(stage, emulator, config, apt, clock)
    stage.close()
    emulator.close()


@pytest.fixture
def rig(closed_rig: Rig) -> Rig:
    closed_rig.stage.open()
    closed_rig.stage.home()
    return closed_rig
