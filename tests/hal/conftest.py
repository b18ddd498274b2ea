"""A stage driver on the emulated controller, run fast, and an open camera."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from genicam_rig import Exchange, OpenCamera
from stage_rig import SPEED, AdjustableClock, StageRig

from hal.camera.genicam.driver import GenicamCamera
from hal.clock import SystemClock
from hal.config import CameraConfig, StageConfig
from hal.sim.gentl.process import CameraProcess
from hal.sim.grbl.emulator import GrblEmulator
from hal.stage.grbl.driver import GrblStage


@pytest.fixture
def closed_rig() -> Iterator[StageRig]:
    clock = AdjustableClock(SPEED)
    config = StageConfig(travel_x_mm=30.0, travel_y_mm=30.0, travel_z_mm=10.0)
    emulator = GrblEmulator(config, clock, start_um=(5000.0, 6000.0, 4000.0))
    config = config.model_copy(update={"port": emulator.port})
    stage = GrblStage(config, clock)
    yield StageRig(stage, emulator, config, clock)
    stage.close()
    emulator.close()


@pytest.fixture
def rig(closed_rig: StageRig) -> StageRig:
    closed_rig.stage.open()
    closed_rig.stage.home()
    return closed_rig


@pytest.fixture
def socket_path() -> Iterator[Path]:
    """Where a light supervisor may listen: the path of a socket must be short."""
    with tempfile.TemporaryDirectory(prefix="leukolux-") as folder:
        yield Path(folder) / "light.sock"


@pytest.fixture
def camera(wire_config: CameraConfig) -> Iterator[GenicamCamera]:
    camera = GenicamCamera(wire_config, SystemClock())
    camera.open()
    yield camera
    camera.close()


@pytest.fixture
def opened(wire_config: CameraConfig) -> Iterator[OpenCamera]:
    """Opens cameras with changed settings and closes them."""
    with ExitStack() as stack:

        def make(**changes: object) -> GenicamCamera:
            camera = GenicamCamera(wire_config.model_copy(update=changes), SystemClock())
            stack.callback(camera.close)
            camera.open()
            return camera

        yield make


@pytest.fixture
def exchanged(camera_process: CameraProcess) -> Iterator[Exchange]:
    """Puts another camera in the place of the usual one."""

    def exchange(**facts: object) -> None:
        camera_process.exchange(**facts)

    yield exchange
    camera_process.exchange()
