"""How long the image moves on after the stage says it has arrived, measured from frames.

Every sample is one move onto a field and two frames there: one after a short delay, one after a
long one.  Both show the same field after the same move, so neither the stopping error of the stage
nor its backlash counts, and no field receives more than two exposures a sample.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from threading import Event

import numpy as np
from numpy.typing import NDArray

from device.calibration.steps.shift import shift_px, structure
from device.errors import SettlingError
from device.imaging.field import Field
from device.imaging.focus import contrast
from device.imaging.imager import Imager
from hal.clock import Clock
from hal.interfaces.stage import Stage

log = logging.getLogger(__name__)

DELAYS_MS = (0.0, 10.0, 20.0, 40.0, 60.0, 80.0, 120.0, 160.0, 240.0, 320.0)
"""When the early frame is taken after arrival."""

FINAL_MS = 800.0
"""When the late frame is taken: every stage in use stands still by then."""

REPEATS = 3
SAFETY_FACTOR = 1.5
MAX_SHIFT_PX = 0.25
MAX_CONTRAST_CHANGE = 0.03
"""A swing during the exposure, or in z, shows as another contrast."""


@dataclass(frozen=True)
class Sample:
    """One pair of frames.

    Attributes:
        asked_ms: delay that was wanted.
        delay_ms: from the stage's arrival to the early frame, as measured.
        shift_px: how far the image still went until the late frame.
        contrast_change: relative change of contrast until then.
    """

    asked_ms: float
    delay_ms: float
    shift_px: float
    contrast_change: float

    @property
    def still(self) -> bool:
        """Whether the image already stood still."""
        return self.shift_px <= MAX_SHIFT_PX and self.contrast_change <= MAX_CONTRAST_CHANGE


@dataclass(frozen=True)
class SettleTime:
    """Result of one measurement.

    Attributes:
        time_ms: to be waited after a move, safety included; whole ms.
        measured_ms: from this delay on every image stood still; the first one where all did.
        samples: what it rests on, in order of delay.
    """

    time_ms: float
    measured_ms: float
    samples: tuple[Sample, ...]


class SettlingMeter:
    """Measures settle times on fields that show something.

    Runs on the thread that owns the stage.

    Args:
        stage: homed.
        imager: takes the frames.
        clock: paces the delays.
        cancel: ends every wait with Cancelled.
        delays_ms: when the early frames are taken.
        repeats: samples of each delay.
    """

    def __init__(
        self,
        stage: Stage,
        imager: Imager,
        clock: Clock,
        cancel: Event,
        *,
        delays_ms: Sequence[float] = DELAYS_MS,
        repeats: int = REPEATS,
    ) -> None:
        self._stage = stage
        self._imager = imager
        self._clock = clock
        self._cancel = cancel
        self._delays_ms = sorted(delays_ms)
        self._repeats = repeats

    def measure_xy(self, fields: Sequence[Field], z_um: float) -> SettleTime:
        """Measure with moves from field to field, as a scan makes them.

        Args:
            fields: neighbours with cells in them, at least two; each is visited in turn.
            z_um: height at which they are in focus.

        Raises:
            SettlingError: the fields show nothing, or the image never stands still.
            LeukoluxError: as stage, camera and light raise.
        """
        if len(fields) < 2:
            raise ValueError("a move needs two fields")
        self._stage.move_to(fields[-1].x_um, fields[-1].y_um, z_um, self._cancel)

        def move(field: Field) -> None:
            self._stage.move_to(field.x_um, field.y_um, cancel=self._cancel)

        return self._measure("x and y", fields, move)

    def measure_z(self, fields: Sequence[Field], z_um: float, step_um: float) -> SettleTime:
        """Measure with upward moves of ``step_um`` that end at ``z_um``, one on each field.

        Args:
            fields: with cells in them; x and y have come to rest before each move.
            z_um: height on the slope of the contrast, where it changes with z.
            step_um: as the scan's focus steps.

        Raises: as :meth:`measure_xy`.
        """

        def move(field: Field) -> None:
            self._stage.move_to(field.x_um, field.y_um, z_um - step_um, self._cancel)
            self._clock.sleep(FINAL_MS / 1000.0, self._cancel)
            self._stage.move_to(z_um=z_um, cancel=self._cancel)

        return self._measure("z", fields, move)

    def _measure(
        self, axes: str, fields: Sequence[Field], move: Callable[[Field], None]
    ) -> SettleTime:
        places = cycle(fields)
        # The first light after a pause warms the LED and costs the time of a frame.
        self._imager.take(fields[-1])
        samples: list[Sample] = []
        wanted = [delay_ms for delay_ms in self._delays_ms for _ in range(self._repeats)]
        for delay_ms in wanted:
            sample = self._sample(next(places), delay_ms, move)
            if sample is not None:
                samples.append(sample)
        found = settle_time(samples)
        if found is None or len(samples) < len(wanted) / 2:
            raise _failure(axes, samples, len(wanted))
        log.info(
            "settle time of %s: %g ms, measured %.0f ms", axes, found.time_ms, found.measured_ms
        )
        return found

    def _sample(
        self, field: Field, delay_ms: float, move: Callable[[Field], None]
    ) -> Sample | None:
        """Move, take both frames and compare them; None if they show nothing."""
        move(field)
        arrived_s = self._clock.monotonic_s()
        self._clock.sleep(delay_ms / 1000.0, self._cancel)
        begun_ms = 1000.0 * (self._clock.monotonic_s() - arrived_s)
        early = self._imager.take(field)
        left_s = arrived_s + FINAL_MS / 1000.0 - self._clock.monotonic_s()
        self._clock.sleep(max(0.0, left_s), self._cancel)
        late = self._imager.take(field)
        shift_px = image_shift_px(early.pixels, late.pixels)
        if shift_px is None:
            return None
        change = abs(contrast(early.pixels) / max(contrast(late.pixels), 1e-12) - 1.0)
        return Sample(delay_ms, begun_ms, shift_px, change)


def settle_time(samples: Sequence[Sample]) -> SettleTime | None:
    """Return the delay from which every sample stands still, with safety, or None."""
    moving = [sample.asked_ms for sample in samples if not sample.still]
    later = [sample for sample in samples if not moving or sample.asked_ms > max(moving)]
    if not later:
        return None
    # Between the last delay that was too short and the next, the image may have moved on.
    first_ms = min(sample.asked_ms for sample in later)
    measured_ms = max(sample.delay_ms for sample in later if sample.asked_ms == first_ms)
    ordered = tuple(sorted(samples, key=lambda sample: sample.delay_ms))
    return SettleTime(math.ceil(SAFETY_FACTOR * measured_ms), measured_ms, ordered)


def image_shift_px(fixed: NDArray[np.generic], moving: NDArray[np.generic]) -> float | None:
    """Return the distance between two images of one field by phase correlation.

    Args:
        fixed: (height, width), any real dtype.
        moving: (height, width), any real dtype.

    Returns:
        Distance in pixels, or None if they show too little in common.
    """
    shift = shift_px(structure(fixed), structure(moving))
    return math.hypot(*shift) if shift is not None else None


def _failure(axes: str, samples: Sequence[Sample], wanted: int) -> SettlingError:
    if len(samples) < wanted / 2:
        return SettlingError("SETTLING-EMPTY", useful=len(samples), taken=wanted)
    worst_px = max(sample.shift_px for sample in samples)
    return SettlingError("SETTLING-RESTLESS", axes=axes, worst_px=worst_px)
