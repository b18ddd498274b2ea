"""One motorised axis on one channel of an APT controller."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from hal.clock import Clock
from hal.errors import DeviceTimeoutError, StageAlarmError, StageError
from hal.stage.apt.bus import AptBus
from hal.stage.apt.messages import DISABLE, ENABLE, STOP_PROFILED, Done, Status
from hal.stage.serial_port import Deadline

log = logging.getLogger(__name__)

STATUS_TRIES = 3
STATUS_TIMEOUT_S = 0.5 / STATUS_TRIES
ENABLE_TIMEOUT_S = 2.0
# Real time between two status questions: a fast simulated clock must not busy a processor core.
MIN_REAL_POLL_S = 0.001
ASTRAY_UM = 100.0
VELOCITY_FRACTION = 65536.0
"""Controllers count speeds and accelerations in 1/65536 counts per sample time."""


@dataclass(frozen=True)
class AxisProfile:
    """What is known of an axis.

    Attributes:
        name: x, y or z.
        address: of the controller, or of its bay.
        channel: number of the channel there.
        counts_per_mm: of the encoder.
        sample_time_us: of the controller's servo loop.
        travel_um: length.
        speed_mm_per_s: of moves.
        acceleration_mm_per_s2: of moves.
        window_counts: how near to the target an axis has arrived.
        reports_settled: whether the controller has a settled bit.
        limit_bits_swapped: whether its two limit bits stand for each other.
    """

    name: str
    address: int
    channel: int
    counts_per_mm: float
    sample_time_us: float
    travel_um: float
    speed_mm_per_s: float
    acceleration_mm_per_s2: float
    window_counts: int
    reports_settled: bool
    limit_bits_swapped: bool

    def counts(self, place_um: float) -> int:
        """Return the encoder count nearest to a place."""
        return round(place_um / 1000.0 * self.counts_per_mm)

    def place_um(self, counts: int) -> float:
        """Return the place of an encoder count."""
        return round(counts / self.counts_per_mm * 1000.0, 4)

    @property
    def speed_units(self) -> int:
        """Speed as the controller counts it."""
        per_sample = self.speed_mm_per_s * self.counts_per_mm * self.sample_time_us * 1e-6
        return round(per_sample * VELOCITY_FRACTION)

    @property
    def acceleration_units(self) -> int:
        """Acceleration as the controller counts it."""
        sample_s = self.sample_time_us * 1e-6
        per_sample2 = self.acceleration_mm_per_s2 * self.counts_per_mm * sample_s**2
        return round(per_sample2 * VELOCITY_FRACTION)


class AptAxis:
    """Orders to one channel and what it says.  One owner thread, except :meth:`stop`."""

    def __init__(self, profile: AxisProfile, bus: AptBus, clock: Clock) -> None:
        self.profile = profile
        self.bus = bus
        self._clock = clock
        self._status: Status | None = None
        self._last_poll_s = 0.0
        self.done: set[str] = set()
        bus.listen(profile.address, profile.channel, self._take)

    def identify(self) -> str:
        """Return model and firmware, and let the controller report only when asked.

        Raises:
            DeviceTimeoutError: nothing answers there.
        """
        address = self.profile.address
        # The controller learns from this who its host is.
        self._send("hw_no_flash_programming")
        self._send("hw_stop_updatemsgs")
        for _ in range(STATUS_TRIES):
            self._send("hw_req_info")
            deadline = Deadline(self._clock, STATUS_TIMEOUT_S)
            while not deadline.passed:
                self.bus.pump(blocking=True)
                if address in self.bus.infos:
                    info = self.bus.infos[address]
                    return f"{info.model} {info.firmware}"
            self.bus.forget_partial()
        raise DeviceTimeoutError("STAGE-AXIS-ABSENT", axis=self.profile.name, address=address)

    def status(self) -> Status:
        """Ask for the state, at most three times.

        Raises:
            DeviceTimeoutError: no answer; the connection is closed.
            DeviceError: the port is gone.
        """
        for _ in range(STATUS_TRIES):
            self.bus.pump(blocking=False)
            self._status = None
            pause_s = self._last_poll_s + MIN_REAL_POLL_S - time.monotonic()
            if pause_s > 0:
                time.sleep(pause_s)
            # A controller that missed an acknowledgement is silent until the next.
            self._send("mot_ack_dcstatusupdate")
            self._send("mot_req_dcstatusupdate", chan_ident=self.profile.channel)
            self._last_poll_s = time.monotonic()
            deadline = Deadline(self._clock, STATUS_TIMEOUT_S)
            while not deadline.passed:
                self.bus.pump(blocking=True)
                if self._status is not None:
                    return self._status
            self.bus.forget_partial()
        self.bus.close()
        raise DeviceTimeoutError("STAGE-AXIS-SILENT", axis=self.profile.name)

    def enable(self) -> None:
        """Switch the channel on and set its speed; a fault is cleared by switching it off first.

        Raises:
            StageError: it does not switch on.
            StageAlarmError: the fault remains.
        """
        channel = self.profile.channel
        status = self.status()
        if status.faults:
            self._send("mod_set_chanenablestate", chan_ident=channel, enable_state=DISABLE)
        deadline = Deadline(self._clock, ENABLE_TIMEOUT_S)
        while True:
            self._send("mod_set_chanenablestate", chan_ident=channel, enable_state=ENABLE)
            status = self.status()
            if status.enabled and not status.faults:
                break
            if deadline.passed:
                self.require_no_fault(status)
                raise StageError("STAGE-NOT-ENABLED", axis=self.profile.name)
            self._clock.sleep(0.1)
        self._send(
            "mot_set_velparams",
            chan_ident=channel,
            min_velocity=0,
            acceleration=self.profile.acceleration_units,
            max_velocity=self.profile.speed_units,
        )

    def start_homing(self) -> None:
        """Begin to home."""
        self.done.clear()
        self._send("mot_move_home", chan_ident=self.profile.channel)

    def start_move(self, target_counts: int) -> None:
        """Begin an absolute move."""
        self.done.clear()
        self._send("mot_move_absolute", chan_ident=self.profile.channel, position=target_counts)

    def stop(self) -> None:
        """Stop with deceleration; the position is kept.  Safe from any thread."""
        self._send("mot_move_stop", chan_ident=self.profile.channel, stop_mode=STOP_PROFILED)

    def require_no_fault(self, status: Status) -> None:
        """Raise StageAlarmError if the channel has a fault; the log names all of several."""
        if status.faults:
            log.warning("faults of stage axis %s: %s", self.profile.name, ", ".join(status.faults))
            fault = status.faults[0].upper().replace("_", "-")
            raise StageAlarmError(f"STAGE-FAULT-{fault}", axis=self.profile.name)

    def limit_switch(self, status: Status) -> str | None:
        """Return ``lower`` or ``upper`` when that limit switch is active."""
        upper, lower = status.forward_limit, status.reverse_limit
        if self.profile.limit_bits_swapped:
            upper, lower = lower, upper
        return "lower" if lower else "upper" if upper else None

    def is_at(self, status: Status, target_counts: int) -> bool:
        """Return whether the axis stands still at its target."""
        return self.is_at_rest(status) and self.is_near(status, target_counts)

    def is_at_rest(self, status: Status) -> bool:
        """Return whether the axis neither moves nor swings; one without a servo cannot settle."""
        settles = self.profile.reports_settled and status.enabled
        return not status.moving and (status.settled or not settles)

    def is_near(self, status: Status, target_counts: int) -> bool:
        """Return whether the axis is within its window around ``target_counts``."""
        return abs(status.position_counts - target_counts) <= self.profile.window_counts

    def is_between(self, status: Status, start_counts: int, target_counts: int) -> bool:
        """Return whether the axis is on its way, with some room for swinging."""
        room = self.profile.counts(ASTRAY_UM) + self.profile.window_counts
        low, high = sorted((start_counts, target_counts))
        return low - room <= status.position_counts <= high + room

    def _send(self, message: str, **values: int) -> None:
        self.bus.send(message, self.profile.address, **values)

    def _take(self, message: Status | Done) -> None:
        if isinstance(message, Status):
            self._status = message
        else:
            self.done.add(message.kind)
