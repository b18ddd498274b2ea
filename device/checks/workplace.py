"""What the checks work with: the devices, and the means to take images with them safely."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from threading import Event
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from device.acquisition.background import BLANK_ROW, BlankGlass
from device.acquisition.dose import DoseLedger, DoseLimits
from device.acquisition.focus import FocusPoint
from device.acquisition.focusing import Focuser
from device.acquisition.imaging import Imager
from device.acquisition.moving import Mover
from device.acquisition.plan import Field, Plan, make_plan
from device.analysis.tile_analyzer import TileAnalyzer
from device.engine.light_book import LightBook
from device.errors import SelfTestError
from hal.clock import Clock, SystemClock
from hal.errors import Cancelled, InterlockError, LeukoluxError
from hal.interfaces.camera import Frame

if TYPE_CHECKING:
    from device.calibration.effective import Effective
    from device.engine.services import MakeAnalyzer
    from device.records.records import Records
    from hal.factory import Hardware
    from models.runtime import ModelSet

log = logging.getLogger(__name__)

CHECK_SAMPLE: Final = "(check)"
"""Under this name the dose of the slide that the checks look at is kept."""


class Workplace:
    """Devices, records and networks, with what one check leaves for the next.

    Used by one thread, the owner of the hardware.  Light goes the way it goes in a run: leased,
    bounded, entered in the books.

    Attributes:
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
        beat: called wherever the checks pass or wait.
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
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self.effective = effective
        self.settings = settings = effective.settings
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
        self._beat = beat
        self._give_up_s = float("inf")
        self._blank_frames = 0
        ledger = DoseLedger(
            DoseLimits(
                settings.scan.max_exposures_per_field,
                settings.scan.max_field_mj_per_cm2,
                settings.scan.max_sample_j_per_cm2,
            ),
            settings.light.irradiance_mw_per_cm2,
        )
        self._book = LightBook(records, settings.light, CHECK_SAMPLE, ledger, _note)
        self.mover = Mover(hardware.stage, clock, settings.scan, self._cancel, self.go_on)
        self.imager = Imager(
            hardware.camera,
            hardware.light,
            SystemClock(),
            ledger,
            gate=self.go_on,
            lid_opened=_lid_opened,
            retries=settings.scan.tile_retries,
            frame_timeout_ms=settings.camera.frame_timeout_ms,
            warm_up_pause_s=settings.light.warm_up_pause_s,
        )
        self.focuser = Focuser(self.imager, self.mover, ledger, settings.scan)
        self.glass = BlankGlass(
            hardware.camera,
            self.imager,
            self.mover,
            settings.scan,
            exposure_ms=settings.camera.exposure_ms,
            longest_pulse_ms=hardware.light.max_pulse_ms,
            note=_note,
            judge_led=lambda brightness_per_s, sound: None,
        )

    @cached_property
    def plan(self) -> Plan:
        """The places of a scan, the middle first.  Raises SettingsError."""
        plan = make_plan(self.settings.scan, self.settings.camera)
        xs = [field.x_um for field in plan.fields]
        ys = [field.y_um for field in plan.fields]
        middle = ((min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2)

        def distance(field: Field) -> float:
            return (field.x_um - middle[0]) ** 2 + (field.y_um - middle[1]) ** 2

        ordered = sorted(plan.fields, key=distance)
        return Plan(
            tuple(ordered),
            plan.tile_width_um,
            plan.tile_height_um,
            plan.step_x_um,
            plan.step_y_um,
        )

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
        self._beat()
        if self._cancel.is_set():
            raise Cancelled("The check")
        if time.monotonic() > self._give_up_s:
            raise SelfTestError(
                "The check took too long and was given up.",
                remedy="Repeat it; when it stays, restart the instrument.",
                code="CHECK-TIMEOUT",
            )

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
        return self.imager.take(Field(BLANK_ROW - 1, self._blank_frames, x_um, y_um))

    def leave(self) -> None:
        """Light off, camera as the settings say, light entered in the books.  Never raises."""
        camera = self.settings.camera
        for action in (
            self.hardware.light.off,
            lambda: self.hardware.camera.set_exposure(1000.0 * camera.exposure_ms),
            lambda: self.hardware.camera.set_gain(camera.gain_db),
            lambda: self._book.enter(0.0),
            self.mover.close,
        ):
            try:
                action()
            except LeukoluxError as error:
                log.info("after the checks: %s", error)


def _note(kind: str, data: dict[str, Any]) -> None:
    log.info("%s: %s", kind, data)


def _lid_opened() -> None:
    raise InterlockError(
        "The lid was opened during the check.", remedy="Close the lid and repeat the check."
    )
