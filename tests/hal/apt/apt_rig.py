"""An APT stage driver on emulated controllers, and what tests do with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Thread

import pytest
from stage_rig import SLOW, SPEED, AdjustableClock

from hal.config import AptConfig, StageConfig
from hal.sim.apt.emulator import AptEmulator
from hal.stage.apt.driver import AptStage

FAR_UM = 28_000.0
STAGE = AptConfig(travel_x_mm=30.0, travel_y_mm=30.0, travel_z_mm=6.0, speed_xy_mm_per_s=20.0)


@dataclass
class Rig:
    """The driver and what it talks to."""

    stage: AptStage
    emulator: AptEmulator
    config: StageConfig
    apt: AptConfig
    clock: AdjustableClock


def wait_until(true: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 30.0
    while not true() and time.monotonic() < deadline_s:
        Event().wait(0.002)
    assert true()


def in_thread(action: Callable[[], object]) -> tuple[Thread, list[BaseException]]:
    raised: list[BaseException] = []

    def run() -> None:
        try:
            action()
        except BaseException as error:
            raised.append(error)

    thread = Thread(target=run)
    thread.start()
    return thread, raised


def move_far(rig: Rig, cancel: Event | None = None) -> tuple[Thread, list[BaseException]]:
    """Move slowly in another thread; return when it is on its way."""
    rig.clock.set_speed(SLOW)
    thread, raised = in_thread(lambda: rig.stage.move_to(x_um=FAR_UM, cancel=cancel))
    wait_until(lambda: rig.emulator.true_position_um()[0] > 2000.0)
    return thread, raised


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
