"""A stage driver on the emulated controller, with a clock whose speed can be changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from typing import Protocol

from hal.clock import SIMULATED_PATIENCE_S, SystemClock
from hal.config import StageConfig
from hal.interfaces.stage import Stage
from hal.sim.apt.emulator import AptEmulator
from hal.sim.grbl.emulator import GrblEmulator
from hal.stage.grbl.driver import GrblStage

FAR_UM = 28_000.0
SPEED = 100.0
SLOW = 0.2
"""For what happens on the way: a busy computer has seconds to do it in."""


def wait_until(true: Callable[[], bool]) -> None:
    """Wait for something that another thread does."""
    deadline_s = time.monotonic() + 30.0
    while not true() and time.monotonic() < deadline_s:
        Event().wait(0.002)
    assert true()


def in_thread(action: Callable[[], object]) -> tuple[Thread, list[BaseException]]:
    """Start ``action``; return its thread and the list that will hold what it raises."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            action()
        except BaseException as error:
            raised.append(error)

    thread = Thread(target=run)
    thread.start()
    return thread, raised


class AdjustableClock(SystemClock):
    """A clock whose speed can change without a jump."""

    def __init__(self, speed: float) -> None:
        super().__init__(speed, SIMULATED_PATIENCE_S)
        self._offset_s = 0.0

    def monotonic_s(self) -> float:
        return self._offset_s + time.monotonic() * self.speed

    def set_speed(self, speed: float) -> None:
        now_s = self.monotonic_s()
        self.speed = speed
        self._offset_s = now_s - time.monotonic() * speed

    @contextmanager
    def impatient(self, patience_s: float = 0.1) -> Iterator[None]:
        """Wait less for a controller whose silence is what is tested."""
        self.patience_s = patience_s
        try:
            yield
        finally:
            self.patience_s = SIMULATED_PATIENCE_S


@dataclass
class StageRig:
    """The driver and what it talks to."""

    stage: GrblStage
    emulator: GrblEmulator
    config: StageConfig
    clock: AdjustableClock

    def wait_for_state(self, name: str) -> None:
        """Wait until the controller has read what makes it ``name`` and has said all about it."""
        firmware, lock = self.emulator._firmware, self.emulator._lock
        deadline_s = time.monotonic() + 30.0
        while time.monotonic() < deadline_s:
            with lock:
                if firmware._state_name().startswith(name) and firmware.next_event_s() is None:
                    return
            Event().wait(0.002)
        raise AssertionError(f"the controller is never in the state {name}")


class MovingRig(Protocol):
    """A driver on emulated controllers, whichever they are."""

    @property
    def stage(self) -> Stage: ...

    @property
    def emulator(self) -> GrblEmulator | AptEmulator: ...

    @property
    def clock(self) -> AdjustableClock: ...


def move_far(rig: MovingRig, cancel: Event | None = None) -> tuple[Thread, list[BaseException]]:
    """Move slowly in another thread; return when it is on its way."""
    rig.clock.set_speed(SLOW)
    thread, raised = in_thread(lambda: rig.stage.move_to(x_um=FAR_UM, cancel=cancel))
    wait_until(lambda: rig.emulator.true_position_um()[0] > 2000.0)
    return thread, raised
