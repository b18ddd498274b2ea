"""An APT stage driver on emulated controllers, and what tests do with it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from stage_rig import SPEED, AdjustableClock

from hal.config import AptConfig, StageConfig
from hal.sim.apt.emulator import AptEmulator
from hal.stage.apt.driver import AptStage

STAGE = AptConfig(travel_x_mm=30.0, travel_y_mm=30.0, travel_z_mm=6.0, speed_xy_mm_per_s=20.0)


@dataclass
class Rig:
    """The driver and what it talks to."""

    stage: AptStage
    emulator: AptEmulator
    config: StageConfig
    apt: AptConfig
    clock: AdjustableClock


def stands_still(rig: Rig) -> bool:
    rig.clock.set_speed(SPEED)
    before = rig.emulator.true_position_um()
    rig.clock.sleep(1.0)
    # What still swings is well below the resolution of the objective.
    return rig.emulator.true_position_um() == pytest.approx(before, abs=0.2)


def home_and_move(rig: Rig) -> None:
    rig.clock.set_speed(SPEED)
    rig.stage.home()
    assert rig.stage.move_to(x_um=4000.0).x_um == pytest.approx(4000.0, abs=0.6)
