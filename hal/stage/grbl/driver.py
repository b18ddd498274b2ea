"""The stage driver: absolute moves in um on a GRBL 1.1 controller."""

from __future__ import annotations

import contextlib
import logging
import math
from threading import Event

from hal.clock import Clock
from hal.config import StageConfig
from hal.errors import (
    Cancelled,
    DeviceError,
    DeviceTimeoutError,
    LeukoluxError,
    StageAlarmError,
    StageError,
)
from hal.interfaces.failures import not_homed
from hal.interfaces.stage import Position, Travel
from hal.recorder.recorder import UNRECORDED, Recorder
from hal.stage.grbl import wire
from hal.stage.grbl.controller import Controller
from hal.stage.grbl.frame import AXES, StageFrame
from hal.stage.grbl.link import SerialLink
from hal.stage.grbl.profile import check_identity, check_profile
from hal.stage.serial_port import Deadline

log = logging.getLogger(__name__)

NEAR_POLL_S = 0.02
FAR_POLL_S = 0.1
HALT_TIMEOUT_S = 3.0


class GrblStage:
    """:class:`hal.interfaces.stage.Stage` on a serial GRBL 1.1 controller.

    Args:
        config: port, profile and time limits.
        clock: paces polling and deadlines; scaled in simulation.
        recorder: notes the conversation.
    """

    def __init__(self, config: StageConfig, clock: Clock, recorder: Recorder = UNRECORDED) -> None:
        self._config = config
        self._clock = clock
        self._link = SerialLink(config.port, config.baud, recorder)
        self._controller = Controller(self._link, clock)
        self._stop_asked = Event()
        self._homing = False
        self._frame = StageFrame(config)
        self._arrived_mm: list[float | None] = [None, None, None]

    @property
    def travel(self) -> Travel:
        """Reachable box, um."""
        return self._frame.travel

    @property
    def homed(self) -> bool:
        """Whether the position is known."""
        return self._link.is_open and self._controller.position_known

    def open(self) -> None:
        """Connect, identify the firmware, and compare its settings with the profile.

        Raises:
            DeviceError, DeviceTimeoutError: no port, or nothing answers.
            StageError: wrong firmware or settings.
        """
        if self._link.is_open:
            return
        try:
            version = self._controller.connect()
            if self._first_state() not in ("Idle", "Alarm"):
                version = self._controller.soft_reset()
            replies = self._controller.command("$I")
            check_identity(reply for reply in replies if isinstance(reply, wire.Info))
            replies = self._controller.command("$$")
            check_profile(
                self._config, {r.number: r.value for r in replies if isinstance(r, wire.Setting)}
            )
        except LeukoluxError:
            self._link.close()
            raise
        log.info("stage connected on %s, GRBL %s", self._config.port, version)

    def _first_state(self) -> str:
        try:
            return self._controller.status().state
        except StageError as error:
            if error.error_code != "STAGE-REBOOTED":
                raise
            # The banner of a slow start came behind that of our reset.
            return self._controller.status().state

    def home(self, cancel: Event | None = None) -> None:
        """Run the homing cycle; blocks until done.

        Raises:
            StageAlarmError: a switch was not found, or stays pressed.
            StageError: the controller lost its way or refused.
            DeviceTimeoutError: no end in time; the controller was reset.
            Cancelled: ``cancel`` was set; the controller was reset.
            DeviceClosedError: the stage is not open.
        """
        self._stop_asked.clear()
        self._arrived_mm = [None, None, None]
        self._make_ready_to_home()
        self._homing = True
        try:
            self._controller.home(self._config.homing_timeout_s, cancel)
            status = self._controller.status()
        except StageAlarmError as error:
            if self._stop_asked.is_set():
                raise Cancelled("Homing") from error
            raise
        finally:
            self._homing = False
        if status.state != "Idle" or not self._frame.is_at(
            status.machine_mm, self._frame.origin_mm
        ):
            self._controller.position_known = False
            raise StageError(
                "STAGE-HOME-POSITION", state=status.state, at_mm=_place(status.machine_mm)
            )

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
        self._link.require_open()
        targets_mm = self._frame.targets_mm((x_um, y_um, z_um))
        status = self._ready_status()
        if not targets_mm:
            return self._position(status)
        deadline = Deadline(self._clock, self._config.move_timeout_s)
        status = self._jog(targets_mm, status, deadline, cancel)
        return self._position(status)

    def position(self) -> Position:
        """Ask the controller where the stage is, um.

        Raises:
            StageError: not homed, or the controller failed.
            DeviceClosedError: the stage is not open.
        """
        status = self._controller.status()
        self._require_homed()
        return self._position(status)

    def stop(self) -> None:
        """Stop any motion; safe from any thread.  Homing is stopped by a reset."""
        self._stop_asked.set()
        if self._link.is_open:
            try:
                self._controller.send_realtime(wire.SOFT_RESET if self._homing else wire.JOG_CANCEL)
            except DeviceError as error:
                log.error("the stage could not be stopped: %s", error)  # noqa: TRY400

    def close(self) -> None:
        """Stop and disconnect.  Never raises; can be called twice."""
        self.stop()
        self._link.close()
        self._controller.position_known = False

    def _make_ready_to_home(self) -> None:
        """Bring the controller to Idle or Alarm; what it lost before homing does not matter."""
        try:
            state = self._controller.status().state
        except StageError as error:
            log.info("before homing: %s", error)
            state = self._controller.status().state
        if state not in ("Idle", "Alarm"):
            self._controller.soft_reset()

    def _ready_status(self) -> wire.Status:
        """Return the status of a stage that may move.  Raises StageError, DeviceClosedError."""
        self._require_homed()
        status = self._controller.status()
        if status.state == "Idle":
            return status
        self._halt()
        raise self._not_idle(status)

    def _require_homed(self) -> None:
        self._link.require_open()
        if not self._controller.position_known:
            raise not_homed()

    def _jog(
        self,
        targets_mm: dict[str, float],
        start: wire.Status,
        deadline: Deadline,
        cancel: Event | None,
    ) -> wire.Status:
        """Send one jog and wait until it has arrived; on any failure motion is stopped first."""
        x_mm, y_mm, z_mm = (
            targets_mm.get(axis, at) for axis, at in zip(AXES, start.machine_mm, strict=True)
        )
        goal_mm = (x_mm, y_mm, z_mm)
        feed = self._frame.feed_mm_per_min(start.machine_mm, goal_mm)
        line = wire.jog_line(targets_mm, feed)
        for index, axis in enumerate(AXES):
            if axis in targets_mm:
                self._arrived_mm[index] = None
        try:
            self._check_wanted(cancel)
            self._send_jog(line)
            status = self._await_arrival(line, start.machine_mm, goal_mm, deadline, cancel)
        except LeukoluxError:
            self._halt()
            raise
        for index, axis in enumerate(AXES):
            if axis in targets_mm:
                self._arrived_mm[index] = self._frame.whole_step_mm(index, goal_mm[index])
        return status

    def _send_jog(self, line: str) -> None:
        """Send a jog; a missing acknowledgement is settled by the position reports that follow."""
        try:
            self._controller.command(line)
        except DeviceTimeoutError as error:
            if not self._link.is_open:
                raise
            log.warning("%s", error)

    def _await_arrival(
        self,
        line: str,
        start_mm: wire.Axes,
        goal_mm: wire.Axes,
        deadline: Deadline,
        cancel: Event | None,
    ) -> wire.Status:
        """Return the status at the goal; a line that was lost, so that nothing moved, goes again.

        A stage that stands elsewhere was stopped by somebody, and is not sent on.
        """
        resends_left = 1
        while True:
            self._check_wanted(cancel)
            status = self._controller.status()
            if not self._frame.is_between(status.machine_mm, start_mm, goal_mm):
                # A digit lost on the line makes another target, which nothing else would notice.
                at = _place(status.machine_mm)
                raise StageError("STAGE-ASTRAY", at_mm=at, goal_mm=_place(goal_mm))
            if status.state == "Idle":
                if self._frame.is_at(status.machine_mm, goal_mm):
                    return status
                self._check_wanted(cancel)
                if resends_left == 0 or status.machine_mm != start_mm:
                    at = _place(status.machine_mm)
                    raise StageError("STAGE-NOT-ARRIVED", at_mm=at, goal_mm=_place(goal_mm))
                resends_left -= 1
                self._send_jog(line)
                continue
            if status.state != "Jog":
                raise self._not_idle(status)
            if deadline.passed:
                raise DeviceTimeoutError(
                    "STAGE-MOVE-TIMEOUT", timeout_s=self._config.move_timeout_s
                )
            self._sleep_towards(status, goal_mm, cancel)

    def _sleep_towards(self, status: wire.Status, goal_mm: wire.Axes, cancel: Event | None) -> None:
        """Wait long while the goal is far and short when it is near."""
        feed = self._frame.feed_mm_per_min(status.machine_mm, goal_mm)
        remaining_s = math.dist(status.machine_mm, goal_mm) / feed * 60.0
        self._clock.sleep(min(max(remaining_s, NEAR_POLL_S), FAR_POLL_S), cancel)

    def _check_wanted(self, cancel: Event | None) -> None:
        if self._stop_asked.is_set() or (cancel is not None and cancel.is_set()):
            raise Cancelled("The move")

    def _halt(self) -> None:
        """Stop a jog and wait for rest; if that fails, reset.  Raises no DeviceError."""
        if not self._link.is_open:
            return
        deadline = Deadline(self._clock, HALT_TIMEOUT_S)
        with contextlib.suppress(DeviceError):
            while not deadline.passed:
                self._controller.send_realtime(wire.JOG_CANCEL)
                if self._controller.status().state in ("Idle", "Alarm"):
                    return
                self._clock.sleep(NEAR_POLL_S)
        if self._link.is_open and self._controller.position_known:
            with contextlib.suppress(DeviceError):
                self._controller.soft_reset()

    def _position(self, status: wire.Status) -> Position:
        return self._frame.position(self._frame.best_mm(status.machine_mm, self._arrived_mm))

    def _not_idle(self, status: wire.Status) -> StageError:
        if status.state == "Alarm":
            self._controller.position_known = False
        return StageError("STAGE-NOT-IDLE", state=status.state)


def _place(axes_mm: wire.Axes) -> str:
    return ", ".join(f"{at_mm:.3f}" for at_mm in axes_mm)
