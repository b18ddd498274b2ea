"""The camera on the bench: single frames, its speed, its noise."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from device.calibration.steps.photon_transfer import (
    PhotonTransfer,
    Pixels,
    dark_level,
    measure_point,
    photon_transfer,
)
from hal.errors import FrameError, InputError, InterlockError, LightError
from hal.interfaces.camera import Camera, Frame

SUFFIXES = (".png", ".tif", ".tiff")
SHORTEST_MS = 0.05
PULSE_SHARE = 0.8
"""Share of the longest pulse that an exposure may take, so that its pulse is never cut."""

_BRIGHT_LEVEL = 0.9
_PROBE_LEVELS = (0.1, 0.8)
_TRIES = 3


@dataclass(frozen=True)
class Bench:
    """An open camera with its lamp.

    Attributes:
        camera: open.
        lamp: light for the block, or nothing.
        frame_timeout_ms: longest wait for a frame.
        longest_pulse_ms: of the lamp; None where it is not ours to switch.
    """

    camera: Camera
    lamp: Callable[[], AbstractContextManager[None]]
    frame_timeout_ms: float
    longest_pulse_ms: float | None

    def set_exposure(self, exposure_ms: float) -> None:
        """Set the exposure of the following frames.

        Raises:
            InputError: the lamp's longest pulse is shorter.
            CameraError: the camera does not allow it.
        """
        if self.longest_pulse_ms is not None and exposure_ms > self.longest_pulse_ms:
            raise InputError(
                f"An exposure of {exposure_ms:g} ms is longer than the longest pulse of the UV "
                f"light, light.max_pulse_ms = {self.longest_pulse_ms:g}.",
                remedy="Choose a shorter exposure, or one without light.",
            )
        self.camera.set_exposure(exposure_ms * 1000.0)

    def take(self, *, lit: bool = True) -> Frame:
        """Return one frame, lit by the lamp or not; a lost or badly lit one is taken again, twice.

        Raises: as :meth:`Camera.read` and :meth:`Light.pulse`.
        """
        for left in reversed(range(_TRIES)):
            try:
                return self._take(lit=lit)
            except InterlockError:
                raise
            except (FrameError, LightError):
                if left == 0:
                    raise
        raise AssertionError("the last try returns or raises")

    def _take(self, *, lit: bool) -> Frame:
        if lit:
            with self.lamp():
                self.camera.trigger()
                self.camera.wait_exposed()
        else:
            self.camera.trigger()
            self.camera.wait_exposed()
        return self.camera.read(self.frame_timeout_ms)

    def pair(self, *, lit: bool = True) -> tuple[Pixels, Pixels]:
        """Return the pixels of two frames taken alike."""
        return self.take(lit=lit).pixels, self.take(lit=lit).pixels


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


def measure_rate(bench: Bench, frames: int) -> FrameRate:
    """Trigger and read ``frames`` times without light.

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
            bench.camera.trigger()
            frame = bench.camera.read(bench.frame_timeout_ms)
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
    bench: Bench,
    exposures: int,
    longest_ms: float | None,
    *,
    cover: Callable[[], object],
    uncover: Callable[[], object],
) -> PhotonTransfer:
    """Take pairs of frames from dark to nearly saturated.

    Args:
        bench: camera and lamp.
        exposures: how many, evenly spaced up to the longest.
        longest_ms: None finds the one that is nearly saturated.
        cover: called before the dark frames where the lamp is not ours.
        uncover: called after them.

    Raises:
        InputError: there is no exposure that suits.
        CameraError, LightError: as the devices raise.
    """
    if bench.longest_pulse_ms is None:
        cover()
    bench.camera.set_exposure(SHORTEST_MS * 1000.0)
    dark = bench.pair(lit=False)
    if bench.longest_pulse_ms is None:
        uncover()
    level = dark_level(dark)
    limit_ms = 1000.0 if bench.longest_pulse_ms is None else PULSE_SHARE * bench.longest_pulse_ms
    longest_ms = min(longest_ms or _bright_exposure_ms(bench, level, limit_ms), limit_ms)
    points = []
    for exposure_ms in np.linspace(longest_ms / exposures, longest_ms, exposures):
        bench.camera.set_exposure(float(exposure_ms) * 1000.0)
        first = bench.take()
        second = bench.take()
        taken_ms = first.exposure_us / 1000.0
        full_scale = first.pixel_format.full_scale
        points.append(measure_point(first.pixels, second.pixels, taken_ms, level, full_scale))
    return photon_transfer(dark, points, full_scale)


def _bright_exposure_ms(bench: Bench, level: float, limit_ms: float) -> float:
    """Return the exposure whose brightest pixels are just below full scale."""
    exposure_ms = min(10.0, limit_ms)
    for _ in range(2 * _TRIES):
        bench.camera.set_exposure(exposure_ms * 1000.0)
        frame = bench.take()
        bright = float(np.percentile(frame.pixels, 99.9)) - level
        room = frame.pixel_format.full_scale - level
        low, high = (share * room for share in _PROBE_LEVELS)
        if low <= bright <= high or (bright < low and exposure_ms == limit_ms):
            break
        exposure_ms = min(exposure_ms * (4.0 if bright < low else 0.25), limit_ms)
    return float(exposure_ms * _BRIGHT_LEVEL * room / max(bright, 1.0))


def write_frame(path: Path, pixels: Pixels) -> None:
    """Write counts as they are, 8 or 16 bits.

    Raises:
        InputError: the name is not that of a PNG or TIFF file, or it cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(
            f"{path} is not the name of a PNG or TIFF file.", remedy="End it in .png or .tif."
        )
    try:
        path.write_bytes(cv2.imencode(suffix, pixels)[1].tobytes())
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror}.",
            remedy="Name a place that can be written.",
        ) from error
