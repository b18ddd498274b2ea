"""Geometry of the stage: machine coordinates of the controller to um of the stage frame and back.

The stage frame starts where homing ends: ``stage_um = (machine_mm + travel_mm - pulloff_mm) *
1000``, because the firmware counts machine coordinates from ``-travel`` at the switches to 0 at
the far end, and the pull-off margin next to the switches must not be entered.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from hal.config import StageConfig
from hal.interfaces.failures import outside_travel
from hal.interfaces.stage import Position, Travel
from hal.stage.grbl.wire import Axes

AXES = "XYZ"
REPORT_RESOLUTION_UM = 1.0
ASTRAY_MM = 0.1
_LIMIT_SLACK_UM = 1e-6
SENT_DECIMALS = 4


class StageFrame:
    """Converts between the two frames and knows limits, steps and speeds."""

    def __init__(self, config: StageConfig) -> None:
        self._config = config
        pulloff_mm = config.homing_pulloff_mm
        travel_mm = (config.travel_x_mm, config.travel_y_mm, config.travel_z_mm)
        self._lengths_um = tuple((length - pulloff_mm) * 1000.0 for length in travel_mm)
        x_mm, y_mm, z_mm = (pulloff_mm - length for length in travel_mm)
        self.origin_mm: Axes = (x_mm, y_mm, z_mm)
        self.travel = Travel(*self._lengths_um)
        xy, z = config.steps_per_mm_xy, config.steps_per_mm_z
        self._steps_per_mm = (xy, xy, z)

    def targets_mm(self, targets_um: Sequence[float | None]) -> dict[str, float]:
        """Return machine coordinates by axis letter, of the axes that are named.

        Raises:
            StageLimitError: a target is outside the travel, or not a number.
        """
        targets_mm: dict[str, float] = {}
        for axis, target_um, length_um, origin_mm in zip(
            AXES, targets_um, self._lengths_um, self.origin_mm, strict=True
        ):
            if target_um is None:
                continue
            if not -_LIMIT_SLACK_UM <= target_um <= length_um + _LIMIT_SLACK_UM:
                raise outside_travel(axis.lower(), target_um, length_um)
            # To the decimals that are sent, or the controller may take the neighbouring step.
            targets_mm[axis] = round(origin_mm + target_um / 1000.0, SENT_DECIMALS)
        return targets_mm

    def feed_mm_per_min(self, start_mm: Axes, goal_mm: Axes) -> float:
        """Return the speed along the path at which no axis exceeds its own."""
        xy_mm = math.dist(start_mm[:2], goal_mm[:2])
        z_mm = abs(goal_mm[2] - start_mm[2])
        minutes = max(
            xy_mm / self._config.feed_xy_mm_per_min, z_mm / self._config.feed_z_mm_per_min
        )
        return math.hypot(xy_mm, z_mm) / minutes if minutes else self._config.feed_z_mm_per_min

    def is_at(self, machine_mm: Axes, goal_mm: Axes) -> bool:
        """Return whether each axis is within half a step and half a digit of its goal."""
        return all(
            abs(at - goal) <= 0.5 / steps + REPORT_RESOLUTION_UM / 2000.0 + 1e-9
            for at, goal, steps in zip(machine_mm, goal_mm, self._steps_per_mm, strict=True)
        )

    def is_between(self, machine_mm: Axes, start_mm: Axes, goal_mm: Axes) -> bool:
        """Return whether each axis is between start and goal, with some room for rounding."""
        return all(
            min(start, goal) - ASTRAY_MM <= at <= max(start, goal) + ASTRAY_MM
            for at, start, goal in zip(machine_mm, start_mm, goal_mm, strict=True)
        )

    def whole_step_mm(self, index: int, target_mm: float) -> float:
        """Return the step of axis ``index`` that is nearest to ``target_mm``."""
        steps = self._steps_per_mm[index]
        return round(target_mm * steps) / steps

    def best_mm(self, machine_mm: Axes, arrived_mm: Sequence[float | None]) -> Axes:
        """Return the machine position as exactly as it is known.

        A report has no more than 1 um of resolution, so where it agrees with ``arrived_mm``, the
        step the axis was last sent to, that step is taken instead.
        """
        limit_mm = REPORT_RESOLUTION_UM / 2000.0 + 1e-9
        x_mm, y_mm, z_mm = (
            reported if arrived is None or abs(arrived - reported) > limit_mm else arrived
            for reported, arrived in zip(machine_mm, arrived_mm, strict=True)
        )
        return x_mm, y_mm, z_mm

    def position(self, best_mm: Axes) -> Position:
        """Return the stage frame's place of a machine position."""
        x_um, y_um, z_um = (
            round((at - origin) * 1000.0, 4)
            for at, origin in zip(best_mm, self.origin_mm, strict=True)
        )
        return Position(x_um, y_um, z_um)
