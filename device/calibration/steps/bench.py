"""What a calibration step works with: the instrument in the hands of the owner of the hardware."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.acquisition.background import BlankGlass, JudgeLed
from device.acquisition.dose import DoseLedger
from device.acquisition.focus import FocusPoint
from device.acquisition.focusing import Focuser
from device.acquisition.imaging import Imager
from device.acquisition.moving import BEAT_S, Mover
from device.acquisition.plan import Field, Plan, make_plan
from device.analysis.flatfield import Background
from device.calibration.steps.quantities import CalibrationRefusedError
from device.settings.file import Settings
from hal.clock import Clock, SystemClock
from hal.errors import InterlockError
from hal.factory import Hardware
from hal.interfaces.camera import Frame
from hal.interfaces.stage import Position

log = logging.getLogger(__name__)

FOCUS_FIELDS = 8
"""Neighbours in which the focus is looked for."""


@dataclass(frozen=True)
class Surroundings:
    """What the engine lends to a calibration.

    Attributes:
        cancel: ends every wait with Cancelled.
        check: called before every exposure; raises Cancelled.
        beat: called while waiting.
        say: shows what is being done and the share of the step that is done.
        judge_led: told how bright the LED is.
    """

    hardware: Hardware
    clock: Clock
    settings: Settings
    ledger: DoseLedger
    cancel: Event
    check: Callable[[], None]
    beat: Callable[[], None]
    say: Callable[[str, float], None]
    judge_led: JudgeLed


class Bench:
    """Moves, focuses and takes frames as a run does, under the same rules for the light.

    Close it when the step is over.

    Attributes:
        settings: the effective ones.
        hardware: the open devices.
        clock: paces everything but people and safety.
        cancel: ends every wait.
        imager: takes frames.
        mover: moves the stage.
        plan: of the scan area.
    """

    def __init__(self, parts: Surroundings) -> None:
        self._parts = parts
        self.settings = settings = parts.settings
        self.hardware = hardware = parts.hardware
        self.clock = parts.clock
        self.cancel = parts.cancel
        self.say = parts.say
        self.plan: Plan = make_plan(settings.scan, settings.camera)
        self.mover = Mover(hardware.stage, parts.clock, settings.scan, parts.cancel, parts.beat)
        self.imager = Imager(
            hardware.camera,
            hardware.light,
            # The light lives in real time, also where the clock of a simulation is scaled.
            SystemClock(),
            parts.ledger,
            gate=self._gate,
            lid_opened=_lid_opened,
            retries=settings.scan.tile_retries,
            frame_timeout_ms=settings.camera.frame_timeout_ms,
            warm_up_pause_s=settings.light.warm_up_pause_s,
        )
        self._focuser = Focuser(self.imager, self.mover, parts.ledger, settings.scan)
        self._notes: dict[str, dict[str, Any]] = {}
        self._exposure_ms = settings.camera.exposure_ms

    def close(self) -> None:
        """End the stage's thread and give the stage its approach back."""
        self.mover.close()
        stage = self.settings.stage
        self.hardware.stage.set_approach(stage.approach_xy_um, stage.approach_z_um)

    def wait_until(self, time_s: float) -> None:
        """Wait for a time of the clock.  Raises Cancelled."""
        while (left_s := time_s - self.clock.monotonic_s()) > 0.0:
            self._parts.beat()
            self.clock.sleep(min(left_s, BEAT_S), self.cancel)

    def home(self) -> None:
        """Set the camera's gain, and home the stage where its position is not known."""
        stage = self.settings.stage
        self.hardware.stage.set_approach(stage.approach_xy_um, stage.approach_z_um)
        self.hardware.camera.set_gain(self.settings.camera.gain_db)
        self.mover.home()

    def take_background(self) -> Background:
        """Set the exposure on blank glass and take its image, as a run does."""
        self.say("Taking the background on blank glass.", 0.02)
        glass = BlankGlass(
            self.hardware.camera,
            self.imager,
            self.mover,
            self.settings.scan,
            exposure_ms=self.settings.camera.exposure_ms,
            longest_pulse_ms=self.hardware.light.max_pulse_ms,
            note=self._note,
            judge_led=self._parts.judge_led,
        )
        background = glass.take_background()
        self._exposure_ms = float(self._notes["background"]["exposure_ms"])
        return background

    @property
    def exposure_ms(self) -> float:
        """The exposure that suits blank glass, once its image was taken."""
        return self._exposure_ms

    @property
    def background_notes(self) -> dict[str, Any]:
        """What was found on blank glass."""
        return self._notes["background"]

    def find_focus(self) -> FocusPoint:
        """Return the focus near the middle of the scan area, and stand there.

        Raises CalibrationRefusedError.
        """
        self.say("Looking for the focus.", 0.1)
        point = self._focuser.search(
            self.fields(FOCUS_FIELDS), self.settings.scan.focus_z_um, coarse=True
        )
        if point is None:
            raise CalibrationRefusedError(
                "No place in the middle of the scan area shows cells in focus.",
                remedy="Put in a slide with a smear, smear upwards, and check that it lies flat.",
                code="CALIBRATION-NO-FOCUS",
            )
        return point

    def fields(self, count: int, apart: int = 0) -> list[Field]:
        """Return the unused fields nearest to the middle of the plan.

        Args:
            count: how many.
            apart: rows and columns that lie between them and every used field at least.

        Raises CalibrationRefusedError when there are not so many.
        """
        xs = [field.x_um for field in self.plan.fields]
        ys = [field.y_um for field in self.plan.fields]
        middle = ((min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2)
        ledger = self._parts.ledger
        used = [f for f in self.plan.fields if ledger.exposures((f.row, f.column)) > 0]
        rows, columns = (
            {place + by for place in places for by in range(-apart, apart + 1)}
            for places in ({f.row for f in used}, {f.column for f in used})
        )
        unused = [
            f
            for f in self.plan.fields
            if f not in used and (not apart or (f.row not in rows and f.column not in columns))
        ]
        if len(unused) < count:
            raise CalibrationRefusedError(
                f"The scan area has {len(unused)} unused fields; {count} are needed.",
                remedy="Make the scan area larger: scan.width_um and scan.height_um.",
                code="CALIBRATION-AREA",
            )
        unused.sort(key=lambda f: math.dist(middle, (f.x_um, f.y_um)))
        return unused[:count]

    def frame_at(self, x_um: float, y_um: float, z_um: float) -> tuple[Position, Frame]:
        """Go to a place and return what the stage reports there, and a frame."""
        position = self.mover.to(x_um, y_um, z_um)
        return position, self.imager.take(self.field_of(x_um, y_um))

    def field_of(self, x_um: float, y_um: float) -> Field:
        """Return the field of the plan that a place lies in, for the ledger."""
        return min(self.plan.fields, key=lambda f: math.dist((x_um, y_um), (f.x_um, f.y_um)))

    @contextmanager
    def without_approach(self) -> Iterator[None]:
        """Let moves end from either side in the block."""
        self.hardware.stage.set_approach(0.0, 0.0)
        try:
            yield
        finally:
            stage = self.settings.stage
            self.hardware.stage.set_approach(stage.approach_xy_um, stage.approach_z_um)

    def _gate(self) -> None:
        self._parts.check()
        if not self.hardware.panel.lid_closed:
            _lid_opened()

    def _note(self, kind: str, data: dict[str, Any]) -> None:
        self._notes[kind] = data
        log.info("%s: %s", kind, data)


def _lid_opened() -> None:
    raise InterlockError(
        "The lid is open: the light is off and the step has ended.",
        remedy="Close the lid, then repeat the step.",
    )


def pixels_of(frame: Frame) -> NDArray[np.uint16]:
    """Return the counts of a frame, uint16 (height, width)."""
    return np.asarray(frame.pixels, np.uint16)
