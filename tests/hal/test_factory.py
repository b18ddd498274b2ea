"""The devices built from the settings, and the whole simulated instrument at work."""

from __future__ import annotations

import logging
import sys
import threading
import time

import numpy as np
import pytest

from hal import factory
from hal.clock import SystemClock
from hal.config import AptConfig, CameraConfig, HardwareConfig, LightConfig, StageConfig
from hal.errors import DeviceClosedError, DeviceError, LightError, SettingsError
from hal.factory import Hardware, build_hardware
from hal.guarded_stage import GuardedStage
from hal.panel import Lamp, Press
from hal.sim.gpio import FakeGpio

SMALL = HardwareConfig(camera=CameraConfig(width_px=192, height_px=160))


APT = SMALL.model_copy(update={"stage": StageConfig(driver="apt")})


@pytest.fixture
def hardware() -> Hardware:
    return build_hardware(SMALL, SystemClock(50.0))


def expose(hardware: Hardware) -> np.ndarray:
    with hardware.light.pulse(140.0):
        hardware.camera.trigger()
        hardware.camera.wait_exposed()
    return hardware.camera.read(2000.0).pixels


def test_a_simulated_instrument_sees_light_only_when_there_is_light(hardware: Hardware) -> None:
    assert hardware.simulation is not None
    hardware.open()
    hardware.stage.home()
    hardware.stage.move_to(60_000.0, 44_000.0, 5000.0)
    lit = expose(hardware)
    hardware.camera.trigger()
    dark = hardware.camera.read(2000.0).pixels
    hardware.close()
    assert lit.shape == (160, 192)
    assert lit.mean() > 10.0 * dark.mean()


@pytest.mark.parametrize("driver", ["grbl", "apt"])
def test_where_the_stage_goes_is_what_the_camera_sees(driver: str) -> None:
    if driver == "apt":
        pytest.importorskip("thorlabs_apt_protocol", reason="the extra apt is not installed")
    hardware = build_hardware(APT if driver == "apt" else SMALL, SystemClock(50.0))
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
    hardware.close()

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
    deadline_s = time.monotonic() + 2.0
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


def test_limits_beyond_the_travel_are_refused_and_nothing_stays_behind() -> None:
    config = SMALL.model_copy(update={"stage": StageConfig(limit_right_um=400_000.0)})
    with pytest.raises(SettingsError, match="limits in x"):
        build_hardware(config, SystemClock())
    assert not any(thread.name.endswith("-emulator") for thread in threading.enumerate())


def test_a_driver_that_does_not_exist_yet_says_so() -> None:
    config = HardwareConfig(
        camera=CameraConfig(driver="genicam"),
        stage=StageConfig(port="/dev/ttyUSB0"),
        light=LightConfig(gpio="RPi.GPIO"),
    )
    with pytest.raises(DeviceError, match="genicam"):
        build_hardware(config, SystemClock())


def test_a_real_instrument_gets_the_real_drivers(monkeypatch: pytest.MonkeyPatch) -> None:
    # The camera's driver is the one that is missing; its place is taken to see the others.
    camera = build_hardware(SMALL, SystemClock(50.0))
    monkeypatch.setattr(factory, "_real_camera", lambda config: camera.camera)
    monkeypatch.setitem(sys.modules, "RPi.GPIO", FakeGpio())
    assert camera.simulation is not None
    assert camera.simulation.supervisor is not None
    socket = str(camera.simulation.supervisor.socket)
    config = HardwareConfig(
        camera=CameraConfig(driver="genicam"),
        stage=StageConfig(port="/dev/no-such-port"),
        light=LightConfig(gpio="RPi.GPIO", supervisor_socket=socket),
    )
    hardware = build_hardware(config, SystemClock())
    assert hardware.simulation is None
    assert isinstance(hardware.stage, GuardedStage)
    with pytest.raises(DeviceError, match="no-such-port"):
        hardware.open()
    camera.close()
