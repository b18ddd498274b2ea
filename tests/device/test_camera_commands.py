"""``leukolux camera`` on the simulated camera, whose true noise is known."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import settings as law
from hypothesis import strategies as st

from device.assembly import DATABASE_NAME
from device.calibration.steps.photon_transfer import measure_point, photon_transfer
from device.imaging.rig import sample_of_the_day
from device.records.records import Records
from hal.errors import InputError
from hal.sim.optics.camera import SimCamera
from hal.sim.optics.sensor import Sensor
from webui.cli.main import cli

SETTINGS = "[camera]\nwidth_px = 256\nheight_px = 192\n"


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "leukolux.toml"
    path.write_text(SETTINGS, encoding="utf-8")
    return path


def run(settings: Path, *words: str, sim: bool = True) -> Result:
    first = ["camera", "--settings", str(settings), *(["--sim"] if sim else [])]
    return CliRunner().invoke(cli, [*first, *words], catch_exceptions=False)


@pytest.mark.slow
def test_list_shows_the_camera(gentl: None, settings: Path) -> None:
    result = run(settings, "list")
    assert result.exit_code == 0
    assert "SIM-1" in result.output
    assert "free" in result.output
    (found,) = json.loads(run(settings, "list", "--json", "-").output)
    assert (found["serial"], found["vendor"]) == ("SIM-1", "Leukolux")


@pytest.mark.slow
def test_features_show_all_or_one(gentl: None, settings: Path) -> None:
    every = run(settings, "features").output
    assert "[AcquisitionControl]" in every
    assert "Width" in every
    one = json.loads(run(settings, "features", "Gain", "--json", "-").output)
    assert [(f["name"], f["unit"], f["high"]) for f in one] == [("Gain", "dB", "24")]
    none = run(settings, "features", "Flavour")
    assert none.exit_code == 2
    assert "Flavour" in none.output


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_grab_writes_the_counts_and_leaves_the_light_off(
    gentl: None, settings: Path, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"frame.{suffix}"
    result = run(settings, "grab", str(path), "--exposure-ms", "2")
    assert result.exit_code == 0
    assert "UV light off" in result.output
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    assert (pixels.shape, pixels.dtype) == ((192, 256), np.uint16)
    assert pixels.mean() == pytest.approx(Sensor().black_level * 4095, abs=2.0)


@pytest.mark.slow
def test_grab_with_light_is_brighter(gentl: None, settings: Path, tmp_path: Path) -> None:
    path = tmp_path / "frame.png"
    result = run(settings, "grab", str(path), "--light")
    assert "UV light on" in result.output
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    assert pixels.mean() > 500.0


def kept_light(settings: Path) -> tuple[int, float]:
    """Return exposures and dose, J/cm2, that the records of ``settings`` have of the command."""
    records = Records(settings.parent / "kept" / DATABASE_NAME)
    try:
        with records.reader() as reader:
            dose_j_per_cm2 = reader.sample_dose_j_per_cm2(sample_of_the_day("command", records))
        return records.light.judge("1", 1.0, sound=False).exposures, dose_j_per_cm2
    finally:
        records.close()


@pytest.fixture
def kept(settings: Path) -> Path:
    """Settings of a simulated camera whose records are kept."""
    folder = json.dumps(str(settings.parent / "kept"))
    settings.write_text(SETTINGS + f"[records]\ndirectory = {folder}\n", encoding="utf-8")
    return settings


def test_grab_with_light_enters_its_pulses_in_the_records(kept: Path, tmp_path: Path) -> None:
    for number in (1, 2):
        assert run(kept, "grab", str(tmp_path / "frame.png"), "--light", sim=False).exit_code == 0
        exposures, dose_j_per_cm2 = kept_light(kept)
        # The first frame is dropped while the LED warms up.
        assert exposures == 2 * number
        assert dose_j_per_cm2 > 0.0


@pytest.mark.slow
def test_light_of_a_grab_that_fails_is_entered_too(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(camera: SimCamera, *args: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(SimCamera, "read", fail)
    with pytest.raises(ZeroDivisionError):
        run(kept, "grab", str(tmp_path / "frame.png"), "--light", sim=False)
    assert kept_light(kept)[0] == 1


@pytest.mark.slow
def test_noise_enters_its_pulses_in_the_records(kept: Path) -> None:
    assert run(kept, "noise", "--exposures", "4", "--longest-ms", "60", sim=False).exit_code == 0
    # Pairs at each exposure, and the first frame, which is dropped.
    assert kept_light(kept)[0] == 2 * 4 + 1


def test_without_light_no_records_are_touched(kept: Path, tmp_path: Path) -> None:
    assert run(kept, "grab", str(tmp_path / "frame.png"), sim=False).exit_code == 0
    assert not (kept.parent / "kept").exists()


@pytest.mark.slow
def test_grab_refuses_an_exposure_that_no_pulse_lights(
    gentl: None, settings: Path, tmp_path: Path
) -> None:
    path = tmp_path / "frame.png"
    result = run(settings, "grab", str(path), "--light", "--exposure-ms", "500")
    assert result.exit_code == 2
    assert "light.max_pulse_ms" in result.output
    assert not path.exists()


@pytest.mark.slow
def test_grab_refuses_a_name_it_cannot_write(gentl: None, settings: Path, tmp_path: Path) -> None:
    for name, culprit in (("frame.gif", "frame.gif"), ("none/frame.png", "no folder")):
        result = run(settings, "grab", str(tmp_path / name))
        assert result.exit_code == 2
        assert culprit in result.output


@pytest.mark.slow
def test_rate_counts_frames(gentl: None, settings: Path) -> None:
    document = json.loads(
        run(settings, "rate", "--frames", "8", "--exposure-ms", "20", "--json", "-").output
    )
    assert document["lost"] == 0
    assert document["exposure_ms"] == 20.0
    # Exposure and readout of the simulated camera take 60 ms.
    assert document["median_ms"] >= 60.0
    assert 1.0 < document["frames_per_s"] <= 17.0


@pytest.mark.slow
def test_noise_finds_what_the_simulated_sensor_is_made_of(gentl: None, settings: Path) -> None:
    result = run(settings, "noise", "--exposures", "6", "--json", "-")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert "UV light is used" in result.stderr
    sensor = Sensor()
    true_gain = sensor.full_well_e / 4095.0
    assert document["gain_e_per_count"] == pytest.approx(true_gain, rel=0.05)
    assert document["read_noise_e"] == pytest.approx(sensor.read_noise_e, rel=0.05)
    assert document["full_well_e"] == pytest.approx(
        (1.0 - sensor.black_level) * sensor.full_well_e, rel=0.05
    )
    assert "EMVA 1288" in document["method"]
    assert len(document["points"]) == 6


def test_the_plain_simulated_camera_has_no_features_to_show(settings: Path) -> None:
    result = run(settings, "list", sim=False)
    assert result.exit_code == 3
    assert "--sim" in result.output


def test_the_lid_keeps_the_light_off(gentl: None, settings: Path, tmp_path: Path) -> None:
    settings.write_text(SETTINGS + "[simulation]\nlid_closed = false\n", encoding="utf-8")
    result = run(settings, "grab", str(tmp_path / "frame.png"), "--light")
    assert result.exit_code == 3
    assert "LIGHT-LID-OPENED" in result.output
    assert not (tmp_path / "frame.png").exists()


# -- the method ------------------------------------------------------------------------------------


@law(max_examples=25)
@given(
    gain=st.floats(0.5, 20.0),
    read_noise_e=st.floats(3.0, 40.0),
    seed=st.integers(0, 2**31),
    flicker=st.floats(0.97, 1.03),
)
def test_photon_transfer_finds_gain_and_read_noise_whatever_the_pattern(
    gain: float, read_noise_e: float, seed: int, flicker: float
) -> None:
    rng = np.random.default_rng(seed)
    full_scale, offset = 4095, 150.0
    pattern = rng.normal(1.0, 0.02, (96, 96)).clip(0.9, 1.1)

    def frame(mean_counts: float) -> np.ndarray:
        electrons = rng.poisson(mean_counts * gain * pattern) + rng.normal(
            0.0, read_noise_e, pattern.shape
        )
        return np.clip(np.round(electrons / gain + offset), 0, full_scale).astype(np.uint16)

    dark = (frame(0.0), frame(0.0))
    level = float((dark[0].mean() + dark[1].mean()) / 2.0)
    points = [
        measure_point(frame(counts), frame(counts * flicker), counts, level, full_scale)
        for counts in np.linspace(250.0, 2500.0, 10)
    ]
    found = photon_transfer(dark, points, full_scale)
    assert found.gain_e_per_count == pytest.approx(gain, rel=0.12)
    assert found.read_noise_e == pytest.approx(read_noise_e, rel=0.2, abs=0.5 * gain)
    assert found.full_well_e == pytest.approx((full_scale - offset) * gain, rel=0.12)
    assert not found.full_well_reached


def test_saturated_exposures_are_told_and_left_out() -> None:
    rng = np.random.default_rng(3)

    def frame(mean_counts: float) -> np.ndarray:
        return np.clip(rng.poisson(mean_counts * 4.0, (64, 64)) / 4.0 + 30.0, 0, 1023).astype(
            np.uint16
        )

    dark = (frame(0.0), frame(0.0))
    points = [
        measure_point(frame(counts), frame(counts), counts, 30.0, 1023)
        for counts in (100.0, 200.0, 300.0, 400.0, 500.0, 2000.0)
    ]
    found = photon_transfer(dark, points, 1023)
    assert [point.saturated for point in points] == [False] * 5 + [True]
    assert found.full_well_reached
    assert found.gain_e_per_count == pytest.approx(4.0, rel=0.1)


@pytest.mark.parametrize("level", [0.0, 1023.0])
def test_frames_without_usable_light_are_refused(level: float) -> None:
    flat = np.full((32, 32), level, np.uint16)
    points = [measure_point(flat, flat, float(ms), level, 1023) for ms in range(1, 6)]
    with pytest.raises(InputError, match="neither dark nor saturated"):
        photon_transfer((flat, flat), points, 1023)


def test_noise_that_does_not_grow_is_refused() -> None:
    rng = np.random.default_rng(1)

    def frame(mean_counts: float) -> np.ndarray:
        return (rng.normal(0.0, 3.0, (64, 64)) / (1.0 + mean_counts) + mean_counts + 50.0).astype(
            np.uint16
        )

    dark = (frame(0.0), frame(0.0))
    points = [measure_point(frame(c), frame(c), c, 50.0, 4095) for c in (200.0, 900.0, 1500.0)]
    with pytest.raises(InputError, match="does not grow"):
        photon_transfer(dark, points, 4095)
