"""The simulated instrument on the stage controllers of a recording."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hal.clock import SystemClock
from hal.config import CameraConfig, HardwareConfig, SimulationConfig, StageConfig
from hal.errors import InputError, SettingsError, StageError
from hal.factory import Hardware, build_hardware
from hal.recorder import UNRECORDED, FileRecorder, Recorder
from hal.recording import ring_files
from hal.sim.world import SimulatedWorld
from hal.stage import Position

SPEED = 50.0
PATIENCE_S = 5.0
"""An order that is given again, because the computer was busy, was not recorded."""
SMALL = HardwareConfig(camera=CameraConfig(width_px=192, height_px=160))


@pytest.fixture(params=["grbl", "apt"])
def config(request: pytest.FixtureRequest) -> HardwareConfig:
    if request.param == "apt":
        pytest.importorskip("thorlabs_apt_protocol", reason="the extra apt is not installed")
    return SMALL.model_copy(update={"stage": StageConfig(driver=request.param)})


@contextmanager
def running(config: HardwareConfig, recorder: Recorder = UNRECORDED) -> Iterator[Hardware]:
    hardware = build_hardware(config, SystemClock(SPEED, PATIENCE_S), recorder=recorder)
    try:
        hardware.open()
        yield hardware
    finally:
        hardware.close()


def session(hardware: Hardware) -> list[Position]:
    stage = hardware.stage
    stage.home()
    return [stage.move_to(60_000.0, 44_000.0, 5000.0), stage.move_to(x_um=61_000.0)]


@pytest.fixture
def recording(config: HardwareConfig, tmp_path: Path) -> tuple[Path, list[Position]]:
    with (
        FileRecorder(tmp_path, minutes=10.0, max_mb=20.0, speed=SPEED) as recorder,
        running(config, recorder) as hardware,
    ):
        places = session(hardware)
    return ring_files(tmp_path)[0], places


def replaying(config: HardwareConfig, path: Path) -> HardwareConfig:
    return config.model_copy(update={"simulation": SimulationConfig(replay_stage=str(path))})


def world_of(hardware: Hardware) -> SimulatedWorld:
    assert hardware.simulation is not None
    return hardware.simulation


def test_the_instrument_lives_through_it_again_and_names_the_line_where_it_does_not(
    config: HardwareConfig, recording: tuple[Path, list[Position]]
) -> None:
    path, places = recording
    with running(replaying(config, path)) as hardware:
        for before, now in zip(places, session(hardware), strict=True):
            assert (now.x_um, now.y_um, now.z_um) == pytest.approx(
                (before.x_um, before.y_um, before.z_um), abs=0.6
            )
        last = places[-1]
        # The camera looks where the controllers say that the slide is.
        assert world_of(hardware).emulator.true_position_um() == pytest.approx(
            (last.x_um, last.y_um, last.z_um), abs=2.0
        )
        with pytest.raises(StageError, match="of the recording") as caught:
            hardware.stage.move_to(x_um=62_000.0)
        assert caught.value.error_code == "REPLAY-DEVIATION"


def test_a_recording_of_the_other_driver_is_refused(
    config: HardwareConfig, recording: tuple[Path, list[Position]]
) -> None:
    other = StageConfig(driver="grbl" if config.stage.driver == "apt" else "apt")
    wrong = replaying(config.model_copy(update={"stage": other}), recording[0])
    with pytest.raises(SettingsError, match=r"stage\.driver"):
        build_hardware(wrong, SystemClock(SPEED, PATIENCE_S))


def test_a_file_that_is_no_recording_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wires.jsonl"
    with pytest.raises(InputError, match=r"wires\.jsonl"):
        build_hardware(replaying(SMALL, path), SystemClock(SPEED, PATIENCE_S))
    path.write_text("nonsense\n", encoding="utf-8")
    with pytest.raises(InputError, match="Line 1"):
        build_hardware(replaying(SMALL, path), SystemClock(SPEED, PATIENCE_S))


def test_a_replayed_camera_needs_the_wire(tmp_path: Path) -> None:
    simulation = SimulationConfig(replay_camera=str(tmp_path / "wires.jsonl"))
    with pytest.raises(SettingsError, match=r"simulation\.replay_camera"):
        build_hardware(
            SMALL.model_copy(update={"simulation": simulation}), SystemClock(SPEED, PATIENCE_S)
        )
