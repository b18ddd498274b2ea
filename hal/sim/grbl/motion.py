"""Motion of the simulated stage: a queue of blocks, backlash and stopping error."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from hal.sim.serial.trapezoid import Trapezoid, Vector

PLANNER_BLOCKS = 15


@dataclass(frozen=True)
class Block:
    """One straight move in machine coordinates, mm."""

    target: Vector
    feed_mm_per_s: float
    acceleration_mm_per_s2: float
    is_jog: bool


class Mover:
    """Executes blocks one after the other, each from rest to rest.

    Times are seconds of the caller's clock and must not go back.
    """

    def __init__(self, position_mm: Vector) -> None:
        self._rest: Vector = position_mm
        self._queue: deque[Block] = deque()
        self._block: Block | None = None
        self._profile = Trapezoid(0.0, 0.0, 0.0, 1.0)
        self._braking = False
        self._start_s = 0.0

    @property
    def is_moving(self) -> bool:
        """Whether a block is being executed."""
        return self._block is not None

    @property
    def is_jogging(self) -> bool:
        """Whether the current block is a jog."""
        return self._block is not None and self._block.is_jog

    @property
    def has_work(self) -> bool:
        """Whether anything is queued or executed."""
        return self._block is not None or bool(self._queue)

    @property
    def is_full(self) -> bool:
        """Whether the planner takes no further block."""
        return len(self._queue) + (self._block is not None) >= PLANNER_BLOCKS

    @property
    def planned_end(self) -> Vector:
        """Where the axes stand when everything queued is done."""
        if self._queue:
            return self._queue[-1].target
        return self._block.target if self._block is not None else self._rest

    @property
    def end_s(self) -> float | None:
        """When the current block ends, or None at rest."""
        return None if self._block is None else self._start_s + self._profile.duration

    def push(self, block: Block) -> None:
        """Queue ``block``."""
        self._queue.append(block)

    def start_next(self, now_s: float) -> None:
        """Begin the next queued block, if there is one and nothing moves."""
        while self._block is None and self._queue:
            self._begin(self._queue.popleft(), now_s)

    def finish(self) -> None:
        """End the current block at its end point."""
        end_s = self.end_s
        if end_s is not None:
            self._rest = self.position(end_s)
            self._block = None

    def brake(self, now_s: float) -> None:
        """Slow down to rest from the present speed; what is left is forgotten."""
        if self._block is None or self._braking:
            return
        here = self.position(now_s)
        speed = self._profile.speed(now_s - self._start_s)
        profile = Trapezoid.stop(speed, self._block.acceleration_mm_per_s2)
        ratio = 0.0
        if (left := math.dist(here, self._block.target)) > 0.0:
            ratio = min(1.0, profile.length / left)
        stop_at = tuple(a + (b - a) * ratio for a, b in zip(here, self._block.target, strict=True))
        x, y, z = stop_at
        self._block = Block(
            (x, y, z), speed, self._block.acceleration_mm_per_s2, self._block.is_jog
        )
        self._rest, self._profile, self._start_s = here, profile, now_s
        self._braking = True

    def clear_queue(self) -> None:
        """Forget the queued blocks; the current one goes on."""
        self._queue.clear()

    def unfinished(self) -> list[Block]:
        """Return the blocks not yet done, the current one first."""
        return ([self._block] if self._block is not None else []) + list(self._queue)

    def halt(self, now_s: float) -> None:
        """Stand still at once and forget everything."""
        self._rest = self.position(now_s)
        self._block = None
        self._queue.clear()

    def position(self, now_s: float) -> Vector:
        """Return the machine position, mm."""
        if self._block is None:
            return self._rest
        length = math.dist(self._rest, self._block.target)
        covered = self._profile.distance(now_s - self._start_s)
        ratio = min(1.0, covered / length) if length else 1.0
        x, y, z = (a + (b - a) * ratio for a, b in zip(self._rest, self._block.target, strict=True))
        return (x, y, z)

    def speed(self, now_s: float) -> float:
        """Return the speed along the path, mm/s."""
        return 0.0 if self._block is None else self._profile.speed(now_s - self._start_s)

    def _begin(self, block: Block, now_s: float) -> None:
        length = math.dist(self._rest, block.target)
        if length == 0.0:
            return
        self._block = block
        self._profile = Trapezoid(length, 0.0, block.feed_mm_per_s, block.acceleration_mm_per_s2)
        self._start_s = now_s
        self._braking = False


@dataclass(frozen=True)
class Mechanics:
    """How far the carriage is from where the motor should have put it, um per axis.

    Attributes:
        backlash_um: way that a reversing motor turns before the carriage follows.
        repeatability_um: standard deviation of the stopping error.
        slip_um: what the carriage falls behind with every move of the axis.
        switch_slip_um: how far the home switch has moved at every homing.
    """

    backlash_um: Vector = (4.0, 4.0, 2.0)
    repeatability_um: Vector = (1.0, 1.0, 0.1)
    slip_um: Vector = (0.0, 0.0, 0.0)
    switch_slip_um: Vector = (0.0, 0.0, 0.0)


class Carriage:
    """The slide: follows the motors with backlash, and stops a little elsewhere each time."""

    def __init__(self, mechanics: Mechanics, motor_mm: Vector, seed: int) -> None:
        self.mechanics = mechanics
        self._rng = np.random.default_rng(seed)
        self._carriage_mm = motor_mm
        self._error_um: Vector = (0.0, 0.0, 0.0)
        self._slipped_um: Vector = (0.0, 0.0, 0.0)
        self._switch_um: Vector = (0.0, 0.0, 0.0)

    def follow(self, motor_mm: Vector) -> Vector:
        """Let the motors be at ``motor_mm``; return where the slide is, mm."""
        x, y, z = (
            min(max(carriage, motor - play_um / 2000.0), motor + play_um / 2000.0)
            for carriage, motor, play_um in zip(
                self._carriage_mm, motor_mm, self.mechanics.backlash_um, strict=True
            )
        )
        self._carriage_mm = (x, y, z)
        ex, ey, ez = (a + b for a, b in zip(self._error_um, self._slipped_um, strict=True))
        return (x + ex / 1000.0, y + ey / 1000.0, z + ez / 1000.0)

    def settle_at_home(self) -> None:
        """Forget what slipped: the switches say where the carriage is, as far as they stay."""
        x, y, z = (
            a + b for a, b in zip(self._switch_um, self.mechanics.switch_slip_um, strict=True)
        )
        self._switch_um = self._slipped_um = (x, y, z)

    def disturb(self, moved: tuple[bool, bool, bool]) -> None:
        """Draw a new stopping error, at most three standard deviations, for axes that move."""
        x, y, z = (
            float(np.clip(self._rng.normal(), -3.0, 3.0)) * sigma_um if moves else error_um
            for moves, sigma_um, error_um in zip(
                moved, self.mechanics.repeatability_um, self._error_um, strict=True
            )
        )
        self._error_um = (x, y, z)
        x, y, z = (
            behind_um - slip_um if moves else behind_um
            for moves, slip_um, behind_um in zip(
                moved, self.mechanics.slip_um, self._slipped_um, strict=True
            )
        )
        self._slipped_um = (x, y, z)
