"""``leukolux calibrate``: the same steps as on the screen, stored in the same records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from device.assembly import DATABASE_NAME
from device.calibration.effective import made_for
from device.calibration.steps.catalogue import STEP_IDS
from device.calibration.steps.led_power import PULSES
from device.calibration.steps.quantities import Outcome, Quantity
from device.records.calibrations import CalibrationState
from device.records.records import Records
from device.settings.file import load_settings
from webui.cli.main import cli

POWER = ("--set", "power_mw=0.01", "--set", "field_width_mm=0.4", "--set", "field_height_mm=0.4")


@pytest.fixture
def settings_path(tmp_path: Path) -> Path:
    path = tmp_path / "settings.toml"
    path.write_text(
        f'[records]\ndirectory = "{tmp_path}"\nmin_free_mb = 1.0\n'
        "[camera]\nwidth_px = 256\nheight_px = 192\n"
        "[scan]\nleft_um = 36000.0\ntop_um = 44000.0\nwidth_um = 300.0\nheight_um = 200.0\n"
    )
    return path


def calibrate(settings_path: Path, *words: str, answers: str = "") -> Result:
    arguments = ["calibrate", "--sim", "--settings", str(settings_path), *words]
    return CliRunner().invoke(cli, arguments, input=answers)


def document(settings_path: Path) -> dict[str, Any]:
    found = json.loads(calibrate(settings_path, "--list", "--json", "-").stdout)
    return {step["id"]: step for step in found["steps"]}


def test_the_list_tells_what_is_valid_and_touches_no_hardware(
    settings_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError("the hardware was asked for")

    monkeypatch.setattr("device.assembly.build_hardware", forbidden)
    assert set(document(settings_path)) == set(STEP_IDS)
    records = Records(tmp_path / DATABASE_NAME)
    records.calibrations.begin("simulated", "Ann", ["flat_field"])
    session = records.calibrations.open_session("simulated")
    assert session is not None
    details = {"made_for": made_for("flat_field", load_settings(settings_path))}
    outcome = Outcome((Quantity("exposure_ms", 33.0, "ms"),), details).document()
    records.calibrations.add(
        session, "simulated", "flat_field", CalibrationState.ACCEPTED, "1.0", outcome
    )
    records.close()
    result = calibrate(settings_path, "--list")
    assert result.exit_code == 0
    assert "33 ms" in result.output
    assert result.output.count("Not calibrated") == len(STEP_IDS) - 1


@pytest.mark.parametrize("words", [("--set", "power"), ("--set", "power_mw=1e"), ("--step", "x")])
def test_words_that_mean_nothing_are_refused(settings_path: Path, words: tuple[str, ...]) -> None:
    result = calibrate(settings_path, *words)
    assert result.exit_code == 2


@pytest.mark.slow
def test_steps_are_measured_and_accepted_without_a_question(settings_path: Path) -> None:
    result = calibrate(
        settings_path,
        *("--speed", "50", "--operator", "Ann", "--yes", *POWER),
        *("--step", "led_power", "--step", "flat_field", "--step", "slide_corners"),
    )
    assert result.exit_code == 0, result.output
    found = document(settings_path)
    assert found["led_power"]["validity"] == found["flat_field"]["validity"] == "valid"
    assert found["led_power"]["used"]["operator"] == "Ann"
    # Nobody drove to the corners.
    assert found["slide_corners"]["validity"] == "missing"


def test_a_step_that_nobody_gave_numbers_for_says_which(settings_path: Path) -> None:
    words = ("--operator", "Ann", "--yes", "--step", "led_power", *POWER[2:])
    result = calibrate(settings_path, *words)
    assert result.exit_code == 0
    assert "Left out; it takes --set power_mw=NUMBER." in result.output


@pytest.mark.slow
def test_a_refused_step_ends_with_its_code_and_is_resumed(settings_path: Path) -> None:
    words = ("--operator", "Ann", "--yes", "--step", "led_power", "--step", "slide_corners")
    outside = ("--set", "power_mw=5000", *POWER[2:])
    result = calibrate(settings_path, *words, *outside)
    assert result.exit_code == 6
    assert "CALIBRATION-LED" in result.output
    answers = "\n".join(["go first", "first", "right 700", "down 600", "second", "done", "y", "y"])
    result = calibrate(settings_path, "--resume", *POWER, answers=answers + "\ny\ny\n")
    assert "There is no session" not in result.output
    assert document(settings_path)["led_power"]["validity"] == "valid", result.output
    result = calibrate(settings_path, "--resume", "--yes")
    assert result.exit_code == 5
    assert "no session" in result.output


@pytest.mark.slow
def test_a_person_reads_a_power_meter_while_the_light_pulses(
    settings_path: Path, tmp_path: Path
) -> None:
    answers = ["blink", "pulses", "done", "0.02", "0.5", "0.5", "y", "y"]
    result = calibrate(
        settings_path,
        *("--speed", "20", "--operator", "Ann", "--step", "led_power"),
        answers="\n".join([*answers, ""]),
    )
    assert result.exit_code == 0, result.output
    assert "Not understood" in result.output
    used = document(settings_path)["led_power"]["used"]
    assert used["rows"][0]["value"].startswith("8.00")
    records = Records(tmp_path / DATABASE_NAME)
    assert records.light.judge("1", 1.0, sound=False).exposures == PULSES
    records.close()


@pytest.mark.slow
def test_no_pulse_with_an_open_lid_and_the_step_can_be_skipped(
    settings_path: Path, tmp_path: Path
) -> None:
    with settings_path.open("a") as file:
        file.write("[simulation]\nlid_closed = false\n")
    result = calibrate(
        settings_path,
        *("--operator", "Ann", "--step", "led_power"),
        answers="pulses\nskip\ny\n",
    )
    assert result.exit_code == 0, result.output
    assert "missing: lid closed" in result.output
    assert document(settings_path)["led_power"]["validity"] == "missing"
    records = Records(tmp_path / DATABASE_NAME)
    assert records.light.judge("1", 1.0, sound=False).exposures == 0
    records.close()


@pytest.mark.slow
def test_a_person_drives_to_the_corners(settings_path: Path) -> None:
    answers = ["go first", "sideways", "first", "right 700", "down 600", "second", "done", "y", "y"]
    result = calibrate(
        settings_path,
        *("--operator", "Ann", "--step", "slide_corners"),
        answers="\n".join([*answers, ""]),
    )
    assert result.exit_code == 0, result.output
    assert "Not understood" in result.output
    rows = {row["name"]: row for row in document(settings_path)["slide_corners"]["used"]["rows"]}
    assert rows["width_um"]["value"].startswith("700")
