"""What holds for every stage, whatever drives it: limits, the slide, and the last approach.

The rules live in :class:`StageRules` as pure geometry; :class:`GuardedStage` applies them around a
driver.  Nobody moves a driver past its guard: :mod:`hal.factory` gives out guarded stages only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from threading import Event
from typing import TypeAlias

from hal.config import StageConfig
from hal.errors import SettingsError, StageLimitError
from hal.interfaces.stage import Position, Stage, Travel

Place: TypeAlias = tuple[float, float, float]
Leg: TypeAlias = dict[int, float]
"""Targets of one straight move, um, by axis: 0 x, 1 y, 2 z."""

AXES = "xyz"
Z = 2
_SLACK_UM = 1e-6
MOVED_BY_OTHERS_UM = 1.0
"""A stage that stands farther from where it was left was moved from outside."""


@dataclass(frozen=True)
class StageRules:
    """Where the stage may be, and along which legs it goes there.

    Attributes:
        low_um: corner of the box the stage never leaves.
        high_um: the opposite corner.
        slide_low_um: corner of the slide, x and y.
        slide_high_um: the opposite corner.
        safe_z_um: up to this height the objective is clear of slide and holder.
        approach_um: last stretch of a move, always upwards; 0 for no such stretch.
    """

    low_um: Place
    high_um: Place
    slide_low_um: tuple[float, float]
    slide_high_um: tuple[float, float]
    safe_z_um: float
    approach_um: Place

    @classmethod
    def of(cls, config: StageConfig, travel: Travel) -> StageRules:
        """Return the rules the settings name.

        Raises:
            SettingsError: the limits are empty or reach beyond the travel.
        """
        ends_um = (travel.x_um, travel.y_um, travel.z_um)
        low_um = (config.limit_left_um, config.limit_top_um, config.limit_z_low_um)
        set_um = (config.limit_right_um, config.limit_bottom_um, config.limit_z_high_um)
        x_um, y_um, z_um = (high or end for high, end in zip(set_um, ends_um, strict=True))
        for axis, low, high, end in zip(AXES, low_um, (x_um, y_um, z_um), ends_um, strict=True):
            if not low < high <= end + _SLACK_UM:
                raise SettingsError(
                    "STAGE-LIMIT-SETTINGS", axis=axis, low_um=low, high_um=high, end_um=end
                )
        return cls(
            low_um,
            (x_um, y_um, z_um),
            (config.slide_left_um, config.slide_top_um),
            (
                config.slide_left_um + config.slide_width_um,
                config.slide_top_um + config.slide_height_um,
            ),
            config.safe_z_um,
            (config.approach_xy_um, config.approach_xy_um, config.approach_z_um),
        )

    def is_down(self, z_um: float) -> bool:
        """Return whether the objective is so near that it could touch what is next to the slide."""
        return z_um > self.safe_z_um + _SLACK_UM

    def is_on_slide(self, x_um: float, y_um: float) -> bool:
        """Return whether the slide is under the objective."""
        return all(
            low - _SLACK_UM <= at <= high + _SLACK_UM
            for at, low, high in zip(
                (x_um, y_um), self.slide_low_um, self.slide_high_um, strict=True
            )
        )

    def check(self, start: Place, leg: Leg) -> Place:
        """Return where ``leg`` leads to.

        Raises:
            StageLimitError: outside the limits, no number, or off the slide with the objective
                down.
        """
        for axis, target_um in leg.items():
            low, high = self.low_um[axis], self.high_um[axis]
            if not low - _SLACK_UM <= target_um <= high + _SLACK_UM:
                raise StageLimitError(
                    "STAGE-LIMIT", axis=AXES[axis], target_um=target_um, low_um=low, high_um=high
                )
        target = _after(start, leg)
        if self.is_down(target[Z]) and not self.is_on_slide(target[0], target[1]):
            x_um, y_um, z_um = target
            raise StageLimitError(
                "STAGE-OFF-SLIDE", x_um=x_um, y_um=y_um, z_um=z_um, safe_z_um=self.safe_z_um
            )
        return target

    def legs(self, start: Place, leg: Leg) -> list[Leg]:
        """Return the moves that lead safely from ``start`` to where ``leg`` wants.

        Off the slide the objective goes up before x or y moves, and goes down only after.
        Raises StageLimitError as :meth:`check`.
        """
        target = self.check(start, leg)
        both_on_slide = self.is_on_slide(start[0], start[1]) and self.is_on_slide(*target[:Z])
        if both_on_slide or not (self.is_down(start[Z]) or self.is_down(target[Z])):
            return [leg] if leg else []
        across = {axis: at for axis, at in leg.items() if axis != Z}
        clear_um = min(self.safe_z_um, target[Z]) if self.is_down(start[Z]) else start[Z]
        legs: list[Leg] = []
        if clear_um != start[Z]:
            legs.append({Z: clear_um})
        if across:
            legs.append(across)
        if target[Z] != clear_um:
            legs.append({Z: target[Z]})
        return legs

    def lowered(self, axis: int, place: Place) -> float:
        """Return where the last stretch to ``place`` begins, as far down as is allowed."""
        lowest = self.low_um[axis]
        if axis != Z and self.is_on_slide(place[0], place[1]):
            lowest = max(lowest, self.slide_low_um[axis])
        return max(place[axis] - self.approach_um[axis], min(lowest, place[axis]))


class GuardedStage:
    """:class:`Stage` around a driver: limits, slide, and moves that end upwards.

    Axes that would arrive from above pass their target by the approach distance and come back up,
    so that every move ends from the same side and backlash is a constant.  Within the approach
    distance of a limit there is less room for that.

    Args:
        stage: the driver.
        config: limits, slide and approach.

    Raises:
        SettingsError: the limits do not fit the travel.
    """

    def __init__(self, stage: Stage, config: StageConfig) -> None:
        self._stage = stage
        self._rules = StageRules.of(config, stage.travel)
        self._stopped = Event()
        # Where each axis was last sent to and was then reported, um; None: from no known side.
        self._sent_um: list[tuple[float, float] | None] = [None, None, None]

    @property
    def travel(self) -> Travel:
        """Reachable box of the mechanics, um; the limits may be narrower."""
        return self._stage.travel

    @property
    def homed(self) -> bool:
        """Whether the position is known."""
        return self._stage.homed

    def set_approach(self, xy_um: float, z_um: float) -> None:
        """Set the last stretch of the following moves; 0 for none."""
        self._rules = replace(self._rules, approach_um=(xy_um, xy_um, z_um))

    def open(self) -> None:
        """Connect.  Raises as the driver."""
        self._stage.open()

    def home(self, cancel: Event | None = None) -> None:
        """Run the homing cycle.  Raises as the driver."""
        self._sent_um = [None, None, None]
        self._stage.home(cancel)

    def move_to(
        self,
        x_um: float | None = None,
        y_um: float | None = None,
        z_um: float | None = None,
        cancel: Event | None = None,
    ) -> Position:
        """Move the named axes and wait for rest.  Raises: as :meth:`Stage.move_to`.

        The error code STAGE-OFF-SLIDE means a target off the slide with the objective down.
        """
        self._stopped.clear()
        position = self._stage.position()
        wanted = {axis: at for axis, at in enumerate((x_um, y_um, z_um)) if at is not None}
        either = _EitherSet(self._stopped, cancel)
        for leg in self._rules.legs(self._exactly(position), wanted):
            for move in self._from_below(position, leg):
                position = self._run(move, either)
        return position

    def position(self) -> Position:
        """Return where the stage is, um.  Raises as the driver."""
        return self._stage.position()

    def stop(self) -> None:
        """Stop any motion; safe from any thread."""
        self._stopped.set()
        self._stage.stop()

    def close(self) -> None:
        """Stop and disconnect.  Never raises; can be called twice."""
        self._stage.close()

    def _from_below(self, position: Position, leg: Leg) -> Iterator[Leg]:
        """Yield ``leg``, before it one that leads below the targets that it would meet falling."""
        start = self._exactly(position)
        target = _after(start, leg)
        before: Leg = {}
        for axis, at in leg.items():
            # From no known side, only a way longer than the approach takes up the backlash.
            known = self._stands_where_sent(axis, position)
            least_um = start[axis] if known else start[axis] + self._rules.approach_um[axis]
            falls = at < least_um - _SLACK_UM
            before[axis] = self._rules.lowered(axis, target) if falls else at
        if before != leg:
            yield before
        yield leg

    def _exactly(self, position: Position) -> Place:
        """Return where the stage was sent to, which its report only has to the nearest step."""
        x, y, z = (
            sent[0] if sent is not None and self._stands_where_sent(axis, position) else reported
            for axis, (reported, sent) in enumerate(
                zip(_place(position), self._sent_um, strict=True)
            )
        )
        return x, y, z

    def _stands_where_sent(self, axis: int, position: Position) -> bool:
        sent = self._sent_um[axis]
        return sent is not None and abs(_place(position)[axis] - sent[1]) <= MOVED_BY_OTHERS_UM

    def _run(self, leg: Leg, cancel: Event) -> Position:
        for axis in leg:
            self._sent_um[axis] = None
        x_um, y_um, z_um = (leg.get(axis) for axis in range(3))
        position = self._stage.move_to(x_um, y_um, z_um, cancel)
        for axis, at in leg.items():
            self._sent_um[axis] = (at, _place(position)[axis])
        return position


class _EitherSet(Event):
    """Set when one of two events is, so that a stop between two legs is not forgotten."""

    def __init__(self, own: Event, other: Event | None) -> None:
        super().__init__()
        self._own = own
        self._other = other

    def is_set(self) -> bool:
        return self._own.is_set() or (self._other is not None and self._other.is_set())

    def wait(self, timeout: float | None = None) -> bool:
        """Wait on the caller's event; a stop meanwhile has stopped the motion itself."""
        if not self.is_set():
            (self._own if self._other is None else self._other).wait(timeout)
        return self.is_set()


def _place(position: Position) -> Place:
    return position.x_um, position.y_um, position.z_um


def _after(start: Place, leg: Leg) -> Place:
    x, y, z = (leg.get(axis, at) for axis, at in enumerate(start))
    return x, y, z
