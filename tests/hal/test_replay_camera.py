"""A recorded camera goes wrong again: at the same exposures, in the same way, under the driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from genicam_rig import shoot

from hal.clock import SystemClock
from hal.config import CameraConfig
from hal.errors import CameraError, FrameError, InputError
from hal.genicam.camera import GenicamCamera
from hal.recorder import FileRecorder
from hal.recording import ring_files
from hal.sim.gentl.process import CameraProcess, ProducerFolder
from hal.sim.gentl.script import CameraScript
from hal.sim.replay_camera import FOR_EVER_S, read_script

PATTERN = ["--scene", "pattern", "--width-px", "80", "--height-px", "64"]
FAULTS = {1: "drop", 3: "incomplete", 4: "wrong_size", 6: "stale", 8: "drop"}


@pytest.fixture
def fresh_process(gentl: None) -> Iterator[CameraProcess]:
    folder = ProducerFolder()
    process = CameraProcess(folder, "SIM-R", PATTERN)
    yield process
    process.close()
    folder.close()


def config_of(process: CameraProcess) -> CameraConfig:
    return CameraConfig(
        driver="genicam",
        producer=str(process.producer),
        serial=process.serial,
        width_px=80,
        height_px=64,
        exposure_ms=1.0,
    )


def outcomes(
    camera: GenicamCamera, count: int, before: Callable[[int], None] = lambda number: None
) -> list[str]:
    """Return what became of each exposure: ``frame``, or the words of its error."""
    said = []
    for number in range(count):
        before(number)
        try:
            frame = shoot(camera, timeout_ms=2000.0)
        except FrameError as error:
            said.append(error.cause)
        else:
            said.append(f"frame {frame.frame_id}")
    return said


def recorded_script(folder: Path) -> CameraScript:
    return read_script(ring_files(folder)[0])


def test_spoilt_frames_are_spoilt_again(
    wire_config: CameraConfig,
    camera_process: CameraProcess,
    fresh_process: CameraProcess,
    tmp_path: Path,
) -> None:
    def spoil(number: int) -> None:
        if number in FAULTS:
            camera_process.inject(**{FAULTS[number]: 1})

    with FileRecorder(tmp_path, minutes=1.0, max_mb=10.0) as recorder:
        camera = GenicamCamera(wire_config, SystemClock(), recorder=recorder)
        camera.open()
        first = outcomes(camera, 10, spoil)
        camera.close()
    assert sum(not words.startswith("frame") for words in first) == len(FAULTS)
    script = recorded_script(tmp_path)
    assert script == CameraScript(faults=FAULTS)
    fresh_process.play(script)
    again = GenicamCamera(config_of(fresh_process), SystemClock())
    again.open()
    try:
        assert outcomes(again, 10) == first
    finally:
        again.close()


def test_a_pulled_cable_is_pulled_at_the_same_exposure_and_put_back(
    wire_config: CameraConfig,
    camera_process: CameraProcess,
    fresh_process: CameraProcess,
    tmp_path: Path,
) -> None:
    with FileRecorder(tmp_path, minutes=1.0, max_mb=10.0) as recorder:
        camera = GenicamCamera(wire_config, SystemClock(), recorder=recorder)
        camera.open()
        shoot(camera)
        camera_process.unplug()
        with pytest.raises(CameraError):
            camera.set_exposure(2000.0)
        camera.close()
        with pytest.raises(CameraError):
            camera.open()
        camera_process.unplug(unplugged=False)
        camera.open()
        shoot(camera)
        camera_process.inject(drop=1)
        with suppress(FrameError):
            shoot(camera, timeout_ms=100.0)
        camera.close()
    script = recorded_script(tmp_path)
    [(at, away_s)] = script.away_s.items()
    assert at == 1
    assert 0.0 < away_s < 60.0
    assert script.faults == {3: "drop"}, "one more exposure than recorded meets the pulled cable"

    fresh_process.play(script)
    again = GenicamCamera(config_of(fresh_process), SystemClock())
    again.open()
    shoot(again)
    with pytest.raises(CameraError) as caught:
        shoot(again)
    assert caught.value.error_code == "CAMERA-UNPLUGGED"
    again.close()
    reopen(again)
    try:
        assert outcomes(again, 2) == ["frame 0", "Frame 1 did not come within 2000 ms."]
    finally:
        again.close()


def reopen(camera: GenicamCamera) -> None:
    """Try until the cable is back."""
    clock = SystemClock()
    deadline_s = clock.monotonic_s() + 60.0
    while True:
        try:
            camera.open()
        except CameraError:
            assert clock.monotonic_s() < deadline_s
            clock.sleep(0.1)
        else:
            return


def test_a_missing_feature_is_missing_again(
    wire_config: CameraConfig,
    camera_process: CameraProcess,
    fresh_process: CameraProcess,
    tmp_path: Path,
) -> None:
    strobed = {"strobe_line": "Line1"}
    camera_process.exchange(without=["LineSource"])
    try:
        with FileRecorder(tmp_path, minutes=1.0, max_mb=10.0) as recorder:
            camera = GenicamCamera(
                wire_config.model_copy(update=strobed), SystemClock(), recorder=recorder
            )
            with pytest.raises(CameraError):
                camera.open()
    finally:
        camera_process.exchange()
    fresh_process.play(recorded_script(tmp_path))
    again = GenicamCamera(config_of(fresh_process).model_copy(update=strobed), SystemClock())
    with pytest.raises(CameraError, match="no feature LineSource"):
        again.open()


def opening(camera: GenicamCamera) -> str:
    """Return what came of opening it, and close it again."""
    try:
        camera.open()
        shoot(camera)
    except CameraError as error:
        return str(error)
    finally:
        camera.close()
    return "opened"


def test_a_value_that_was_refused_is_refused_again_at_the_same_opening(
    wire_config: CameraConfig,
    camera_process: CameraProcess,
    fresh_process: CameraProcess,
    tmp_path: Path,
) -> None:
    refused = ("ExposureTime", 1000.0)
    camera_process.play(CameraScript(refused=(refused, None, refused)))
    try:
        with FileRecorder(tmp_path, minutes=1.0, max_mb=10.0) as recorder:
            camera = GenicamCamera(wire_config, SystemClock(), recorder=recorder)
            said = [opening(camera) for _ in range(3)]
    finally:
        camera_process.play(CameraScript(refused=(None,)))
    assert said[0].startswith("CAMERA: Setting ExposureTime to 1000: the camera refused")
    assert said == [said[0], "opened", said[0]]

    script = recorded_script(tmp_path)
    assert script == CameraScript(refused=(refused, None, refused))
    fresh_process.play(script)
    again = GenicamCamera(config_of(fresh_process), SystemClock())
    assert [opening(again) for _ in range(4)] == [*said, said[0]]


@pytest.mark.parametrize(
    ("allowed", "setting"),
    [
        ({"PixelFormat": {"entries": ["Mono8", "Mono10"]}}, {}),
        ({"ExposureTime": {"low": 5000.0, "high": 90_000.0}}, {}),
        ({"Gain": {"writable": False}}, {"gain_db": 3.0}),
        ({"OffsetX": {"step": 16}}, {"offset_x_px": 8, "width_px": 64}),
    ],
)
def test_what_a_camera_did_not_allow_it_does_not_allow_again(
    wire_config: CameraConfig,
    camera_process: CameraProcess,
    fresh_process: CameraProcess,
    tmp_path: Path,
    allowed: dict[str, dict[str, object]],
    setting: dict[str, object],
) -> None:
    camera_process.exchange(allowed=allowed)
    try:
        with FileRecorder(tmp_path, minutes=1.0, max_mb=10.0) as recorder:
            config = wire_config.model_copy(update=setting)
            said = opening(GenicamCamera(config, SystemClock(), recorder=recorder))
    finally:
        camera_process.exchange()
    assert said.startswith(f"CAMERA-FEATURE: {next(iter(allowed))} ")
    script = recorded_script(tmp_path)
    assert script == CameraScript(allowed=allowed)
    fresh_process.play(script)
    config = config_of(fresh_process).model_copy(update=setting)
    assert opening(GenicamCamera(config, SystemClock())) == said


@pytest.mark.parametrize(
    "what", [5, {"Gain": 5}, {"Gain": {}}, {"Gain": {"explode": 1}}, {"X": {}}]
)
def test_what_says_nothing_of_a_feature_is_passed_over(tmp_path: Path, what: object) -> None:
    with FileRecorder(tmp_path, minutes=1.0, max_mb=10.0) as recorder:
        recorder.note("camera", "allowed", what)
        recorder.note("camera", "set", what)
        recorder.note("camera", "error", CameraError("It refused.", remedy="").as_dict())
    assert recorded_script(tmp_path) == CameraScript()


def test_who_never_came_stays_away(tmp_path: Path) -> None:
    with FileRecorder(tmp_path, minutes=1.0, max_mb=10.0) as recorder:
        error = CameraError("There is no camera.", remedy="", code="CAMERA-NOT-FOUND")
        recorder.note("camera", "error", error.as_dict())
    assert recorded_script(tmp_path) == CameraScript(absent_s=FOR_EVER_S)


def test_a_script_survives_its_way_to_the_process() -> None:
    script = CameraScript(
        {3: "drop"},
        {7: 1.5},
        2.0,
        frozenset({"Gain"}),
        {"PixelFormat": {"entries": ["Mono8"]}},
        (None, ("Gain", 3.0), ("PixelFormat", "Mono8")),
    )
    assert CameraScript.of(script.as_dict()) == script


def test_a_script_of_no_fault_is_refused(fresh_process: CameraProcess) -> None:
    with pytest.raises(ValueError, match="no camera fault is called explode"):
        fresh_process.play(CameraScript({1: "explode"}))


def test_a_recording_without_a_camera_is_refused(tmp_path: Path) -> None:
    with FileRecorder(tmp_path, minutes=1.0, max_mb=10.0) as recorder:
        recorder.note("light", "lease", "connected")
    with pytest.raises(InputError, match="no GenICam camera"):
        recorded_script(tmp_path)
