"""``leukolux selftest``: the catalogue on the terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from device.checks.catalogue import CATALOGUE
from device.checks.report import Level
from device.checks.runner import choose
from webui.cli.main import cli


def selftest(*words: str) -> Result:
    return CliRunner().invoke(cli, ["selftest", *words])


def document(result: Result) -> Any:
    return json.loads(result.stdout)


def settings_file(folder: Path, text: str) -> str:
    path = folder / "leukolux.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("level", Level)
def test_the_catalogue_of_a_level_is_shown_and_nothing_done(level: Level) -> None:
    result = selftest("--list", "--level", level.value)
    assert result.exit_code == 0
    shown = [line.split()[0] for line in result.output.splitlines()]
    assert shown == [check.id for check in choose(CATALOGUE, level)]


@pytest.mark.slow
def test_start_up_passes_on_the_simulated_instrument(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    result = selftest("--sim", "--json", str(path))
    assert result.exit_code == 0, result.output
    report = json.loads(path.read_text("utf-8"))
    assert (report["verdict"], report["simulated"]) == ("pass", True)
    assert len(report["results"]) == len(choose(CATALOGUE, Level.STARTUP))


@pytest.mark.slow
def test_everything_passes_on_the_simulated_instrument_as_it_is() -> None:
    report = document(selftest("--sim", "--level", "full", "--json", "-"))
    assert {found["id"]: found["verdict"] for found in report["results"]} == {
        check.id: "pass" for check in CATALOGUE
    }


def test_a_failed_check_ends_with_three_and_says_what_to_do(tmp_path: Path) -> None:
    path = settings_file(tmp_path, "[light]\nmax_pulse_ms = 40.0\n")
    result = selftest("--sim", "--settings", path, "--only", "CHECK-SETTINGS")
    assert result.exit_code == 3
    assert "CHECK-SETTINGS            fail" in result.output
    assert "camera.exposure_ms is above" in result.output
    assert "Correct scan.left_um" in result.output


def test_only_brings_what_it_needs_and_json_goes_to_standard_output() -> None:
    result = selftest("--sim", "--only", "CHECK-LID", "--only", "CHECK-SETTINGS", "--json", "-")
    assert result.exit_code == 0
    report = document(result)
    assert [found["id"] for found in report["results"]] == [
        *("CHECK-PANEL", "CHECK-LID", "CHECK-SETTINGS"),
    ]


def test_an_open_lid_warns_and_does_not_fail(tmp_path: Path) -> None:
    path = settings_file(tmp_path, "[simulation]\nlid_closed = false\n")
    result = selftest("--sim", "--settings", path, "--only", "CHECK-CAMERA-DARK")
    assert result.exit_code == 0
    assert "CHECK-LID                 warn" in result.output
    assert "CHECK-CAMERA-DARK         skipped" in result.output


def test_an_unknown_check_is_a_usage_error() -> None:
    result = selftest("--sim", "--only", "CHECK-NOTHING")
    assert result.exit_code == click.UsageError.exit_code
    assert "CHECK-NOTHING" in result.output
