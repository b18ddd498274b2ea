"""Which camera is opened, what it must have, and how the settings reach it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from genicam_rig import Exchange, OpenCamera, shoot, shows

from hal.camera.genicam.driver import GenicamCamera
from hal.clock import SystemClock
from hal.config import CameraConfig
from hal.errors import CameraError
from hal.sim.gentl.process import CameraProcess, ProducerFolder

# -- which camera, and what it can do --------------------------------------------------------------


def test_of_two_cameras_the_serial_number_chooses(wire_config: CameraConfig, gentl: None) -> None:
    folder = ProducerFolder()
    chips = {"SIM-A": ("80", "64"), "SIM-B": ("96", "32")}
    processes = [
        CameraProcess(
            folder, serial, ["--scene", "pattern", "--width-px", width, "--height-px", height]
        )
        for serial, (width, height) in chips.items()
    ]
    config = wire_config.model_copy(
        update={"producer": str(folder.producer), "width_px": 96, "height_px": 32}
    )

    def tell(serial: str) -> GenicamCamera:
        return GenicamCamera(config.model_copy(update={"serial": serial}), SystemClock())

    try:
        assert [found.serial for found in tell("").find()] == ["SIM-A", "SIM-B"]
        with pytest.raises(CameraError, match=r"SIM-A.*SIM-B") as caught:
            tell("").open()
        assert caught.value.error_code == "CAMERA-AMBIGUOUS"
        with pytest.raises(CameraError, match="SIM-C") as caught:
            tell("SIM-C").open()
        assert caught.value.error_code == "CAMERA-NOT-FOUND"
        chosen = tell("SIM-B")
        chosen.open()
        assert shoot(chosen).pixels.shape == (32, 96)
        chosen.close()
    finally:
        for process in processes:
            process.close()
        folder.close()


@pytest.mark.parametrize(
    ("without", "changes"),
    [
        ("ExposureTime", {}),
        ("Gain", {}),
        ("PixelFormat", {}),
        ("TriggerSoftware", {}),
        ("TriggerMode", {}),
        ("Width", {}),
        ("BinningHorizontal", {"binning": 2, "width_px": 40, "height_px": 32}),
        ("OffsetX", {"offset_x_px": 8, "width_px": 64}),
        ("LineSource", {"strobe_line": "Line1"}),
    ],
)
def test_a_feature_that_is_missing_is_named(
    opened: OpenCamera, exchanged: Exchange, without: str, changes: dict[str, object]
) -> None:
    exchanged(without=[without])
    with pytest.raises(CameraError, match=rf"\b{without}\b") as caught:
        opened(**changes)
    assert caught.value.error_code == "CAMERA-FEATURE"


def test_what_only_some_cameras_have_is_not_needed(opened: OpenCamera, exchanged: Exchange) -> None:
    spare = ["DeviceTemperature", "BinningHorizontal", "BinningVertical", "OffsetX", "OffsetY"]
    more = ["ExposureMode", "UserSetLoad", "LineSelector", "TLParamsLocked"]
    exchanged(without=spare + more)
    frame = shoot(opened())
    assert frame.temperature_c is None
    assert shows(frame, exposure=0)


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"width_px": 84}, "CAMERA-RANGE", ["Width", "84", "80"]),
        ({"width_px": 66}, "CAMERA-STEP", ["Width", "66", "4"]),
        ({"height_px": 8192}, "CAMERA-RANGE", ["Height", "8192", "64"]),
        ({"offset_x_px": 4}, "CAMERA-RANGE", ["OffsetX", "4"]),
        ({"gain_db": 24.0 + 1e-3}, "CAMERA-RANGE", ["Gain", "24"]),
        ({"strobe_line": "Line7"}, "CAMERA-CHOICE", ["LineSelector", "Line7", "Line2"]),
        ({"width_px": 65, "pixel_format": "Mono12p"}, "CAMERA-WIDTH", ["65", "Mono12p"]),
        ({"width_px": 66, "pixel_format": "Mono10p"}, "CAMERA-WIDTH", ["66", "Mono10p"]),
    ],
)
def test_a_setting_the_camera_does_not_allow_is_named(
    opened: OpenCamera, changes: dict[str, object], code: str, words: Sequence[str]
) -> None:
    with pytest.raises(CameraError) as caught:
        opened(**changes)
    assert caught.value.error_code == code
    for word in words:
        assert word in caught.value.cause + caught.value.remedy


def test_all_settings_reach_the_camera(opened: OpenCamera) -> None:
    camera = opened(
        width_px=32,
        height_px=16,
        offset_x_px=4,
        offset_y_px=12,
        binning=2,
        pixel_format="Mono10",
        exposure_ms=2.5,
        gain_db=6.0,
        strobe_line="Line2",
    )
    values = {feature.name: feature.value for feature in camera.features()}
    wanted = {
        "Width": "32",
        "Height": "16",
        "OffsetX": "4",
        "OffsetY": "12",
        "BinningHorizontal": "2",
        "BinningVertical": "2",
        "PixelFormat": "Mono10",
        "ExposureTime": "2500",
        "Gain": "6",
        "LineSelector": "Line2",
        "LineMode": "Output",
        "LineSource": "ExposureActive",
        "TriggerMode": "On",
        "TriggerSource": "Software",
    }
    assert {name: values[name] for name in wanted} == wanted
    frame = shoot(camera)
    assert frame.pixels.shape == (16, 32)
    assert (frame.exposure_us, frame.gain_db) == (2500.0, 6.0)


def test_what_another_program_left_in_the_camera_is_undone(opened: OpenCamera) -> None:
    first = opened(width_px=16, height_px=16, offset_x_px=64, offset_y_px=48, binning=1)
    shoot(first)
    first.close()
    assert shoot(opened()).pixels.shape == (64, 80)


def test_the_temperature_is_that_of_the_sensor(camera: GenicamCamera) -> None:
    assert shoot(camera).temperature_c == pytest.approx(24.0, abs=0.5)


def test_features_tell_value_unit_range_and_access(camera: GenicamCamera) -> None:
    features = {feature.name: feature for feature in camera.features()}
    exposure = features["ExposureTime"]
    assert (exposure.value, exposure.unit, exposure.kind) == ("1000", "us", "number")
    assert (exposure.low, exposure.high, exposure.access) == ("20", "1e+06", "read, write")
    assert features["PixelFormat"].choices[:2] == ("Mono8", "Mono10")
    assert features["TriggerSoftware"].kind == "command"
    assert (features["DeviceSerialNumber"].value, features["DeviceSerialNumber"].access) == (
        "SIM-1",
        "read",
    )
    assert (features["Width"].step, features["Width"].high) == ("4", "80")


# -- producers -------------------------------------------------------------------------------------


def test_producers_are_found_where_the_standard_says(
    camera_process: CameraProcess, wire_config: CameraConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENICAM_GENTL64_PATH", f"/none:{camera_process.producer.parent}")
    camera = GenicamCamera(wire_config.model_copy(update={"producer": ""}), SystemClock())
    camera.open()
    assert shows(shoot(camera), exposure=0)
    camera.close()


def test_a_producer_may_be_named_without_its_folder(
    camera_process: CameraProcess, wire_config: CameraConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(camera_process.producer.parent)
    name = camera_process.producer.name
    camera = GenicamCamera(wire_config.model_copy(update={"producer": name}), SystemClock())
    assert [found.serial for found in camera.find()] == [camera_process.serial]


def test_a_broken_producer_does_not_hide_the_others(
    camera_process: CameraProcess,
    wire_config: CameraConfig,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (tmp_path / "broken.cti").write_bytes(b"not a library")
    monkeypatch.setenv("GENICAM_GENTL64_PATH", f"{tmp_path}:{camera_process.producer.parent}")
    camera = GenicamCamera(wire_config.model_copy(update={"producer": ""}), SystemClock())
    assert [found.serial for found in camera.find()] == [camera_process.serial]


def test_without_a_producer_it_says_where_it_looked(
    wire_config: CameraConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    camera = GenicamCamera(wire_config.model_copy(update={"producer": ""}), SystemClock())
    monkeypatch.delenv("GENICAM_GENTL64_PATH", raising=False)
    with pytest.raises(CameraError, match="GENICAM_GENTL64_PATH"):
        camera.open()
    monkeypatch.setenv("GENICAM_GENTL64_PATH", str(tmp_path))
    with pytest.raises(CameraError, match=str(tmp_path)):
        camera.open()


def test_a_file_that_is_no_producer_is_named(wire_config: CameraConfig, tmp_path: Path) -> None:
    path = tmp_path / "broken.cti"
    camera = GenicamCamera(wire_config.model_copy(update={"producer": str(path)}), SystemClock())
    with pytest.raises(CameraError, match=r"no GenTL producer at .*broken\.cti"):
        camera.open()
    path.write_bytes(b"not a library")
    with pytest.raises(CameraError, match=r"broken\.cti does not load"):
        camera.open()
