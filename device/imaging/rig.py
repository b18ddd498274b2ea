"""The imaging rig: what every user of camera, light and stage takes images with."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from types import TracebackType
from typing import Any, NoReturn

from device.imaging.background import BlankGlass
from device.imaging.dose import DoseLedger, DoseLimits
from device.imaging.focusing import Focuser
from device.imaging.imager import Imager
from device.imaging.light_log import LightLog
from device.imaging.moving import Mover
from device.records.records import Records
from device.settings.file import Settings
from hal.clock import Clock, SystemClock
from hal.errors import InterlockError, LeukoluxError
from hal.factory import Hardware

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RigUser:
    """Who takes images with a rig, and what happens meanwhile.

    Attributes:
        sample_id: under which the dose is kept in the records.
        cancel: ends every wait with Cancelled.
        checkpoint: called before every exposure; may wait, and raises to end the work.
        lid_opened: called if the lid is open before or during an exposure; returns when the
            exposure may be repeated, or raises.
        waiting: called while the stage moves.
        note: stores what was found, as kind and data.
        judges_led: whether an LED that blank glass shows to be worn ends the work with LedError.
        opens_devices: whether the user opens the devices itself, and then calls
            :meth:`ImagingRig.set_camera`.
    """

    sample_id: str
    cancel: Event
    checkpoint: Callable[[], None]
    lid_opened: Callable[[], None]
    waiting: Callable[[], None]
    note: Callable[[str, dict[str, Any]], None]
    judges_led: bool = True
    opens_devices: bool = False


class ImagingRig:
    """Moves, focuses and takes frames; every exposure counts for the dose and the LED.

    A context manager, for one use by one thread, the owner of the hardware.  It sets the stage's
    approach and the camera; whatever happens in the block, it ends with the light off, the camera
    as the settings say, and the light entered in the records.

    Attributes:
        settings: the effective ones.
        hardware: the devices, open.
        clock: paces everything but light, people and safety.
        user: who takes the images.
        ledger: light of every field, counted on from the former dose of the sample.
        light_log: brings the records up to date with the ledger.
        mover: moves the stage.
        imager: takes frames.
        focuser: finds the focus.
        glass: takes frames of blank glass.

    Args:
        records: where the lives of LEDs and the doses of samples are kept.

    Raises:
        RecordsError: the former dose of the sample cannot be read.
    """

    def __init__(
        self,
        settings: Settings,
        hardware: Hardware,
        records: Records,
        clock: Clock,
        user: RigUser,
    ) -> None:
        self.settings = settings
        self.hardware = hardware
        self.clock = clock
        self.user = user
        scan, light = settings.scan, settings.light
        with records.reader() as reader:
            former_j_per_cm2 = reader.sample_dose_j_per_cm2(user.sample_id)
        self.ledger = DoseLedger(
            DoseLimits(
                scan.max_exposures_per_field, scan.max_field_mj_per_cm2, scan.max_sample_j_per_cm2
            ),
            light.irradiance_mw_per_cm2,
            former_j_per_cm2,
        )
        self.light_log = LightLog(records, light, user.sample_id, self.ledger, user.note)
        self.mover = Mover(hardware.stage, clock, scan, user.cancel, user.waiting)
        self.imager = Imager(
            hardware.camera,
            hardware.light,
            # The light lives in real time, even if the clock of a simulation is scaled.
            SystemClock(),
            self.ledger,
            checkpoint=self._pass_checkpoint,
            lid_opened=user.lid_opened,
            retries=scan.tile_retries,
            frame_timeout_ms=settings.camera.frame_timeout_ms,
            warm_up_pause_s=light.warm_up_pause_s,
        )
        self.focuser = Focuser(self.imager, self.mover, self.ledger, scan)
        self.glass = BlankGlass(
            hardware.camera,
            self.imager,
            self.mover,
            scan,
            exposure_ms=settings.camera.exposure_ms,
            longest_pulse_ms=hardware.light.max_pulse_ms,
            note=user.note,
            judge_led=self.light_log.judge if user.judges_led else _judge_nothing,
        )

    def __enter__(self) -> ImagingRig:
        """Set approach and camera.  Raises CameraError."""
        self.set_approach()
        if not self.user.opens_devices:
            self.set_camera()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave everything safe, restored and entered; never raises.

        Who has to know that the light could not be entered calls :meth:`LightLog.enter_rest`.
        """
        for action in (
            self.hardware.light.off,
            self.set_camera,
            self.light_log.enter_rest,
            self.mover.close,
            self.set_approach,
        ):
            try:
                action()
            except LeukoluxError as failure:
                log.warning("after taking images: %s", failure)
            except Exception:
                log.exception("after taking images")

    def set_camera(self) -> None:
        """Set gain and exposure as the settings say.  Raises CameraError, DeviceClosedError."""
        camera = self.settings.camera
        self.hardware.camera.set_gain(camera.gain_db)
        self.hardware.camera.set_exposure(1000.0 * camera.exposure_ms)

    def set_approach(self) -> None:
        """Let moves end as the settings say."""
        stage = self.settings.stage
        self.hardware.stage.set_approach(stage.approach_xy_um, stage.approach_z_um)

    def _pass_checkpoint(self) -> None:
        """Do what comes before every exposure, when the light is off and no frame is under way."""
        self.user.checkpoint()
        self.light_log.enter()
        if not self.hardware.panel.lid_closed:
            self.user.lid_opened()


def end_at_open_lid(work: str) -> Callable[[], NoReturn]:
    """Return a :attr:`RigUser.lid_opened` that ends the ``work`` with InterlockError."""

    def lid_opened() -> NoReturn:
        raise InterlockError("LIGHT-LID-OPENED", work=work)

    return lid_opened


def sample_of_the_day(work: str, records: Records) -> str:
    """Return under which name the dose of the slide in place is kept, if nobody entered an id.

    One name a day: the limit of the dose protects the slide that lies there, and no slide has
    received the light of all days together.
    """
    return f"({work} {records.utc_now():%Y-%m-%d})"


def _judge_nothing(brightness_per_s: float, sound: bool) -> None:
    pass
