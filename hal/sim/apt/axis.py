"""One axis of an emulated APT controller: servo motion over time, settling, limits, encoder."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntFlag

import numpy as np

from hal.sim.serial.trapezoid import Trapezoid

SETTLE_S = 0.04
RINGING_MM = 0.002
RINGING_TAU_S = 0.012
RINGING_HZ = 60.0
"""After a move the carriage swings around its target and dies out."""

STALL_S = 0.15
OVERTRAVEL_MM = 0.5
LIMIT_MARGIN_MM = 0.05


class Bit(IntFlag):
    """Status bits as the controllers send them."""

    UPPER_LIMIT = 0x1
    LOWER_LIMIT = 0x2
    MOVING_UP = 0x10
    MOVING_DOWN = 0x20
    CONNECTED = 0x100
    HOMING = 0x200
    HOMED = 0x400
    SETTLED = 0x2000
    MOTION_ERROR = 0x4000
    ENABLED = 0x80000000


@dataclass(frozen=True)
class AxisMechanics:
    """What moves.

    Attributes:
        counts_per_mm: of the encoder.
        sample_time_s: of the servo loop; the unit of time of speeds.
        travel_mm: length between the limit switches.
        swapped_limits: whether the limit bits are reported the wrong way round.
        backlash_um: backlash between the encoder and the slide.
        repeatability_um: standard deviation of where the slide stops.
        home_mm_per_s: speed of homing.
    """

    counts_per_mm: float
    sample_time_s: float
    travel_mm: float
    swapped_limits: bool
    backlash_um: float = 0.0
    repeatability_um: float = 0.05
    home_mm_per_s: float = 10.0


class SimulatedAxis:
    """Times are seconds of the caller's clock and must not go back.

    Args:
        mechanics: what moves.
        place_mm: where it is at power-up, from where homing would end.
        seed: of the stopping errors.
    """

    def __init__(self, mechanics: AxisMechanics, place_mm: float, seed: int) -> None:
        self.mechanics = mechanics
        self.enabled = False
        self.homed = False
        self.blocked = False
        self._motion_error = False
        self._homing = False
        self._rng = np.random.default_rng(seed)
        self._rest_mm = place_mm
        self._goal_mm = place_mm
        self._slide_mm = place_mm
        self._error_mm = 0.0
        # What the encoder counts from; only homing makes this the home place.
        self._zero_mm = place_mm
        self._profile: Trapezoid | None = None
        self._start_s = 0.0
        self._rest_since_s = -math.inf
        self._swing_mm = 0.0
        self._speed_mm_per_s = 10.0
        self._acceleration_mm_per_s2 = 100.0

    @property
    def end_s(self) -> float | None:
        """When the present motion ends, or None at rest."""
        if self._profile is None:
            return None
        if self.blocked:
            return self._start_s + STALL_S
        return self._start_s + self._profile.duration

    def set_speed(self, speed_units: int, acceleration_units: int) -> None:
        """Take speed and acceleration in the controller's own units."""
        sample_s, counts = self.mechanics.sample_time_s, self.mechanics.counts_per_mm
        self._speed_mm_per_s = max(speed_units / (counts * sample_s * 65536.0), 1e-3)
        self._acceleration_mm_per_s2 = max(
            acceleration_units / (counts * sample_s**2 * 65536.0), 1e-2
        )

    def enable(self, enabled: bool, now_s: float) -> None:
        """Switch the servo on or off; off clears a motion error."""
        if not enabled:
            self._halt(now_s)
            self._motion_error = False
        self.enabled = enabled and not self._motion_error

    def power_off(self, now_s: float) -> None:
        """Forget everything but the place."""
        self._halt(now_s)
        self.enabled = self.homed = self._motion_error = False
        self._zero_mm = self._rest_mm

    def home(self, now_s: float) -> None:
        """Begin to home."""
        if self.enabled:
            self.homed = False
            self._begin(0.0, self.mechanics.home_mm_per_s, now_s)
            self._homing = True

    def move(self, target_counts: int, now_s: float) -> None:
        """Begin an absolute move; it ends at the mechanical stop if that comes first."""
        if not self.enabled:
            return
        goal_mm = target_counts / self.mechanics.counts_per_mm + self._zero_mm
        goal_mm = min(max(goal_mm, -OVERTRAVEL_MM), self.mechanics.travel_mm + OVERTRAVEL_MM)
        self._begin(goal_mm, self._speed_mm_per_s, now_s)

    def stop(self, now_s: float) -> None:
        """Brake; what is left of the move is forgotten."""
        if self._profile is None or self.blocked:
            return
        here_mm = self.encoder_mm(now_s)
        speed = self._profile.speed(now_s - self._start_s)
        profile = Trapezoid.stop(speed, self._acceleration_mm_per_s2)
        way_mm = math.copysign(profile.length, self._goal_mm - here_mm)
        if abs(way_mm) > abs(self._goal_mm - here_mm):
            way_mm = self._goal_mm - here_mm
        self._rest_mm, self._goal_mm = here_mm, here_mm + way_mm
        self._profile, self._start_s = profile, now_s
        self._homing = False

    def finish(self, now_s: float) -> bool:
        """End the motion that is due; return whether it was a homing that succeeded."""
        if self.blocked:
            self._halt(self._start_s)
            self._motion_error, self.enabled = True, False
            return False
        homed = self._homing
        self._swing_mm = RINGING_MM * min(1.0, abs(self._goal_mm - self._rest_mm))
        self._rest_mm = self._goal_mm
        self._drag(self._rest_mm)
        self._profile, self._homing, self._rest_since_s = None, False, now_s
        if homed:
            self._zero_mm, self.homed = 0.0, True
        return homed

    def encoder_mm(self, now_s: float) -> float:
        """Return where the encoder is, from where homing would end."""
        return self._way_mm(now_s) + self._swing(now_s)

    def _way_mm(self, now_s: float) -> float:
        """Return where the drive is on its way, without the swing."""
        if self._profile is None or self.blocked:
            return self._rest_mm
        length_mm = abs(self._goal_mm - self._rest_mm)
        covered_mm = min(self._profile.distance(now_s - self._start_s), length_mm)
        return self._rest_mm + math.copysign(covered_mm, self._goal_mm - self._rest_mm)

    def slide_mm(self, now_s: float) -> float:
        """Return where the slide is: with backlash and the error of the last stop.

        The drive alone takes up the backlash; drive and slide swing as one.
        """
        self._drag(self._way_mm(now_s))
        return self._slide_mm + self._error_mm + self._swing(now_s)

    def counts(self, now_s: float) -> int:
        """Return the encoder's count."""
        return round((self.encoder_mm(now_s) - self._zero_mm) * self.mechanics.counts_per_mm)

    def bits(self, now_s: float) -> Bit:
        """Return the status bits."""
        bits = Bit.CONNECTED
        if self._profile is not None:
            up = self._goal_mm > self._rest_mm
            bits |= Bit.MOVING_UP if up else Bit.MOVING_DOWN
        elif self.enabled and now_s - self._rest_since_s >= SETTLE_S:
            bits |= Bit.SETTLED
        for held, bit in (
            (self._homing, Bit.HOMING),
            (self.homed, Bit.HOMED),
            (self.enabled, Bit.ENABLED),
            (self._motion_error, Bit.MOTION_ERROR),
        ):
            bits |= bit if held else Bit(0)
        return bits | self._limit_bits(now_s)

    def _limit_bits(self, now_s: float) -> Bit:
        upper, lower = Bit.UPPER_LIMIT, Bit.LOWER_LIMIT
        if self.mechanics.swapped_limits:
            upper, lower = lower, upper
        at_mm = self.encoder_mm(now_s)
        if at_mm > self.mechanics.travel_mm + LIMIT_MARGIN_MM:
            return upper
        return lower if at_mm < -LIMIT_MARGIN_MM else Bit(0)

    def _begin(self, goal_mm: float, speed_mm_per_s: float, now_s: float) -> None:
        self._halt(now_s)
        self._goal_mm = goal_mm
        length_mm = abs(goal_mm - self._rest_mm)
        self._profile = Trapezoid(length_mm, 0.0, speed_mm_per_s, self._acceleration_mm_per_s2)
        self._start_s = now_s
        error = float(np.clip(self._rng.normal(), -3.0, 3.0))
        self._error_mm = error * self.mechanics.repeatability_um / 1000.0

    def _halt(self, now_s: float) -> None:
        """Stand still at once."""
        self._rest_mm = self.encoder_mm(now_s)
        self._drag(self._rest_mm)
        self._profile, self._homing, self._swing_mm = None, False, 0.0

    def _drag(self, encoder_mm: float) -> None:
        play_mm = self.mechanics.backlash_um / 2000.0
        self._slide_mm = min(max(self._slide_mm, encoder_mm - play_mm), encoder_mm + play_mm)

    def _swing(self, now_s: float) -> float:
        age_s = now_s - self._rest_since_s
        if self._swing_mm == 0.0 or age_s > 12.0 * RINGING_TAU_S:
            return 0.0
        decay = math.exp(-age_s / RINGING_TAU_S)
        return self._swing_mm * decay * math.cos(2.0 * math.pi * RINGING_HZ * age_s)
