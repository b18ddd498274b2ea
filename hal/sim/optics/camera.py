"""The simulated camera: what the sensor would see of the virtual smear, and its faults."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Lock
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hal.clock import Clock
from hal.config import CameraConfig
from hal.errors import CameraError
from hal.interfaces.camera import Frame, PixelFormat
from hal.interfaces.failures import (
    camera_closed,
    camera_out_of_range,
    camera_unplugged,
    frame_incomplete,
    frame_late,
    frame_stale,
    not_triggered,
)

log = logging.getLogger(__name__)

MIN_EXPOSURE_US = 20.0
MAX_EXPOSURE_US = 1_000_000.0
MAX_GAIN_DB = 24.0
READOUT_MS = 40.0
_COLD_C = 24.0
_WARMING_C = 9.0
_WARMING_S = 400.0


class Scene(Protocol):
    """What lies under the objective."""

    def render(
        self,
        x_um: float,
        y_um: float,
        z_um: float,
        *,
        exposure_ms: float,
        gain_db: float = ...,
        full_scale: int = ...,
        frame_seed: int = ...,
        time_s: float = ...,
        lit_fraction: float = ...,
    ) -> NDArray[np.uint16]:
        """Return the image at a stage position, shape (height, width), 0 to ``full_scale``.

        The noise of a frame repeats with its ``frame_seed``; ``time_s`` since the start lets the
        LED drift; ``lit_fraction`` is the share of the exposure in which the light was on.
        """


@dataclass
class CameraFaults:
    """What goes wrong with the next frames: numbers count down, one per frame."""

    drop: int = 0
    incomplete: int = 0
    stale: int = 0
    late: int = 0
    late_ms: float = 10_000.0


@dataclass
class _Exposure:
    frame_id: int
    place_um: tuple[float, float, float]
    exposure_us: float
    gain_db: float
    time_s: float
    real_start_s: float
    real_end_s: float | None = None


class SimCamera:
    """:class:`hal.interfaces.camera.Camera` on a :class:`Scene`.

    The exposure lasts on the injected clock.  The image is computed in :meth:`read`, after the
    light is off; that computing time counts against the readout time of a real camera.

    Args:
        config: size and format of the frames.
        scene: renders what is seen.
        place_um: true position of the slide, stage frame.
        lit_fraction: share of an interval of real time in which the light was on.
        clock: paces exposure and readout.
    """

    def __init__(
        self,
        config: CameraConfig,
        scene: Scene,
        place_um: Callable[[], tuple[float, float, float]],
        lit_fraction: Callable[[float, float], float],
        clock: Clock,
    ) -> None:
        self.faults = CameraFaults()
        self._config = config
        self._scene = scene
        self._place_um = place_um
        self._lit_fraction = lit_fraction
        self._clock = clock
        self._fault_lock = Lock()
        self._open = False
        self._unplugged = False
        self._opened_s = clock.monotonic_s()
        self._exposure_us = config.exposure_ms * 1000.0
        self._gain_db = config.gain_db
        self._frame_id = -1
        self._pending: _Exposure | None = None

    @property
    def width_px(self) -> int:
        """Image width."""
        return self._config.width_px

    @property
    def height_px(self) -> int:
        """Image height."""
        return self._config.height_px

    @property
    def pixel_format(self) -> PixelFormat:
        """Format of the frames."""
        return PixelFormat(self._config.pixel_format)

    @property
    def temperature_c(self) -> float:
        """Sensor temperature: warms up after opening."""
        return sensor_temperature_c(self._clock.monotonic_s() - self._opened_s)

    def open(self) -> None:
        """Connect.  Raises CameraError if unplugged."""
        if self._unplugged:
            raise _pulled()
        if not self._open:
            self._open = True
            self._opened_s = self._clock.monotonic_s()
            self._frame_id = -1
            self._pending = None

    def set_exposure(self, exposure_us: float) -> None:
        """Set the exposure of the following frames, us.  Raises CameraError if out of range."""
        self._require_open()
        if not MIN_EXPOSURE_US <= exposure_us <= MAX_EXPOSURE_US:
            raise camera_out_of_range("ExposureTime", exposure_us, MIN_EXPOSURE_US, MAX_EXPOSURE_US)
        self._exposure_us = float(exposure_us)

    def set_gain(self, gain_db: float) -> None:
        """Set the gain of the following frames, dB.  Raises CameraError if out of range."""
        self._require_open()
        if not 0.0 <= gain_db <= MAX_GAIN_DB:
            raise camera_out_of_range("Gain", gain_db, 0.0, MAX_GAIN_DB)
        self._gain_db = float(gain_db)

    def trigger(self) -> None:
        """Start one exposure now.  Raises CameraError, DeviceClosedError."""
        self._require_open()
        self._frame_id += 1
        self._pending = _Exposure(
            frame_id=self._frame_id,
            place_um=self._place_um(),
            exposure_us=self._exposure_us,
            gain_db=self._gain_db,
            time_s=self._clock.monotonic_s(),
            real_start_s=time.monotonic(),
        )

    def wait_exposed(self, cancel: Event | None = None) -> None:
        """Block until the triggered exposure has ended.

        Raises:
            FrameError: nothing was triggered.
            Cancelled: ``cancel`` was set.
            DeviceClosedError: the camera is not open.
        """
        self._finish_exposure(self._require_pending(), cancel)

    def read(self, timeout_ms: float, cancel: Event | None = None) -> Frame:
        """Return the frame of the last trigger.  Raises: as :meth:`Camera.read`."""
        exposure = self._require_pending()
        self._finish_exposure(exposure, cancel)
        self._pending = None
        ready_s = exposure.time_s + exposure.exposure_us / 1e6 + READOUT_MS / 1000.0
        late_ms = self._take_fault("late", self.faults.late_ms)
        if self._take_fault("drop") or READOUT_MS + late_ms > timeout_ms:
            self._clock.sleep(timeout_ms / 1000.0, cancel)
            raise frame_late(exposure.frame_id, timeout_ms)
        if self._take_fault("incomplete"):
            raise frame_incomplete(exposure.frame_id)
        if self._take_fault("stale"):
            raise frame_stale(exposure.frame_id - 1, exposure.frame_id)
        pixels = self._render(exposure)
        self._clock.sleep(ready_s + late_ms / 1000.0 - self._clock.monotonic_s(), cancel)
        self._require_open()
        return Frame(
            pixels=pixels,
            frame_id=exposure.frame_id,
            timestamp_ns=round(exposure.time_s * 1e9),
            exposure_us=exposure.exposure_us,
            gain_db=exposure.gain_db,
            pixel_format=self.pixel_format,
            temperature_c=self.temperature_c,
        )

    def close(self) -> None:
        """Disconnect.  Never raises; can be called twice."""
        self._open = False
        self._pending = None

    def look_at(self, scene: Scene) -> None:
        """See another scene from the next frame on."""
        self._scene = scene

    def unplug(self, unplugged: bool = True) -> None:
        """Pull the camera's cable, or put it back; reopen after that."""
        self._unplugged = unplugged

    def inject(self, **counts: float) -> None:
        """Set switches of :class:`CameraFaults` by name, e.g. ``drop=2``; safe from any thread."""
        with self._fault_lock:
            for name, value in counts.items():
                if not hasattr(self.faults, name):
                    raise ValueError(f"no camera fault is called {name}")
                setattr(self.faults, name, value)

    def _finish_exposure(self, exposure: _Exposure, cancel: Event | None) -> None:
        if exposure.real_end_s is None:
            left_s = exposure.time_s + exposure.exposure_us / 1e6 - self._clock.monotonic_s()
            self._clock.sleep(left_s, cancel)
            # Measured, not computed: the light is compared with the interval that really passed,
            # so neither the speed of the clock nor a late wake-up darkens the frame.
            exposure.real_end_s = time.monotonic()

    def _render(self, exposure: _Exposure) -> NDArray[np.uint16] | NDArray[np.uint8]:
        end_s = exposure.real_end_s if exposure.real_end_s is not None else time.monotonic()
        x_um, y_um, z_um = exposure.place_um
        pixels = self._scene.render(
            x_um,
            y_um,
            z_um,
            exposure_ms=exposure.exposure_us / 1000.0,
            gain_db=exposure.gain_db,
            full_scale=self.pixel_format.full_scale,
            frame_seed=exposure.frame_id,
            time_s=exposure.time_s - self._opened_s,
            lit_fraction=self._lit_fraction(exposure.real_start_s, end_s),
        )
        return pixels.astype(np.uint8) if self.pixel_format is PixelFormat.MONO8 else pixels

    def _take_fault(self, name: str, value: float = 1.0) -> float:
        """Count the switch ``name`` down; return ``value`` when it was on, else 0."""
        with self._fault_lock:
            left = getattr(self.faults, name)
            if left <= 0:
                return 0.0
            setattr(self.faults, name, left - 1)
        log.info("simulated camera fault: %s", name)
        return value

    def _require_pending(self) -> _Exposure:
        self._require_open()
        if self._pending is None:
            raise not_triggered()
        return self._pending

    def _require_open(self) -> None:
        if not self._open:
            raise camera_closed()
        if self._unplugged:
            raise _pulled()


def sensor_temperature_c(age_s: float) -> float:
    """Return the temperature of a sensor that was switched on ``age_s`` seconds ago."""
    return _COLD_C + _WARMING_C * (1.0 - math.exp(-age_s / _WARMING_S))


def _pulled() -> CameraError:
    return camera_unplugged("simulation", "its cable is pulled")
