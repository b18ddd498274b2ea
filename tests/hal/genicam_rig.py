"""What the tests of the GenICam camera share."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import hal
from hal.camera.genicam.driver import GenicamCamera
from hal.clock import SystemClock
from hal.errors import FrameError
from hal.interfaces.camera import Frame
from hal.sim.gentl.process import CameraProcess
from hal.sim.gentl.scenes import Pattern

OpenCamera = Callable[..., GenicamCamera]
Exchange = Callable[..., None]

_OPEN_ELSEWHERE = """
import sys
from hal.clock import SystemClock
from hal.config import CameraConfig
from hal.errors import CameraError
from hal.errors import FrameError
from hal.camera.genicam.driver import GenicamCamera
config = CameraConfig(producer=sys.argv[1], width_px=80, height_px=64)
try:
    GenicamCamera(config, SystemClock()).open()
except CameraError as error:
    print(error.error_code)
else:
    print("opened")
"""


def shoot(camera: GenicamCamera, timeout_ms: float = 5000.0) -> Frame:
    """Return a frame taken now."""
    camera.trigger()
    camera.wait_exposed()
    return camera.read(timeout_ms)


def expected_pixels(frame: Frame, exposure: int) -> NDArray[np.uint16]:
    """Return the pattern of the camera's exposure number ``exposure``."""
    height, width = frame.pixels.shape
    full_scale = frame.pixel_format.full_scale
    return Pattern(width, height).render(
        0.0, 0.0, 0.0, exposure_ms=1.0, full_scale=full_scale, frame_seed=exposure
    )


def shows(frame: Frame, exposure: int) -> bool:
    """Return whether the frame is that of the camera's exposure number ``exposure``."""
    return np.array_equal(frame.pixels, expected_pixels(frame, exposure))


def let_it_run_free(camera: GenicamCamera) -> None:
    """Switch the trigger off behind the driver's back, as another program could."""
    link = camera._link
    assert link is not None
    link.nodes.put("ExposureTime", 20.0)
    link.nodes.choose("TriggerMode", "Off")
    wait_for_frame(camera, count=3)


def wait_for_frame(camera: GenicamCamera, count: int = 1) -> None:
    """Wait until as many frames lie in the buffers, unread."""
    link = camera._link
    assert link is not None
    stream = link._acquirer.data_streams[0]
    deadline_s = time.monotonic() + 10.0
    while stream.num_awaiting_delivery < count and time.monotonic() < deadline_s:
        SystemClock().sleep(0.005)


def shoot_on(camera: GenicamCamera, times: int = 20) -> None:
    """Take frames and mind no lost one."""
    for _ in range(times):
        with contextlib.suppress(FrameError):
            shoot(camera, timeout_ms=100.0)


def open_in_another_process(process: CameraProcess) -> str:
    """Return the error code of opening the camera elsewhere, or ``opened``."""
    done = subprocess.run(
        [sys.executable, "-c", _OPEN_ELSEWHERE, str(process.producer)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(hal.__file__).parent.parent,
    )
    return done.stdout.strip()
