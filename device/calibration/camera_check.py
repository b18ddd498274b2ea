"""The camera on the bench: single frames, its speed, its noise."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from device.calibration.steps.camera_noise import SHORTEST_MS, measure_points
from device.calibration.steps.photon_transfer import (
    PhotonTransfer,
    Pixels,
    dark_level,
    photon_transfer,
)
from device.imaging.background import MAX_PULSE_SHARE
from device.imaging.imager import take_unlit
from hal.errors import FrameError, InputError
from hal.interfaces.camera import Camera, Frame

SUFFIXES = (".png", ".tif", ".tiff")
_BRIGHT_LEVEL = 0.9
_PROBE_LEVELS = (0.1, 0.8)
_TRIES = 6


@dataclass(frozen=True)
class FrameSource:
    """An open camera under a lamp.

    Attributes:
        camera: open.
        take: returns a frame under the lamp; raises as camera and light do.
        take_dark: returns a frame without the lamp's light, if the program switches the lamp.
        longest_pulse_ms: of the lamp; None if the program does not switch it.
    """

    camera: Camera
    take: Callable[[], Frame]
    take_dark: Callable[[], Frame]
    longest_pulse_ms: float | None

    def set_exposure(self, exposure_ms: float) -> None:
        """Set the exposure of the following frames.

        Raises:
            InputError: the lamp's longest pulse is shorter.
            CameraError: the camera does not allow it.
        """
        if self.longest_pulse_ms is not None and exposure_ms > self.longest_pulse_ms:
            raise InputError(
                "FRAME-EXPOSURE-TOO-LONG",
                exposure_ms=exposure_ms,
                longest_ms=self.longest_pulse_ms,
            )
        self.camera.set_exposure(exposure_ms * 1000.0)


@dataclass(frozen=True)
class FrameRate:
    """How fast frames come; durations in real time, from trigger to frame."""

    frames_per_s: float
    median_ms: float
    longest_ms: float
    lost: int
    exposure_ms: float
    width_px: int
    height_px: int


def measure_rate(camera: Camera, frames: int, frame_timeout_ms: float) -> FrameRate:
    """Take ``frames`` frames without light, one after the other.

    Raises:
        FrameError: not one frame came.
        CameraError: as the camera raises.
    """
    durations_ms: list[float] = []
    lost: list[FrameError] = []
    frame: Frame | None = None
    began_s = time.monotonic()
    for _ in range(frames):
        start_s = time.monotonic()
        try:
            frame = take_unlit(camera, frame_timeout_ms)
        except FrameError as error:
            lost.append(error)
        else:
            durations_ms.append((time.monotonic() - start_s) * 1000.0)
    if frame is None:
        raise lost[-1]
    return FrameRate(
        frames_per_s=len(durations_ms) / (time.monotonic() - began_s),
        median_ms=statistics.median(durations_ms),
        longest_ms=max(durations_ms),
        lost=len(lost),
        exposure_ms=frame.exposure_us / 1000.0,
        width_px=frame.pixels.shape[1],
        height_px=frame.pixels.shape[0],
    )


def measure_noise(
    source: FrameSource,
    exposures: int,
    longest_ms: float | None,
    *,
    cover: Callable[[], object],
    uncover: Callable[[], object],
) -> PhotonTransfer:
    """Take pairs of frames from dark to nearly saturated.

    Args:
        source: camera and lamp.
        exposures: how many, evenly spaced up to the longest.
        longest_ms: None finds the one that is nearly saturated.
        cover: called before the dark frames if the program does not switch the lamp.
        uncover: called after them.

    Raises:
        InputError: there is no exposure that suits.
        LeukoluxError: as the devices raise.
    """
    if source.longest_pulse_ms is None:
        cover()
    source.camera.set_exposure(SHORTEST_MS * 1000.0)
    dark = (source.take_dark().pixels, source.take_dark().pixels)
    if source.longest_pulse_ms is None:
        uncover()
    level = dark_level(dark)
    limit_ms = 1000.0
    if source.longest_pulse_ms is not None:
        limit_ms = MAX_PULSE_SHARE * source.longest_pulse_ms
    longest_ms = min(longest_ms or _bright_exposure_ms(source, level, limit_ms), limit_ms)
    steps_ms = np.linspace(longest_ms / exposures, longest_ms, exposures)
    points = measure_points(source.camera, steps_ms, level, source.take)
    return photon_transfer(dark, points, source.camera.pixel_format.full_scale)


def _bright_exposure_ms(source: FrameSource, level: float, limit_ms: float) -> float:
    """Return the exposure whose brightest pixels are just below full scale."""
    exposure_ms = min(10.0, limit_ms)
    for _ in range(_TRIES):
        source.camera.set_exposure(exposure_ms * 1000.0)
        frame = source.take()
        bright = float(np.percentile(frame.pixels, 99.9)) - level
        room = frame.pixel_format.full_scale - level
        low, high = (share * room for share in _PROBE_LEVELS)
        if low <= bright <= high or (bright < low and exposure_ms == limit_ms):
            break
        exposure_ms = min(exposure_ms * (4.0 if bright < low else 0.25), limit_ms)
    return float(exposure_ms * _BRIGHT_LEVEL * room / max(bright, 1.0))


def require_frame_name(path: Path) -> None:
    """Raise InputError if a name is not that of a PNG or TIFF file."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError("FRAME-FILE-TYPE", path=path)


def write_frame(path: Path, pixels: Pixels) -> None:
    """Write counts as they are, 8 or 16 bits.

    Raises:
        InputError: the name is not that of a PNG or TIFF file, or it cannot be written.
    """
    require_frame_name(path)
    try:
        path.write_bytes(cv2.imencode(path.suffix.lower(), pixels)[1].tobytes())
    except OSError as error:
        raise InputError("FRAME-FILE-WRITE", path=path, reason=error.strerror) from error
