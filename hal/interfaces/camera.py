"""Interface of the monochrome UV camera: software trigger, one frame per trigger."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from threading import Event
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class PixelFormat(StrEnum):
    """Pixel formats of the GenICam pixel format naming convention that we use.

    It says how pixels travel; a :class:`Frame` has them unpacked, whatever its format.
    """

    MONO8 = "Mono8"
    MONO10 = "Mono10"
    MONO10P = "Mono10p"
    MONO12 = "Mono12"
    MONO12P = "Mono12p"
    MONO12_PACKED = "Mono12Packed"

    @property
    def full_scale(self) -> int:
        """Largest pixel value."""
        match self:
            case PixelFormat.MONO8:
                return 255
            case PixelFormat.MONO10 | PixelFormat.MONO10P:
                return 1023
            case PixelFormat.MONO12 | PixelFormat.MONO12P | PixelFormat.MONO12_PACKED:
                return 4095


@dataclass(frozen=True)
class Frame:
    """One image.

    Attributes:
        pixels: uint8 (Mono8) or uint16 (all others), shape (height, width), an own copy.
        frame_id: counts up by one per trigger of the camera; a gap is a lost frame.
        timestamp_ns: camera clock at the start of the exposure.
        exposure_us: exposure time the camera reports.
        gain_db: analog gain.
        temperature_c: sensor temperature, or None if the camera does not report it.
    """

    pixels: NDArray[np.uint16] | NDArray[np.uint8]
    frame_id: int
    timestamp_ns: int
    exposure_us: float
    gain_db: float
    pixel_format: PixelFormat
    temperature_c: float | None


class Camera(Protocol):
    """Owned by one thread.

    After a :class:`~hal.errors.FrameError` the camera still works and the next trigger gives a
    fresh frame; after any other :class:`~hal.errors.CameraError` it must be closed and reopened.
    """

    @property
    def width_px(self) -> int:
        """Image width."""

    @property
    def height_px(self) -> int:
        """Image height."""

    @property
    def pixel_format(self) -> PixelFormat:
        """Format of the frames."""

    def open(self) -> None:
        """Connect, apply the settings, start acquisition.  Raises CameraError."""

    def set_exposure(self, exposure_us: float) -> None:
        """Set the exposure of the following frames, us.  Raises CameraError if out of range."""

    def set_gain(self, gain_db: float) -> None:
        """Set the analog gain of the following frames, dB.  Raises CameraError."""

    def trigger(self) -> None:
        """Start one exposure now.  Raises CameraError, DeviceClosedError."""

    def wait_exposed(self, cancel: Event | None = None) -> None:
        """Block until the triggered exposure has ended, so that the light may go off."""

    def read(self, timeout_ms: float, cancel: Event | None = None) -> Frame:
        """Return the frame of the last trigger; a stale or incomplete frame is never returned.

        Raises:
            FrameError: the frame was dropped, incomplete, or did not come before ``timeout_ms``.
            CameraError: the camera failed.
            Cancelled: ``cancel`` was set.
            DeviceClosedError: the camera is not open.
        """

    def close(self) -> None:
        """Stop and disconnect.  Never raises; can be called twice."""
