"""The GenICam driver over the simulated producer: everything that a wire can do to a frame."""

from __future__ import annotations

import gc
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event, Thread, Timer

import genicam_rig
import numpy as np
import pytest
from genicam_rig import Exchange, OpenCamera, expected_pixels, shoot, shows

from hal.camera.genicam.driver import GenicamCamera
from hal.clock import SystemClock
from hal.config import CameraConfig
from hal.errors import CameraError, Cancelled, FrameError
from hal.sim.gentl.process import CameraProcess

# -- frames that are not what they should be -------------------------------------------------------


def test_every_frame_is_that_of_its_trigger(camera: GenicamCamera) -> None:
    frames = [shoot(camera) for _ in range(10)]
    assert [frame.frame_id for frame in frames] == list(range(10))
    for frame in frames:
        assert shows(frame, exposure=frame.frame_id)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("drop", "did not come"),
        ("incomplete", "parts missing"),
        ("stale", "old frame"),
        ("wrong_size", "80 x 60"),
    ],
)
def test_a_spoilt_frame_is_an_error_and_the_next_one_is_fresh(
    camera: GenicamCamera, camera_process: CameraProcess, fault: str, words: str
) -> None:
    shoot(camera)
    camera_process.inject(**{fault: 1})
    camera.trigger()
    with pytest.raises(FrameError, match=words):
        camera.read(400.0)
    with pytest.raises(FrameError):
        camera.read(150.0)
    assert shows(shoot(camera), exposure=2)
    assert shows(shoot(camera), exposure=3)


@pytest.mark.parametrize("fault", ["drop", "incomplete"])
def test_the_first_frame_may_be_spoilt_as_well(
    camera: GenicamCamera, camera_process: CameraProcess, fault: str
) -> None:
    camera_process.inject(**{fault: 1})
    camera.trigger()
    with pytest.raises(FrameError):
        camera.read(150.0)
    assert shows(shoot(camera), exposure=1)


def test_a_late_frame_in_time_is_returned(
    camera: GenicamCamera, camera_process: CameraProcess
) -> None:
    camera_process.inject(late=1, late_ms=150.0)
    camera.trigger()
    began_s = time.monotonic()
    assert shows(camera.read(2000.0), exposure=0)
    assert time.monotonic() - began_s > 0.1


def test_a_frame_that_comes_too_late_is_never_taken_for_a_later_one(
    camera: GenicamCamera, camera_process: CameraProcess
) -> None:
    shoot(camera)
    camera_process.inject(late=1, late_ms=5000.0)
    camera.trigger()
    with pytest.raises(FrameError):
        camera.read(30.0)
    for exposure in (2, 3):
        assert shows(shoot(camera), exposure=exposure)


def test_frames_nobody_read_are_given_up(camera: GenicamCamera) -> None:
    for _ in range(4):
        camera.trigger()
        camera.wait_exposed()
    assert shows(camera.read(2000.0), exposure=3)


def test_after_a_lost_frame_the_next_trigger_is_not_held_up(
    camera: GenicamCamera, camera_process: CameraProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera_process.inject(drop=1)
    camera.trigger()
    with pytest.raises(FrameError):
        camera.read(50.0)
    # Starting anew takes its time, and the light is on when the camera is triggered.
    link = camera._link
    assert link is not None
    monkeypatch.setattr(link, "start", lambda: pytest.fail("the acquisition was started anew"))
    assert shows(shoot(camera), exposure=1)
    camera.trigger()
    genicam_rig.wait_for_frame(camera)
    assert shows(shoot(camera), exposure=3)


def test_a_frame_that_was_cancelled_does_not_come_back(camera: GenicamCamera) -> None:
    cancel = Event()
    cancel.set()
    camera.trigger()
    with pytest.raises(Cancelled):
        camera.read(2000.0, cancel)
    assert shows(shoot(camera), exposure=1)


def test_a_camera_that_sends_untriggered_frames_is_noticed(camera: GenicamCamera) -> None:
    shoot(camera)
    genicam_rig.let_it_run_free(camera)
    with pytest.raises(CameraError, match=r"without being triggered"):
        genicam_rig.shoot_on(camera)


def test_a_counter_of_sixteen_bits_may_begin_again(opened: OpenCamera, exchanged: Exchange) -> None:
    exchanged(first_id=65_534, id_bits=16)
    camera = opened()
    frames = [shoot(camera) for _ in range(4)]
    assert [frame.frame_id for frame in frames] == [0, 1, 2, 3]


# -- waiting ---------------------------------------------------------------------------------------


def test_reading_ends_at_its_deadline(camera: GenicamCamera, camera_process: CameraProcess) -> None:
    camera_process.inject(drop=1)
    camera.trigger()
    began_s = time.monotonic()
    with pytest.raises(FrameError):
        camera.read(200.0)
    assert time.monotonic() - began_s > 0.19


def test_only_incomplete_frames_do_not_hold_it_for_ever(
    camera: GenicamCamera, camera_process: CameraProcess
) -> None:
    camera_process.inject(incomplete=5)
    for _ in range(5):
        camera.trigger()
        with pytest.raises(FrameError):
            camera.read(2000.0)
    assert shows(shoot(camera), exposure=5)


def test_waiting_for_a_frame_can_be_cancelled(
    camera: GenicamCamera, camera_process: CameraProcess
) -> None:
    camera_process.inject(drop=1)
    cancel = Event()
    timer = Timer(0.1, cancel.set)
    camera.trigger()
    timer.start()
    with pytest.raises(Cancelled):
        camera.read(100_000.0, cancel)
    timer.join()


def test_other_threads_run_while_a_frame_is_waited_for(
    camera: GenicamCamera, camera_process: CameraProcess
) -> None:
    def gap_s(ended: Event) -> float:
        """The usual time between two turns of a thread, which sets ``ended`` after the last."""
        times_s = []
        for _ in range(100):
            ended.wait(0.001)
            times_s.append(time.monotonic())
        ended.set()
        return float(np.median(np.diff(times_s)))

    alone_s = gap_s(Event())
    camera_process.inject(drop=1)
    camera.trigger()
    cancel = Event()
    with ThreadPoolExecutor() as other:
        meanwhile = other.submit(gap_s, cancel)
        with pytest.raises(Cancelled):
            camera.read(100_000.0, cancel)
    # A wait inside the libraries would leave gaps of its length; a busy computer slows both.
    assert meanwhile.result() < 0.005 + 5.0 * alone_s


def test_the_exposure_is_waited_for_without_a_call_to_the_camera(
    opened: OpenCamera, camera_process: CameraProcess
) -> None:
    camera = opened(exposure_ms=80.0, trigger_delay_ms=5.0)
    camera.trigger()
    began_s = time.monotonic()
    # Not one register may be read now: each would be refused.
    camera_process.inject(access_errors=1)
    camera.wait_exposed()
    assert time.monotonic() - began_s >= 0.08
    with pytest.raises(CameraError):
        camera.set_gain(1.0)


# -- cable and ownership ---------------------------------------------------------------------------


def test_an_unplugged_camera_says_so_and_works_again_when_it_is_back(
    camera: GenicamCamera, camera_process: CameraProcess
) -> None:
    shoot(camera)
    camera_process.unplug()
    for use in (camera.trigger, lambda: camera.set_gain(1.0)):
        with pytest.raises(CameraError) as caught:
            use()
        assert caught.value.error_code == "CAMERA-UNPLUGGED"
    camera.close()
    with pytest.raises(CameraError) as caught:
        camera.open()
    assert caught.value.error_code == "CAMERA-NONE"
    camera_process.unplug(unplugged=False)
    camera.open()
    assert shows(shoot(camera), exposure=0)


def test_pulling_the_cable_during_a_wait_is_not_a_lost_frame(
    camera: GenicamCamera, camera_process: CameraProcess
) -> None:
    camera.set_exposure(300_000.0)
    camera.trigger()
    camera_process.unplug()
    with pytest.raises(CameraError) as caught:
        camera.read(100.0)
    assert caught.value.error_code == "CAMERA-UNPLUGGED"
    for _ in range(3):
        camera.close()
        camera_process.unplug(unplugged=False)
        camera.open()
        assert shows(shoot(camera), exposure=0)
        camera_process.unplug()


def test_a_register_that_fails_is_a_camera_error_and_reopening_helps(
    camera: GenicamCamera, camera_process: CameraProcess
) -> None:
    camera_process.inject(access_errors=1)
    with pytest.raises(CameraError) as caught:
        camera.trigger()
    assert not isinstance(caught.value, FrameError)
    camera.close()
    camera.open()
    assert shows(shoot(camera), exposure=0)


def test_a_register_that_fails_while_opening_leaves_nothing_behind(
    wire_config: CameraConfig, camera_process: CameraProcess
) -> None:
    camera = GenicamCamera(wire_config, SystemClock())
    camera_process.inject(access_errors=40)
    with pytest.raises(CameraError):
        camera.open()
    camera_process.inject(access_errors=0)
    camera.open()
    assert shows(shoot(camera), exposure=0)
    camera.close()


def test_another_thread_may_close_it_but_not_use_it(camera: GenicamCamera) -> None:
    failures: list[str] = []

    def use() -> None:
        try:
            camera.trigger()
        except CameraError as error:
            failures.append(error.error_code)
        camera.close()

    thread = Thread(target=use, name="stranger")
    thread.start()
    thread.join()
    assert failures == ["CAMERA-THREAD"]
    camera.open()
    shoot(camera)


def test_a_stranger_is_told_at_once_though_a_frame_is_being_waited_for(
    camera: GenicamCamera, camera_process: CameraProcess
) -> None:
    told_s: list[float] = []

    def use() -> None:
        with pytest.raises(CameraError, match="belongs to the thread"):
            camera.wait_exposed()
        told_s.append(time.monotonic())

    camera_process.inject(drop=1)
    camera.trigger()
    stranger = Timer(0.05, use)
    stranger.start()
    with pytest.raises(FrameError):
        camera.read(1500.0)
    ended_s = time.monotonic()
    stranger.join()
    assert told_s[0] < ended_s


def test_opening_in_the_main_thread_leaves_ctrl_c_alone(opened: OpenCamera) -> None:
    assert threading.current_thread() is threading.main_thread()
    # A shell that starts the tests in the background has them ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        shoot(opened())
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_camera_in_use_by_another_program_is_refused(
    camera: GenicamCamera, camera_process: CameraProcess
) -> None:
    shoot(camera)
    outcome = genicam_rig.open_in_another_process(camera_process)
    assert outcome.startswith("CAMERA")
    shoot(camera)


# -- pixels ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pixel_format", ["Mono8", "Mono10", "Mono12", "Mono10p", "Mono12p", "Mono12Packed"]
)
@pytest.mark.parametrize("x_padding", [0, 7])
def test_pixels_come_out_as_they_were_whatever_the_wire_makes_of_them(
    opened: OpenCamera, exchanged: Exchange, pixel_format: str, x_padding: int
) -> None:
    exchanged(x_padding=x_padding)
    camera = opened(pixel_format=pixel_format)
    frames = [shoot(camera) for _ in range(3)]
    for number, frame in enumerate(frames):
        assert frame.pixels.shape == (64, 80)
        assert shows(frame, exposure=number)


def test_a_frame_stays_what_it_is_when_its_buffer_is_used_again(camera: GenicamCamera) -> None:
    frame = shoot(camera)
    kept = replace(frame, pixels=frame.pixels.copy())
    for _ in range(6):
        shoot(camera)
    assert np.array_equal(frame.pixels, kept.pixels)
    assert frame.pixels.flags.owndata or frame.pixels.base is not None
    assert np.array_equal(kept.pixels, expected_pixels(kept, exposure=0))


@pytest.mark.slow
def test_a_camera_that_was_closed_leaves_no_node_map_behind(wire_config: CameraConfig) -> None:
    from genicam.genapi import ChunkAdapter

    camera = GenicamCamera(wire_config, SystemClock())

    def adapters() -> int:
        gc.collect()
        # isinstance() would ask objects of other libraries, which then warn.
        return sum(issubclass(type(found), ChunkAdapter) for found in gc.get_objects())

    before = adapters()
    opened = []
    for _ in range(3):
        camera.open()
        opened.append(adapters())
        camera.close()
    assert opened == [before + 1] * 3
    assert adapters() == before
