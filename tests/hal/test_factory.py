"""The devices built from the settings, and the whole simulated instrument at work."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from hal.camera.genicam.driver import GenicamCamera
from hal.clock import SystemClock
from hal.config import (
    AptConfig,
    CameraConfig,
    HardwareConfig,
    LightConfig,
    SimulationConfig,
    StageConfig,
)
from hal.errors import DeviceClosedError, DeviceError, LightError, SettingsError
from hal.factory import Hardware, build_hardware, camera_alone
from hal.interfaces.panel import Lamp, Press
from hal.sim.gentl.process import CameraProcess
from hal.sim.gpio.module import FakeGpio
from hal.stage.guarded import GuardedStage

SMALL = HardwareConfig(camera=CameraConfig(width_px=192, height_px=160))


WIRED = SMALL.model_copy(update={"simulation": SimulationConfig(wire=True, speed=4.0)})
APT = SMALL.model_copy(update={"stage": StageConfig(driver="apt")})


@pytest.fixture
def hardware() -> Hardware:
    return build_hardware(SMALL, SystemClock(50.0))


@pytest.fixture(params=["plain", "apt", "wire"])
def either(request: pytest.FixtureRequest) -> Iterator[Hardware]:
    """The simulated instrument, with either family of stage, and with a real camera driver."""
    if request.param == "apt":
        pytest.importorskip("thorlabs_apt_protocol", reason="the extra apt is not installed")
    if request.param != "wire":
        hardware = build_hardware(APT if request.param == "apt" else SMALL, SystemClock(50.0))
    else:
        request.getfixturevalue("gentl")
        hardware = build_hardware(WIRED, SystemClock(WIRED.simulation.speed))
    yield hardware
    hardware.close()


def expose(hardware: Hardware) -> np.ndarray:
    with hardware.light.pulse(140.0):
        hardware.camera.trigger()
        hardware.camera.wait_exposed()
    return hardware.camera.read(5000.0).pixels


def test_a_simulated_instrument_sees_light_only_when_there_is_light(either: Hardware) -> None:
    hardware = either
    hardware.open()
    hardware.stage.home()
    hardware.stage.move_to(60_000.0, 44_000.0, 5000.0)
    lit = expose(hardware)
    hardware.camera.trigger()
    dark = hardware.camera.read(5000.0).pixels
    assert lit.shape == (160, 192)
    assert lit.mean() > 10.0 * dark.mean()


def test_where_the_stage_goes_is_what_the_camera_sees(either: Hardware) -> None:
    hardware = either
    assert hardware.simulation is not None
    hardware.open()
    hardware.stage.home()
    hardware.stage.move_to(35_000.0, 44_000.0, 5000.0)
    here = expose(hardware)
    x_um, y_um, z_um = hardware.simulation.emulator.true_position_um()
    expected = hardware.simulation.microscope.render(
        x_um, y_um, z_um, exposure_ms=50.0, frame_seed=0
    )
    hardware.stage.move_to(35_400.0, 44_000.0, 5000.0)
    there = expose(hardware)

    def correlation(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])

    assert correlation(here, expected) > 0.95
    assert correlation(here, expected) > correlation(there, expected) + 0.2


def test_the_lid_of_the_simulation_stops_the_light(hardware: Hardware) -> None:
    assert hardware.simulation is not None
    hardware.open()
    hardware.simulation.set_lid(closed=False)
    assert not hardware.panel.lid_closed
    with pytest.raises(LightError), hardware.light.pulse(10.0):
        pytest.fail("the block was entered")
    hardware.simulation.set_lid(closed=True)
    hardware.light.acknowledge_lid()
    with hardware.light.pulse(100.0):
        pass
    hardware.close()


def test_the_start_button_of_the_simulation_is_seen(hardware: Hardware) -> None:
    assert hardware.simulation is not None
    hardware.open()
    hardware.simulation.hold_start(down=True)
    deadline_s = time.monotonic() + 30.0
    pressed = False
    while not pressed and time.monotonic() < deadline_s:
        pressed = hardware.panel.take_press() is Press.SHORT
    hardware.close()
    assert pressed


def test_a_device_that_fails_to_open_closes_the_others(hardware: Hardware) -> None:
    assert hardware.simulation is not None
    hardware.simulation.camera.unplug()
    with pytest.raises(DeviceError):
        hardware.open()
    with pytest.raises(DeviceClosedError):
        hardware.panel.show(Lamp.READY)


def test_closing_goes_on_when_a_device_fails_and_can_be_repeated(
    hardware: Hardware, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert hardware.simulation is not None
    hardware.open()

    def broken() -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(hardware.stage, "close", broken)
    with caplog.at_level(logging.ERROR):
        hardware.close()
        hardware.close()
    assert "GuardedStage could not be closed" in caplog.text
    assert not any(thread.name.endswith("-emulator") for thread in threading.enumerate())
    assert hardware.simulation.gpio.level(SMALL.light.pin) == 0


@pytest.mark.parametrize(
    "config",
    [
        HardwareConfig(stage=StageConfig(port="/dev/ttyUSB0")),
        HardwareConfig(light=LightConfig(gpio="RPi.GPIO")),
        HardwareConfig(stage=StageConfig(driver="apt"), apt=AptConfig(port_z="/dev/ttyUSB1")),
        HardwareConfig(
            stage=StageConfig(driver="apt", port="/dev/ttyUSB0"),
            camera=CameraConfig(driver="genicam"),
            light=LightConfig(gpio="RPi.GPIO"),
        ),
        HardwareConfig(camera=CameraConfig(driver="genicam")),
    ],
)
def test_simulated_and_real_devices_are_not_mixed(config: HardwareConfig) -> None:
    with pytest.raises(SettingsError, match="mixed"):
        build_hardware(config, SystemClock())


@pytest.mark.slow
@pytest.mark.parametrize("driver", ["grbl", "apt"])
def test_the_place_is_that_of_the_exposure_though_the_stage_has_gone_on(
    gentl: None, driver: str
) -> None:
    if driver == "apt":
        pytest.importorskip("thorlabs_apt_protocol", reason="the extra apt is not installed")
    config = WIRED.model_copy(update={"stage": StageConfig(driver=driver)})
    hardware = build_hardware(config, SystemClock(WIRED.simulation.speed))
    assert hardware.simulation is not None
    hardware.open()
    hardware.stage.home()
    try:
        hardware.stage.move_to(35_000.0, 44_000.0, 5000.0)
        at_rest = expose(hardware)
        with hardware.light.pulse(140.0):
            hardware.camera.trigger()
            hardware.camera.wait_exposed()
        hardware.stage.move_to(36_000.0, 44_000.0, 5000.0)
        moved_on = hardware.camera.read(5000.0).pixels
    finally:
        hardware.close()
    assert np.corrcoef(at_rest.ravel(), moved_on.ravel())[0, 1] > 0.9


def test_limits_beyond_the_travel_are_refused_and_nothing_stays_behind() -> None:
    config = SMALL.model_copy(update={"stage": StageConfig(limit_right_um=400_000.0)})
    with pytest.raises(SettingsError, match="limits in x"):
        build_hardware(config, SystemClock())
    assert not any(thread.name.endswith("-emulator") for thread in threading.enumerate())


def test_a_pulse_that_ends_in_the_exposure_darkens_the_frame(gentl: None) -> None:
    real_time = WIRED.model_copy(update={"simulation": SimulationConfig(wire=True, speed=1.0)})
    hardware = build_hardware(real_time, SystemClock())
    hardware.open()
    try:
        whole = expose(hardware)
        with pytest.raises(LightError, match="deadline"):
            expose_cut(hardware)
        cut = hardware.camera.read(5000.0).pixels
    finally:
        hardware.close()
    assert 0.1 < cut.mean() / whole.mean() < 0.9


def expose_cut(hardware: Hardware) -> None:
    """Let the light's deadline end a pulse half way through the exposure of 50 ms."""
    with hardware.light.pulse(25.0):
        hardware.camera.trigger()
        hardware.camera.wait_exposed()


def test_closing_the_wired_instrument_leaves_no_process_and_no_folder(gentl: None) -> None:
    hardware = build_hardware(WIRED, SystemClock(WIRED.simulation.speed))
    assert hardware.simulation is not None
    process = hardware.simulation.camera
    assert isinstance(process, CameraProcess)
    assert process.producer.exists()
    hardware.close()
    hardware.close()
    assert not process.producer.parent.exists()
    with pytest.raises(DeviceError):
        process.inject(drop=1)


def test_an_image_size_that_the_wired_camera_has_not_is_named() -> None:
    odd = CameraConfig(width_px=190, height_px=160)
    with pytest.raises(DeviceError, match="190 x 160"):
        build_hardware(WIRED.model_copy(update={"camera": odd}), SystemClock())


def test_without_the_genicam_libraries_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "harvesters", None)
    config = CameraConfig(driver="genicam")
    with (
        pytest.raises(DeviceError) as caught,
        camera_alone(HardwareConfig(camera=config), SystemClock()),
    ):
        pytest.fail("there is no driver")
    assert "leukolux[genicam]" in caught.value.remedy


def test_a_real_instrument_gets_the_real_drivers(
    gentl: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "RPi.GPIO", FakeGpio())
    # The light's supervisor is that of a simulated instrument.
    simulated = build_hardware(SMALL, SystemClock(50.0))
    assert simulated.simulation is not None
    assert simulated.simulation.supervisor is not None
    socket = str(simulated.simulation.supervisor.socket)
    config = HardwareConfig(
        camera=CameraConfig(driver="genicam"),
        stage=StageConfig(port="/dev/no-such-port"),
        light=LightConfig(gpio="RPi.GPIO", supervisor_socket=socket),
    )
    hardware = build_hardware(config, SystemClock())
    assert hardware.simulation is None
    assert isinstance(hardware.stage, GuardedStage)
    assert isinstance(hardware.camera, GenicamCamera)
    with pytest.raises(DeviceError, match="no-such-port"):
        hardware.open()
    simulated.close()
