"""Settings of the whole suite, and the simulated GenICam camera that several parts test with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from hal.camera.genicam.binding import load_binding
from hal.config import CameraConfig
from hal.errors import DeviceError
from hal.sim.gentl.build import find_compiler
from hal.sim.gentl.faults import WireFaults
from hal.sim.gentl.process import CameraProcess, ProducerFolder

# A law does not become wrong on a busy machine, and what passed today passes tomorrow; new examples
# are looked for with --hypothesis-profile=explore.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("leukolux", parent=settings.get_profile("explore"), derandomize=True)
settings.load_profile("leukolux")


@pytest.fixture(scope="session")
def gentl() -> None:
    """Skip where simulated GenICam cameras cannot run."""
    try:
        load_binding()
    except DeviceError as error:
        pytest.skip(f"{error.cause} {error.remedy}")
    if find_compiler() is None:
        pytest.skip("The simulated GenTL producer needs a C compiler, and there is none.")


@pytest.fixture(scope="session")
def shared_folder(gentl: None) -> Iterator[ProducerFolder]:
    folder = ProducerFolder()
    yield folder
    folder.close()


@pytest.fixture(scope="session")
def shared_process(shared_folder: ProducerFolder) -> Iterator[CameraProcess]:
    size = ["--width-px", "80", "--height-px", "64"]
    process = CameraProcess(shared_folder, "SIM-1", ["--scene", "pattern", *size])
    yield process
    process.close()


@pytest.fixture
def camera_process(shared_process: CameraProcess) -> Iterator[CameraProcess]:
    """A plugged-in camera of 80 x 64 px without faults, which shows a pattern at once."""
    yield shared_process
    defaults = WireFaults()
    shared_process.inject(**vars(defaults))
    shared_process.unplug(unplugged=False)


@pytest.fixture
def wire_config(camera_process: CameraProcess) -> CameraConfig:
    """Settings for the GenICam driver on that camera."""
    return CameraConfig(
        driver="genicam",
        producer=str(camera_process.producer),
        serial=camera_process.serial,
        width_px=80,
        height_px=64,
        exposure_ms=1.0,
    )
