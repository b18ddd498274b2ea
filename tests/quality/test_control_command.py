"""``leukolux control``: lots of control slides without a screen."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from device.assembly import DATABASE_NAME
from device.records.records import Records
from webui.cli.main import cli


@pytest.fixture
def settings_path(tmp_path: Path) -> Path:
    path = tmp_path / "settings.toml"
    path.write_text(f'[records]\ndirectory = "{tmp_path}"\n')
    return path


def control(settings_path: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, ["control", *words, "--settings", str(settings_path)])


def test_a_lot_is_entered_with_the_targets_of_its_label(
    settings_path: Path, tmp_path: Path
) -> None:
    targets = ("--target", "neutrophil=60,3.5", "--target", "red_cells=5000,200")
    assert control(settings_path, "add", "Q7", "--level", "low", *targets).exit_code == 0
    records = Records(tmp_path / DATABASE_NAME)
    with records.reader() as reader:
        (lot,) = reader.control_lots()
    records.close()
    assert (lot.name, lot.level, lot.source) == ("Q7", "low", "entered")
    assert lot.targets == {
        "neutrophil": {"mean": 60.0, "sd": 3.5},
        "red_cells": {"mean": 5000.0, "sd": 200.0},
    }
    shown = control(settings_path, "list").output
    assert "Q7  low  no runs" in shown
    assert "mean 60, SD 3.5 %" in shown


def test_a_lot_is_closed_and_its_name_is_free_again(settings_path: Path) -> None:
    assert control(settings_path, "add", "Q7").exit_code == 0
    again = control(settings_path, "add", "Q7")
    assert (again.exit_code, "LOT-NAME-IN-USE" in again.output) == (2, True)
    assert control(settings_path, "close", "Q7").exit_code == 0
    assert control(settings_path, "list").output == ""
    gone = control(settings_path, "close", "Q7")
    assert (gone.exit_code, "CLI-LOT-NOT-FOUND" in gone.output) == (2, True)
    assert control(settings_path, "add", "Q7").exit_code == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("Q8", "--target", "neutrophil=60"), "TARGETS-NUMBER-MISSING"),
        (("Q8", "--target", "neutrophil=sixty,3"), "TARGETS-NUMBER-MISSING"),
        (("Q8", "--target", "neutrophil=160,3"), "TARGETS-OUT-OF-RANGE"),
        (("Q8", "--target", "neutrophil=60,nan"), "TARGETS-NUMBER-MISSING"),
        (("Q8", "--target", "hemoglobin=60,3"), "TARGETS-VALUE-UNKNOWN"),
        ((" ",), "CLI-LOT-NAME"),
        (("Q8", "--level", "x" * 65), "CLI-LOT-NAME"),
    ],
)
def test_what_cannot_be_a_lot_is_refused_and_nothing_stored(
    settings_path: Path, words: tuple[str, ...], code: str
) -> None:
    result = control(settings_path, "add", *words)
    assert (result.exit_code, code in result.output) == (2, True)
    assert control(settings_path, "list").output == ""
