"""The axes an emulated controller drives: where it believes they are, and where the slide is."""

from __future__ import annotations

import math

from hal.sim.grbl.gcode import Move
from hal.sim.grbl.motion import Block, Carriage, Mechanics, Mover
from hal.sim.grbl.settings import GrblSettings
from hal.sim.serial.trapezoid import Vector


class Axes:
    """Motors and slide.

    Args:
        settings: steps, speeds, accelerations and travel.
        start_mm: where the axes physically are, in the frame that homing establishes.
        mechanics: backlash and stopping error.
        seed: of the stopping errors.
    """

    def __init__(
        self, settings: GrblSettings, start_mm: Vector, mechanics: Mechanics, seed: int
    ) -> None:
        self._settings = settings
        self.mover = Mover((0.0, 0.0, 0.0))
        # Physical place minus machine position: the controller does not know it.
        self._shift_mm = start_mm
        self._carriage = Carriage(mechanics, start_mm, seed)

    def wear(self, mechanics: Mechanics) -> None:
        """Give the carriage other mechanics from now on."""
        self._carriage.mechanics = mechanics

    def motor_mm(self, now_s: float) -> Vector:
        """Return where the motors physically are, mm."""
        x, y, z = (a + b for a, b in zip(self.machine_mm(now_s), self._shift_mm, strict=True))
        return (x, y, z)

    def true_mm(self, now_s: float) -> Vector:
        """Return where the slide physically is, mm."""
        return self._carriage.follow(self.motor_mm(now_s))

    def machine_mm(self, now_s: float) -> Vector:
        """Return the machine position in whole steps, mm."""
        x, y, z = (
            round(at * steps) / steps
            for at, steps in zip(self.mover.position(now_s), self._settings.axes(100), strict=True)
        )
        return (x, y, z)

    def declare(self, machine_mm: Vector, now_s: float) -> None:
        """Stop and call the present place ``machine_mm``; the axes stay where they are."""
        place = self.motor_mm(now_s)
        self.mover = Mover(machine_mm)
        x, y, z = (a - b for a, b in zip(place, machine_mm, strict=True))
        self._shift_mm = (x, y, z)

    def settle_at_home(self) -> None:
        """Touch the switches and back off: the machine position is the physical one again."""
        pulloff = self._settings[27]
        travel_x, travel_y, travel_z = self._settings.axes(130)
        home = (pulloff - travel_x, pulloff - travel_y, pulloff - travel_z)
        self._carriage.follow((-travel_x, -travel_y, -travel_z))
        self._carriage.follow(home)
        self._carriage.settle_at_home()
        self.mover = Mover(home)
        self._shift_mm = (0.0, 0.0, 0.0)

    def start(self, now_s: float) -> None:
        """Begin the next queued block, unless one is being executed."""
        if self.mover.is_moving:
            return
        before = self.mover.position(now_s)
        self.mover.start_next(now_s)
        if self.mover.is_moving:
            target = self.mover.unfinished()[0].target
            x, y, z = (a != b for a, b in zip(before, target, strict=True))
            self._carriage.disturb((x, y, z))

    def end_block(self, now_s: float) -> None:
        """End the current block and begin the next one."""
        self.mover.finish()
        # Backlash is taken up along a straight way, so only the ends of the blocks count.
        self._carriage.follow(self.motor_mm(now_s))
        self.start(now_s)

    def reaches(self, target_mm: Vector) -> bool:
        """Return whether ``target_mm`` is inside the soft limits."""
        return all(
            -length <= target <= 0.0
            for target, length in zip(target_mm, self._settings.axes(130), strict=True)
        )

    def block(self, move: Move, *, is_jog: bool) -> Block:
        """Plan ``move`` so that every axis keeps to its own speed and acceleration."""
        start, target = self.mover.planned_end, move.target_mm
        length = math.dist(start, target) or 1.0
        shares = [abs(b - a) / length for a, b in zip(start, target, strict=True)]

        def along_path(limits: Vector) -> float:
            return min(
                (limit / share for limit, share in zip(limits, shares, strict=True) if share),
                default=limits[0],
            )

        fastest = along_path(self._settings.axes(110))
        feed = fastest if move.feed_mm_per_min is None else min(move.feed_mm_per_min, fastest)
        return Block(target, feed / 60.0, along_path(self._settings.axes(120)), is_jog)
