"""The stage driver: absolute moves in um on Thorlabs APT controllers.

x and y are two channels of a brushless controller, z is a channel of another (or of the same);
each axis has an encoder, is switched on and homed once after power-up, and reports when asked.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from threading import Event

from hal.clock import Clock
from hal.config import AptConfig, StageConfig
from hal.errors import (
    Cancelled,
    DeviceError,
    DeviceTimeoutError,
    LeukoluxError,
    StageAlarmError,
    StageError,
)
from hal.interfaces.failures import not_homed, outside_travel
from hal.interfaces.stage import Position, Travel
from hal.recorder.recorder import UNRECORDED, Recorder
from hal.stage.apt.axis import AptAxis
from hal.stage.apt.layout import build_axes
from hal.stage.apt.messages import Status
from hal.stage.serial_port import Deadline

log = logging.getLogger(__name__)

POLL_S = 0.02
HALT_TIMEOUT_S = 3.0
GRACE_S = 0.5
"""After this long at rest, an order that shows no effect was lost."""

HOME_TOLERANCE_UM = 100.0
_LIMIT_SLACK_UM = 1e-6
_ENDED = object()


class AptStage:
    """:class:`hal.interfaces.stage.Stage` on APT controllers.

    Args:
        config: port of x and y, time limits.
        apt: axes and controllers.
        clock: paces polling and deadlines; scaled in simulation.
        recorder: notes the conversation.

    Raises:
        DeviceError: the library for the protocol is not installed.
    """

    def __init__(
        self, config: StageConfig, apt: AptConfig, clock: Clock, recorder: Recorder = UNRECORDED
    ) -> None:
        self._config = config
        self._clock = clock
        self._axes = build_axes(config, apt, clock, recorder)
        self._buses = list(dict.fromkeys(axis.bus for axis in self._axes))
        self._stop_asked = Event()
        self._position_known = False
        x, y, z = (axis.profile.travel_um for axis in self._axes)
        self._travel = Travel(x, y, z)

    @property
    def travel(self) -> Travel:
        """Reachable box, um."""
        return self._travel

    @property
    def homed(self) -> bool:
        """Whether the position is known."""
        return self._is_open and self._position_known

    def open(self) -> None:
        """Connect and identify the controllers; what still moves from an earlier host is stopped.

        Raises:
            DeviceError, DeviceTimeoutError: no port, or nothing answers.
            StageError: the controllers complain.
        """
        if self._is_open:
            return
        self._disconnect()
        try:
            for bus in self._buses:
                bus.open()
            found = [axis.identify() for axis in self._axes]
            if any(axis.status().moving for axis in self._axes):
                self._halt()
        except LeukoluxError:
            self._disconnect()
            raise
        log.info("stage connected: %s", ", ".join(found))

    def home(self, cancel: Event | None = None) -> None:
        """Switch the channels on and home: z first, then x and y together.

        Raises:
            StageAlarmError: an axis is blocked or faulty.
            StageError: a channel does not switch on, or homing ended elsewhere.
            DeviceTimeoutError: no end in time; motion was stopped.
            Cancelled: ``cancel`` was set; motion was stopped.
            DeviceClosedError: the stage is not open.
        """
        self._require_open()
        self._stop_asked.clear()
        self._position_known = False
        x, y, z = self._axes
        deadline = Deadline(self._clock, self._config.homing_timeout_s)
        try:
            for together in ([z], [x, y]):
                for axis in together:
                    self._check_wanted("Homing", cancel)
                    axis.enable()
                    axis.start_homing()
                self._watch("Homing", [self._until_home(a, deadline) for a in together], cancel)
        except LeukoluxError as error:
            self._halt()
            if isinstance(error, Cancelled):
                raise Cancelled("Homing") from None
            raise
        self._position_known = True

    def move_to(
        self,
        x_um: float | None = None,
        y_um: float | None = None,
        z_um: float | None = None,
        cancel: Event | None = None,
    ) -> Position:
        """Move the named axes to absolute positions and wait until the stage stands still there.

        Raises: as :meth:`hal.interfaces.stage.Stage.move_to`.
        """
        self._stop_asked.clear()
        self._require_open()
        targets = self._targets((x_um, y_um, z_um))
        self._require_homed()
        starts = {axis: self._ready_status(axis).position_counts for axis in self._axes}
        deadline = Deadline(self._clock, self._config.move_timeout_s)
        try:
            self._check_wanted("The move", cancel)
            for axis, target in targets.items():
                axis.start_move(target)
            arrivals = [
                self._until_arrived(axis, starts[axis], target, deadline)
                for axis, target in targets.items()
            ]
            self._watch("The move", arrivals, cancel)
        except LeukoluxError:
            self._halt()
            raise
        return self.position()

    def position(self) -> Position:
        """Ask the controllers where the stage is, um.

        Raises:
            StageError: not homed, or a controller failed.
            DeviceClosedError: the stage is not open.
        """
        self._require_open()
        self._require_homed()
        x_um, y_um, z_um = (
            axis.profile.place_um(self._sound_status(axis).position_counts) for axis in self._axes
        )
        return Position(x_um, y_um, z_um)

    def stop(self) -> None:
        """Stop any motion with the position kept; safe from any thread."""
        self._stop_asked.set()
        for axis in self._axes:
            if axis.bus.is_open:
                try:
                    axis.stop()
                except DeviceError as error:
                    log.error("the stage could not be stopped: %s", error)  # noqa: TRY400

    def close(self) -> None:
        """Stop and disconnect.  Never raises; can be called twice."""
        self.stop()
        self._disconnect()

    @property
    def _is_open(self) -> bool:
        return all(bus.is_open for bus in self._buses)

    def _require_open(self) -> None:
        """Raise DeviceClosedError unless every port is open; one that was lost closes the rest."""
        if not self._is_open:
            self._disconnect()
        for bus in self._buses:
            bus.require_open()

    def _disconnect(self) -> None:
        self._position_known = False
        for bus in self._buses:
            bus.close()

    def _targets(self, targets_um: tuple[float | None, ...]) -> dict[AptAxis, int]:
        """Return encoder counts of the axes that are named.  Raises StageLimitError."""
        targets: dict[AptAxis, int] = {}
        for axis, target_um in zip(self._axes, targets_um, strict=True):
            if target_um is None:
                continue
            length_um = axis.profile.travel_um
            if not -_LIMIT_SLACK_UM <= target_um <= length_um + _LIMIT_SLACK_UM:
                raise outside_travel(axis.profile.name, target_um, length_um)
            targets[axis] = axis.profile.counts(target_um)
        return targets

    def _require_homed(self) -> None:
        if not self._position_known:
            raise not_homed()

    def _sound_status(self, axis: AptAxis) -> Status:
        """Return the status of a homed axis; raise if it lost power or position, or has a fault."""
        status = axis.status()
        self._raise_complaint(axis)
        if status.homed and status.enabled and not status.faults:
            return status
        self._position_known = False
        axis.require_no_fault(status)
        if status.homed:
            raise StageError("STAGE-AXIS-DISABLED", axis=axis.profile.name)
        raise StageError("STAGE-AXIS-REBOOTED", axis=axis.profile.name)

    def _raise_complaint(self, axis: AptAxis) -> None:
        """Raise StageError for what the controllers reported by themselves."""
        if axis.bus.complaints:
            text = "; ".join(complaint.text for complaint in axis.bus.complaints)
            axis.bus.complaints.clear()
            raise StageError("STAGE-REFUSED", said=text)

    def _ready_status(self, axis: AptAxis) -> Status:
        status = self._sound_status(axis)
        if status.moving or status.homing:
            self._halt()
            raise StageError("STAGE-AXIS-MOVING", axis=axis.profile.name)
        return status

    def _watch(self, what: str, ends: list[Iterator[None]], cancel: Event | None) -> None:
        """Look at all axes in turn until each has come to its end, or the first one fails.

        The port of an axis that rests is looked at too: what is unplugged ends every motion.
        """
        while True:
            self._check_wanted(what, cancel)
            for bus in self._buses:
                bus.pump(blocking=False)
            ends = [end for end in ends if next(end, _ENDED) is not _ENDED]
            if not ends:
                return
            self._clock.sleep(POLL_S, cancel)

    def _until_home(self, axis: AptAxis, deadline: Deadline) -> Iterator[None]:
        """Yield until homing has ended; an order without any effect is given once more."""
        effect_by = Deadline(self._clock, GRACE_S)
        seen = repeated = False
        while True:
            status = axis.status()
            axis.require_no_fault(status)
            self._raise_complaint(axis)
            # A channel that was homed before still says so until the new cycle begins.
            seen = seen or status.homing or "homed" in axis.done
            if seen and status.homed and not (status.homing or status.moving):
                break
            if not seen and not repeated and effect_by.passed:
                axis.start_homing()
                repeated = True
            if deadline.passed:
                raise DeviceTimeoutError(
                    "STAGE-AXIS-HOME-TIMEOUT",
                    axis=axis.profile.name,
                    timeout_s=self._config.homing_timeout_s,
                )
            yield
        at_um = axis.profile.place_um(status.position_counts)
        if abs(at_um) > HOME_TOLERANCE_UM:
            raise StageError("STAGE-AXIS-HOME-POSITION", axis=axis.profile.name, at_um=at_um)

    def _until_arrived(
        self, axis: AptAxis, start: int, target: int, deadline: Deadline
    ) -> Iterator[None]:
        """Yield until the axis rests at the target; an order without effect is given once more.

        The controller's message of completion may be lost, so its status decides.  An axis that
        has stopped still swings, so only one that rests elsewhere for a while has not arrived.
        """
        resting = Deadline(self._clock, GRACE_S)
        seen = repeated = False
        while True:
            status = self._sound_status(axis)
            if not axis.is_between(status, start, target):
                at_um = axis.profile.place_um(status.position_counts)
                raise StageError("STAGE-AXIS-ASTRAY", axis=axis.profile.name, at_um=at_um)
            if status.moving:
                resting = Deadline(self._clock, GRACE_S)
            # Before the motion begins, a near target looks as if it were reached.
            seen = seen or status.moving or "completed" in axis.done
            if axis.is_at(status, target) and (seen or resting.passed):
                return
            if resting.passed and not axis.is_near(status, target):
                if repeated or not axis.is_near(status, start):
                    raise self._not_arrived(axis, status, target)
                axis.start_move(target)
                repeated = True
                resting = Deadline(self._clock, GRACE_S)
            if deadline.passed:
                raise DeviceTimeoutError(
                    "STAGE-AXIS-MOVE-TIMEOUT",
                    axis=axis.profile.name,
                    timeout_s=self._config.move_timeout_s,
                )
            yield

    def _not_arrived(self, axis: AptAxis, status: Status, target: int) -> StageError:
        at_um, goal_um = (
            axis.profile.place_um(counts) for counts in (status.position_counts, target)
        )
        name = axis.profile.name
        side = axis.limit_switch(status)
        if side is not None:
            self._position_known = False
            return StageAlarmError("STAGE-LIMIT-SWITCH", axis=name, side=side, at_um=at_um)
        return StageError("STAGE-AXIS-NOT-ARRIVED", axis=name, at_um=at_um, goal_um=goal_um)

    def _check_wanted(self, what: str, cancel: Event | None) -> None:
        if self._stop_asked.is_set() or (cancel is not None and cancel.is_set()):
            raise Cancelled(what)

    def _halt(self) -> None:
        """Stop every axis that can still be reached, and wait for rest."""
        deadline = Deadline(self._clock, HALT_TIMEOUT_S)
        for axis in self._axes:
            with contextlib.suppress(DeviceError):
                axis.stop()
        for axis in self._axes:
            with contextlib.suppress(DeviceError):
                while axis.bus.is_open and not (axis.is_at_rest(axis.status()) or deadline.passed):
                    self._clock.sleep(POLL_S)
