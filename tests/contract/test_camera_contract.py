"""What every camera driver promises."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event

import numpy as np
import pytest
from numpy.typing import NDArray

from hal.camera.genicam.driver import GenicamCamera
from hal.clock import SystemClock
from hal.config import CameraConfig
from hal.errors import CameraError, Cancelled, DeviceClosedError, FrameError
from hal.interfaces.camera import Camera
from hal.sim.optics.camera import SimCamera

TIMEOUT_MS = 2000.0


class CameraContract:
    """Subclasses give a closed ``camera`` for each pixel format."""

    @pytest.fixture(params=["Mono8", "Mono12"])
    def camera(self, request: pytest.FixtureRequest) -> Iterator[Camera]:
        raise NotImplementedError

    @pytest.fixture
    def opened(self, camera: Camera) -> Camera:
        camera.open()
        return camera

    def test_closed_after_construction(self, camera: Camera) -> None:
        for call in (
            camera.trigger,
            camera.wait_exposed,
            lambda: camera.read(TIMEOUT_MS),
            lambda: camera.set_exposure(1000.0),
            lambda: camera.set_gain(0.0),
        ):
            with pytest.raises(DeviceClosedError):
                call()

    def test_a_frame_has_the_format_that_was_promised(self, opened: Camera) -> None:
        opened.trigger()
        frame = opened.read(TIMEOUT_MS)
        assert frame.pixels.shape == (opened.height_px, opened.width_px)
        assert frame.pixels.dtype == (
            np.uint8 if opened.pixel_format.full_scale == 255 else np.uint16
        )
        assert frame.pixels.max() <= opened.pixel_format.full_scale
        assert frame.pixel_format is opened.pixel_format

    def test_one_trigger_one_frame_numbered_without_gaps(self, opened: Camera) -> None:
        frames = []
        for _ in range(3):
            opened.trigger()
            opened.wait_exposed()
            frames.append(opened.read(TIMEOUT_MS))
        ids = [frame.frame_id for frame in frames]
        assert ids == [ids[0], ids[0] + 1, ids[0] + 2]
        assert frames[0].timestamp_ns < frames[1].timestamp_ns < frames[2].timestamp_ns

    def test_a_frame_is_an_own_copy(self, opened: Camera) -> None:
        opened.trigger()
        first = opened.read(TIMEOUT_MS)
        kept = first.pixels.copy()
        opened.trigger()
        opened.read(TIMEOUT_MS)
        assert np.array_equal(first.pixels, kept)

    def test_reading_without_a_trigger_is_an_error(self, opened: Camera) -> None:
        with pytest.raises(CameraError):
            opened.read(TIMEOUT_MS)
        opened.trigger()
        opened.read(TIMEOUT_MS)
        with pytest.raises(CameraError):
            opened.read(TIMEOUT_MS)

    def test_exposure_and_gain_of_the_frame_are_those_that_were_set(self, opened: Camera) -> None:
        opened.set_exposure(12_000.0)
        opened.set_gain(3.0)
        opened.trigger()
        frame = opened.read(TIMEOUT_MS)
        assert frame.exposure_us == pytest.approx(12_000.0, rel=0.01)
        assert frame.gain_db == pytest.approx(3.0, abs=0.1)

    @pytest.mark.parametrize("exposure_us", [-1.0, 0.0, 1e12, float("nan")])
    def test_an_impossible_exposure_is_refused(self, opened: Camera, exposure_us: float) -> None:
        with pytest.raises(CameraError):
            opened.set_exposure(exposure_us)
        opened.trigger()
        opened.read(TIMEOUT_MS)

    @pytest.mark.parametrize("gain_db", [-1.0, 1e6, float("nan")])
    def test_an_impossible_gain_is_refused(self, opened: Camera, gain_db: float) -> None:
        with pytest.raises(CameraError):
            opened.set_gain(gain_db)

    def test_waiting_for_the_exposure_can_be_cancelled(self, opened: Camera) -> None:
        cancel = Event()
        cancel.set()
        opened.set_exposure(500_000.0)
        opened.trigger()
        with pytest.raises(Cancelled):
            opened.wait_exposed(cancel)
        with pytest.raises(Cancelled):
            opened.read(TIMEOUT_MS, cancel)

    def test_a_new_trigger_replaces_a_frame_nobody_read(self, opened: Camera) -> None:
        opened.trigger()
        opened.wait_exposed()
        opened.trigger()
        second = opened.read(TIMEOUT_MS)
        opened.trigger()
        assert opened.read(TIMEOUT_MS).frame_id == second.frame_id + 1

    def test_close_twice_then_everything_raises(self, opened: Camera) -> None:
        opened.trigger()
        opened.close()
        opened.close()
        with pytest.raises(DeviceClosedError):
            opened.read(TIMEOUT_MS)

    def test_it_works_again_after_reopening(self, opened: Camera) -> None:
        opened.close()
        opened.open()
        with pytest.raises(FrameError):
            opened.read(TIMEOUT_MS)
        opened.trigger()
        opened.read(TIMEOUT_MS)


class Gradient:
    """A scene of its own for each frame."""

    def render(
        self,
        x_um: float,
        y_um: float,
        z_um: float,
        *,
        full_scale: int = 4095,
        frame_seed: int = 0,
        **_: float,
    ) -> NDArray[np.uint16]:
        ramp = np.linspace(0, full_scale, 64 * 80) + frame_seed
        return np.clip(ramp, 0, full_scale).reshape(64, 80).astype(np.uint16)


class TestSimCamera(CameraContract):
    @pytest.fixture(params=["Mono8", "Mono10", "Mono12"])
    def camera(self, request: pytest.FixtureRequest) -> Iterator[Camera]:
        config = CameraConfig(width_px=80, height_px=64, pixel_format=request.param)
        camera = SimCamera(
            config,
            Gradient(),
            place_um=lambda: (0.0, 0.0, 0.0),
            lit_fraction=lambda start_s, end_s: 1.0,
            clock=SystemClock(50.0),
        )
        yield camera
        camera.close()


class TestGenicamCamera(CameraContract):
    @pytest.fixture(params=["Mono8", "Mono10", "Mono12", "Mono12p"])
    def camera(self, request: pytest.FixtureRequest, wire_config: CameraConfig) -> Iterator[Camera]:
        config = wire_config.model_copy(update={"pixel_format": request.param})
        camera = GenicamCamera(config, SystemClock())
        yield camera
        camera.close()
