"""What the checks work with: the imaging rig, and what one check leaves for the next."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from threading import Event
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from device.acquisition.plan import Plan, from_the_middle, make_plan
from device.analysis.tile_analyzer import TileAnalyzer
from device.errors import SelfTestError
from device.imaging.background import BLANK_ROW
from device.imaging.field import Field
from device.imaging.focus import FocusPoint
from device.imaging.rig import ImagingRig, RigUser, end_at_open_lid, sample_of_the_day
from hal.clock import Clock
from hal.errors import Cancelled, LeukoluxError
from hal.interfaces.camera import Frame

if TYPE_CHECKING:
    from device.calibration.effective import Effective
    from device.engine.state.services import MakeAnalyzer
    from device.records.records import Records
    from hal.factory import Hardware
    from models.runtime import ModelSet

log = logging.getLogger(__name__)


class CheckContext:
    """Rig, records and networks, with what one check leaves for the next.

    Used by one thread, the owner of the hardware.

    Attributes:
        rig: takes the images.
        models: the networks, one set per analysis thread, once they are loaded.
        dark_frames: taken without light.
        blank: frame of blank glass at the exposure that suits.
        steady: what frames of blank glass have in common, counts above dark.
        light_error: why the light could not be opened.
        light_was_on: whether it was on when the checks began.
        focus: where the smear is in focus.
        walks: along x and y, how the image moved for each unit of the stage; 1 is a straight
            camera.

    Args:
        effective: settings and calibrations as a run would use them now.
        load_models: opens the networks, one set per call.
        make_analyzer: builds the analysis of a tile.
        cancel: ends every wait with Cancelled.
        heartbeat: called wherever the checks pass or wait.
    """

    def __init__(
        self,
        effective: Effective,
        hardware: Hardware,
        records: Records,
        clock: Clock,
        *,
        load_models: Callable[[], ModelSet],
        make_analyzer: MakeAnalyzer = TileAnalyzer,
        cancel: Event | None = None,
        heartbeat: Callable[[], None] = lambda: None,
    ) -> None:
        self.effective = effective
        self.settings = effective.settings
        self.hardware = hardware
        self.records = records
        self.load_models = load_models
        self.make_analyzer = make_analyzer
        self.models: Sequence[ModelSet] = ()
        self.dark_frames: list[Frame] = []
        self.blank: Frame | None = None
        self.steady: NDArray[np.float32] | None = None
        self.focus: FocusPoint | None = None
        self.walks: tuple[complex, ...] = ()
        self.light_error: LeukoluxError | None = None
        self.light_was_on = False
        self._cancel = cancel if cancel is not None else Event()
        self._heartbeat = heartbeat
        self._give_up_s = float("inf")
        self._blank_frames = 0
        user = RigUser(
            sample_id=sample_of_the_day("check", records),
            cancel=self._cancel,
            checkpoint=self.go_on,
            lid_opened=end_at_open_lid("check"),
            waiting=self.go_on,
            note=lambda kind, data: log.info("%s: %s", kind, data),
            judges_led=False,
            opens_devices=True,
        )
        self.rig = ImagingRig(effective.settings, hardware, records, clock, user)

    @cached_property
    def plan(self) -> Plan:
        """The places of a scan, the middle first.  Raises SettingsError."""
        plan = make_plan(self.settings.scan, self.settings.camera)
        return replace(plan, fields=tuple(from_the_middle(plan)))

    def begin(self, bound_s: float) -> None:
        """Give the next check ``bound_s`` real seconds."""
        self._give_up_s = time.monotonic() + bound_s
        self.go_on()

    def go_on(self) -> None:
        """Pass a check point: called before every exposure and while the stage moves.

        Raises:
            Cancelled: a person ended the checks.
            SelfTestError: the check takes too long.
        """
        self._heartbeat()
        if self._cancel.is_set():
            raise Cancelled("The check")
        if time.monotonic() > self._give_up_s:
            raise SelfTestError("CHECK-TIMEOUT")

    def lid_closed(self) -> bool:
        """Return whether the lid is closed; a switch that cannot be read counts as open."""
        try:
            return self.hardware.panel.lid_closed
        except LeukoluxError:
            return False

    def dark_level(self) -> float:
        """Return the mean of the dark frames, counts."""
        return float(np.mean([frame.pixels.mean() for frame in self.dark_frames]))

    def lit(self, frame: Frame) -> NDArray[np.float32]:
        """Return what the light adds to the dark level, counts, (height, width)."""
        return np.asarray(frame.pixels, np.float32) - np.float32(self.dark_level())

    def blank_frame(self, exposure_ms: float) -> Frame:
        """Return a frame of the blank glass under the objective, which stays where it is."""
        self.hardware.camera.set_exposure(1000.0 * exposure_ms)
        self._blank_frames += 1
        x_um, y_um = self.settings.scan.blank_x_um, self.settings.scan.blank_y_um
        return self.rig.imager.take(Field(BLANK_ROW - 1, self._blank_frames, x_um, y_um))
