"""The simulated camera: what it asks of the world, and its faults."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hal.clock import ManualClock, SystemClock
from hal.config import CameraConfig, LightConfig
from hal.errors import CameraError, FrameError, LightError
from hal.light.gpio_light import GpioLight
from hal.light.uv_line import OwnLine
from hal.sim.gpio.module import FakeGpio
from hal.sim.optics.camera import READOUT_MS, SimCamera

CONFIG = CameraConfig(width_px=64, height_px=64, exposure_ms=40.0)


class Recorder:
    """Renders gray and remembers how it was asked."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def render(self, x_um: float, y_um: float, z_um: float, **how: Any) -> NDArray[np.uint16]:
        self.calls.append({"place_um": (x_um, y_um, z_um), **how})
        return np.full((64, 64), 1000, np.uint16)


def make_camera(
    clock: ManualClock | SystemClock | None = None, **parts: Any
) -> tuple[SimCamera, Recorder]:
    scene = Recorder()
    camera = SimCamera(
        parts.get("config", CONFIG),
        scene,
        parts.get("place_um", lambda: (1.0, 2.0, 3.0)),
        parts.get("lit_fraction", lambda start_s, end_s: 1.0),
        clock or ManualClock(),
    )
    camera.open()
    return camera, scene


def test_the_place_is_taken_when_triggered_not_when_read() -> None:
    places = iter([(10.0, 20.0, 30.0), (11.0, 20.0, 30.0)])
    camera, scene = make_camera(place_um=lambda: next(places))
    camera.trigger()
    camera.read(1000.0)
    assert scene.calls[0]["place_um"] == (10.0, 20.0, 30.0)


def test_exposure_and_readout_take_their_time_on_the_injected_clock() -> None:
    clock = ManualClock()
    camera, _ = make_camera(clock)
    camera.trigger()
    camera.wait_exposed()
    assert clock.monotonic_s() == pytest.approx(0.040)
    camera.read(1000.0)
    assert clock.monotonic_s() == pytest.approx(0.040 + READOUT_MS / 1000.0)


@pytest.mark.parametrize("speed", [1.0, 20.0])
def test_the_lit_share_does_not_depend_on_the_speed_of_the_clock(speed: float) -> None:
    gpio = FakeGpio()
    light = GpioLight(OwnLine(gpio, LightConfig().pin), LightConfig(), interlock=lambda: True)
    light.open()

    def lit_fraction(start_s: float, end_s: float) -> float:
        return gpio.high_fraction(LightConfig().pin, start_s, end_s)

    camera, scene = make_camera(SystemClock(speed), lit_fraction=lit_fraction)
    with light.pulse(140.0):
        camera.trigger()
        camera.wait_exposed()
    camera.read(1000.0)
    camera.trigger()
    camera.read(1000.0)
    light.close()
    assert scene.calls[0]["lit_fraction"] == pytest.approx(1.0, abs=0.01)
    assert scene.calls[1]["lit_fraction"] == 0.0


def test_a_pulse_cut_in_the_exposure_darkens_the_frame() -> None:
    gpio = FakeGpio()
    light = GpioLight(OwnLine(gpio, LightConfig().pin), LightConfig(), interlock=lambda: True)
    light.open()
    camera, scene = make_camera(
        SystemClock(0.5),
        lit_fraction=lambda start_s, end_s: gpio.high_fraction(LightConfig().pin, start_s, end_s),
    )

    def expose() -> None:
        with light.pulse(20.0):
            camera.trigger()
            camera.wait_exposed()

    with pytest.raises(LightError, match="deadline"):
        expose()
    camera.read(1000.0)
    light.close()
    assert 0.1 < scene.calls[0]["lit_fraction"] < 0.9


def test_every_frame_has_its_own_noise_seed_and_the_time_of_its_trigger() -> None:
    clock = ManualClock(100.0)
    camera, scene = make_camera(clock)
    for _ in range(2):
        camera.trigger()
        camera.read(1000.0)
        clock.advance(10.0)
    assert scene.calls[0]["frame_seed"] != scene.calls[1]["frame_seed"]
    assert scene.calls[0]["time_s"] == 0.0
    assert scene.calls[1]["time_s"] == pytest.approx(10.0 + 0.04 + READOUT_MS / 1000.0)


def test_the_sensor_warms_up_and_levels_off() -> None:
    clock = ManualClock()
    camera, _ = make_camera(clock)
    temperatures = []
    for _ in range(4):
        temperatures.append(camera.temperature_c)
        clock.advance(1500.0)
    rises = np.diff(temperatures)
    assert (rises > 0.0).all()
    assert rises[-1] < 0.1 * rises[0]


@pytest.mark.parametrize("fault", ["drop", "incomplete", "stale", "late"])
def test_a_lost_frame_is_an_error_and_the_next_one_is_fresh(fault: str) -> None:
    camera, scene = make_camera()
    camera.inject(**{fault: 1})
    camera.trigger()
    camera.wait_exposed()
    with pytest.raises(FrameError):
        camera.read(500.0)
    assert scene.calls == []
    camera.trigger()
    assert camera.read(500.0).frame_id == 1


def test_a_frame_that_is_late_but_in_time_is_returned() -> None:
    clock = ManualClock()
    camera, _ = make_camera(clock)
    camera.inject(late=1, late_ms=300.0)
    camera.trigger()
    camera.read(500.0)
    assert clock.monotonic_s() == pytest.approx(0.040 + READOUT_MS / 1000.0 + 0.3)


def test_a_dropped_frame_is_waited_for_until_its_time_is_over() -> None:
    clock = ManualClock()
    camera, _ = make_camera(clock)
    camera.inject(drop=1)
    camera.trigger()
    camera.wait_exposed()
    before_s = clock.monotonic_s()
    with pytest.raises(FrameError):
        camera.read(700.0)
    assert clock.monotonic_s() - before_s == pytest.approx(0.7)


def test_an_unknown_fault_is_refused() -> None:
    camera, _ = make_camera()
    with pytest.raises(ValueError, match="explode"):
        camera.inject(explode=1)


def test_an_unplugged_camera_fails_until_it_is_back_and_reopened() -> None:
    camera, _ = make_camera()
    camera.unplug()
    with pytest.raises(CameraError) as caught:
        camera.trigger()
    assert not isinstance(caught.value, FrameError)
    camera.close()
    with pytest.raises(CameraError):
        camera.open()
    camera.unplug(unplugged=False)
    camera.open()
    camera.trigger()
    camera.read(500.0)
