"""One exposure: the light is on only while the camera exposes."""

from __future__ import annotations

import logging
from collections.abc import Callable

from device.errors import SampleRefusedError
from device.imaging.dose import DoseLedger
from device.imaging.field import Field
from hal.clock import Clock
from hal.errors import DeviceError, FrameError, InterlockError, LightError
from hal.interfaces.camera import Camera, Frame
from hal.interfaces.light import Light

log = logging.getLogger(__name__)


class DoseLimitError(DeviceError):
    """A field has received all the light it may; no exposure was made."""


class Imager:
    """Takes frames within the dose limit; lost frames are taken again.

    Args:
        checkpoint: called before every exposure; waits while the run is paused, raises Cancelled.
        lid_opened: called when the interlock ended an exposure; returns when it may be repeated.
        retries: further tries after a lost frame or a pulse that ended early.
        frame_timeout_ms: longest wait for a frame.
        warm_up_pause_s: after this long without light the LED has cooled, and the next frame is
            dropped.
    """

    def __init__(
        self,
        camera: Camera,
        light: Light,
        clock: Clock,
        ledger: DoseLedger,
        *,
        checkpoint: Callable[[], None],
        lid_opened: Callable[[], None],
        retries: int,
        frame_timeout_ms: float,
        warm_up_pause_s: float,
    ) -> None:
        self._camera = camera
        self._light = light
        self._clock = clock
        self._ledger = ledger
        self._checkpoint = checkpoint
        self._lid_opened = lid_opened
        self._retries = retries
        self._frame_timeout_ms = frame_timeout_ms
        self._warm_up_pause_s = warm_up_pause_s
        self._last_lit_s: float | None = None

    def take(self, field: Field, lost: int = 0) -> Frame:
        """Return a frame of the place the stage is at; a lost one is taken again.

        Args:
            field: entered in the ledger.
            lost: frames of this place that were lost before, which count as tries.

        Raises:
            FrameError: no frame in spite of all retries.
            LightError: no full pulse in spite of all retries.
            DoseLimitError: the field may receive no more light.
            SampleRefusedError: the sample may receive no more light.
            LedError: the LED does not do what it should.
            CameraError, Cancelled: as the devices and the checkpoint raise them.
        """
        return with_retries(lambda: self.take_once(field), self._retries, lost)

    def take_once(self, field: Field, exposed: Callable[[], None] = lambda: None) -> Frame:
        """Return a frame without a second try for a lost one.

        Args:
            field: entered in the ledger.
            exposed: called when the light is off again, before the frame is read out.

        Raises: as :meth:`take`.
        """
        while True:
            self._checkpoint()
            try:
                if self._cold():
                    self._expose_and_drop(field)
                self._expose(field)
            except InterlockError:
                self._lid_opened()
                continue
            exposed()
            return self._camera.read(self._frame_timeout_ms)

    def flash(self, field: Field) -> None:
        """Give one pulse, no more, whose frame is dropped.

        Args:
            field: entered in the ledger.

        Raises: as :meth:`take`, and InterlockError when the lid was opened.
        """
        self._checkpoint()
        self._expose_and_drop(field)

    def take_dark(self) -> Frame:
        """Return a frame without light.  Raises as :meth:`take`."""
        return with_retries(self._take_dark, self._retries)

    def _take_dark(self) -> Frame:
        self._checkpoint()
        return take_unlit(self._camera, self._frame_timeout_ms)

    def _cold(self) -> bool:
        now_s = self._clock.monotonic_s()
        return self._last_lit_s is None or now_s - self._last_lit_s > self._warm_up_pause_s

    def _expose_and_drop(self, field: Field) -> None:
        self._expose(field)
        try:
            self._camera.read(self._frame_timeout_ms)
        except FrameError as error:
            log.info("a frame that was to be dropped was lost: %s", error)

    def _expose(self, field: Field) -> None:
        key = (field.row, field.column)
        self._require_dose(key)
        lit_before_s = self._light.on_time_s
        try:
            with self._light.pulse(self._light.max_pulse_ms):
                self._camera.trigger()
                self._camera.wait_exposed()
        finally:
            lit_s = self._light.on_time_s - lit_before_s
            if lit_s > 0.0:
                self._ledger.add(key, lit_s)
                self._last_lit_s = self._clock.monotonic_s()

    def _require_dose(self, field: tuple[int, int]) -> None:
        ledger = self._ledger
        if field[0] >= 0 and ledger.sample_is_spent():
            raise SampleRefusedError(
                "SAMPLE-DOSE",
                dose_j_per_cm2=ledger.sample_j_per_cm2,
                limit_j_per_cm2=ledger.limits.sample_j_per_cm2,
            )
        if ledger.remaining(field) == 0:
            raise DoseLimitError(
                "DOSE-LIMIT",
                row=field[0],
                column=field[1],
                exposures=ledger.exposures(field),
                dose_mj_per_cm2=ledger.dose_mj_per_cm2(field),
            )


def take_unlit(camera: Camera, frame_timeout_ms: float) -> Frame:
    """Return a frame without light of ours, whether the lid is closed or not.

    Raises: as :meth:`hal.interfaces.camera.Camera.read`.
    """
    camera.trigger()
    camera.wait_exposed()
    return camera.read(frame_timeout_ms)


def with_retries(take: Callable[[], Frame], retries: int, lost: int = 0) -> Frame:
    """Return what ``take`` returns, called again after a lost frame or a pulse that ended early.

    Args:
        take: takes a frame.
        retries: most further tries.
        lost: how many of them are used up.

    Raises: as ``take``; InterlockError at once.
    """
    while True:
        try:
            return take()
        except InterlockError:
            raise
        except (FrameError, LightError) as error:
            log.warning("frame lost: %s", error)
            if lost >= retries:
                raise
            lost += 1
