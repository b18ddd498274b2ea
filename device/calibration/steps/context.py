"""What a calibration step works with: the imaging rig, and where on the smear to use it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from device.acquisition.plan import Plan, from_the_middle, make_plan
from device.analysis.flatfield import Background
from device.calibration.steps.quantities import CalibrationRefusedError
from device.imaging.field import Field
from device.imaging.focus import FocusPoint
from device.imaging.moving import HEARTBEAT_S
from device.imaging.rig import ImagingRig
from hal.interfaces.camera import Frame
from hal.interfaces.stage import Position

FOCUS_FIELDS = 8
"""Neighbours in which the focus is looked for."""


class CalibrationContext:
    """The rig in the hands of a calibration step.

    Attributes:
        rig: set up.
        settings: the effective ones.
        say: shows what is being done and the share of the step that is done.
        plan: of the scan area.
    """

    def __init__(self, rig: ImagingRig, say: Callable[[str, float], None]) -> None:
        self.rig = rig
        self.settings = rig.settings
        self.say = say
        self.plan: Plan = make_plan(rig.settings.scan, rig.settings.camera)

    def wait_until(self, time_s: float) -> None:
        """Wait for a time of the clock.  Raises Cancelled."""
        clock, user = self.rig.clock, self.rig.user
        while (left_s := time_s - clock.monotonic_s()) > 0.0:
            user.waiting()
            clock.sleep(min(left_s, HEARTBEAT_S), user.cancel)

    def prepare(self) -> Background:
        """Home the stage if its position is not known; return the image of blank glass.

        Raises as :meth:`device.imaging.background.BlankGlass.take_background`.
        """
        self.rig.mover.home()
        self.say("Taking the background on blank glass.", 0.02)
        return self.rig.glass.take_background()

    def find_focus(self) -> FocusPoint:
        """Return the focus near the middle of the scan area, and stand there.

        Raises CalibrationRefusedError.
        """
        self.say("Looking for the focus.", 0.1)
        point = self.rig.focuser.search(
            self.fields(FOCUS_FIELDS), self.settings.scan.focus_z_um, coarse=True
        )
        if point is None:
            raise CalibrationRefusedError("CALIBRATION-NO-FOCUS")
        return point

    def fields(self, count: int, apart: int = 0) -> list[Field]:
        """Return the unused fields nearest to the middle of the plan.

        Args:
            count: how many.
            apart: rows and columns that lie between them and every used field at least.

        Raises CalibrationRefusedError if there are fewer.
        """
        used = [f for f in self.plan.fields if self.rig.ledger.exposures((f.row, f.column)) > 0]
        rows, columns = (
            {place + by for place in places for by in range(-apart, apart + 1)}
            for places in ({f.row for f in used}, {f.column for f in used})
        )
        unused = [
            f
            for f in from_the_middle(self.plan)
            if f not in used and (not apart or (f.row not in rows and f.column not in columns))
        ]
        if len(unused) < count:
            raise CalibrationRefusedError("CALIBRATION-AREA", unused=len(unused), needed=count)
        return unused[:count]

    def frame_at(self, x_um: float, y_um: float, z_um: float) -> tuple[Position, Frame]:
        """Go to a place and return what the stage reports there, and a frame."""
        position = self.rig.mover.to(x_um, y_um, z_um)
        return position, self.rig.imager.take(self.field_of(x_um, y_um))

    def field_of(self, x_um: float, y_um: float) -> Field:
        """Return the field of the plan that a place lies in, for the ledger."""
        return min(self.plan.fields, key=lambda f: math.dist((x_um, y_um), (f.x_um, f.y_um)))

    @contextmanager
    def without_approach(self) -> Iterator[None]:
        """Let moves end from either side in the block."""
        self.rig.hardware.stage.set_approach(0.0, 0.0)
        try:
            yield
        finally:
            self.rig.set_approach()


def pixels_of(frame: Frame) -> NDArray[np.uint16]:
    """Return the counts of a frame, uint16 (height, width)."""
    return np.asarray(frame.pixels, np.uint16)
