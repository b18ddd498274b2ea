"""The camera's control is recorded: what is read, set, ordered and delivered, but no picture."""

from __future__ import annotations

from pathlib import Path

import pytest

from hal.camera.genicam.driver import GenicamCamera
from hal.clock import SystemClock
from hal.config import CameraConfig
from hal.errors import CameraError, FrameError
from hal.recorder.recorder import FileRecorder
from hal.recorder.recording import Entry, read_recording, ring_files
from hal.sim.gentl.process import CameraProcess


def recorded(folder: Path) -> list[Entry]:
    return read_recording(ring_files(folder)[0]).of("camera")


def test_a_frame_leaves_its_numbers_and_no_pixels(
    wire_config: CameraConfig, tmp_path: Path
) -> None:
    with FileRecorder(tmp_path, minutes=1.0, max_mb=10.0) as recorder:
        camera = GenicamCamera(wire_config, SystemClock(), recorder=recorder)
        camera.open()
        camera.set_exposure(2000.0)
        camera.trigger()
        frame = camera.read(2000.0)
        camera.close()
    entries = recorded(tmp_path)
    kinds = [entry.kind for entry in entries]
    assert kinds[0] == "open"
    assert kinds[-1] == "close"
    commands = [e.what for e in entries if e.kind == "command"]
    assert commands == ["UserSetLoad", "TriggerSoftware"]
    assert {"ExposureTime": 2000.0} in [e.what for e in entries if e.kind == "set"]
    assert {"ExposureTime": 2000.0} in [e.what for e in entries if e.kind == "get"]
    [delivered] = [e.what for e in entries if e.kind == "frame"]
    assert delivered["timestamp_ns"] == frame.timestamp_ns
    assert (delivered["width_px"], delivered["height_px"]) == (80, 64)
    assert delivered["bytes"] >= 80 * 64
    assert max(len(str(e.what)) for e in entries) < 300


def test_a_lost_frame_and_an_unplugged_camera_are_there_with_their_codes(
    wire_config: CameraConfig, camera_process: CameraProcess, tmp_path: Path
) -> None:
    with FileRecorder(tmp_path, minutes=1.0, max_mb=10.0) as recorder:
        camera = GenicamCamera(wire_config, SystemClock(), recorder=recorder)
        camera.open()
        try:
            camera_process.inject(drop=1)
            camera.trigger()
            with pytest.raises(FrameError):
                camera.read(60.0)
            camera_process.unplug()
            with pytest.raises(CameraError):
                camera.trigger()
        finally:
            camera.close()
    errors = [e.what["code"] for e in recorded(tmp_path) if e.kind == "error"]
    assert errors[0] == "CAMERA-FRAME-LATE"
    assert errors[-1] == "CAMERA-UNPLUGGED"
