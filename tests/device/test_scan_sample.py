"""The command line starts the same waiting sample as screen and panel."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from device.assembly import DATABASE_NAME
from device.records.records import Records
from webui.cli.main import cli


@pytest.mark.parametrize(
    ("words", "code"),
    [(["--sample-id", "two words"], "INPUT-SAMPLE-ID"), (["--control-lot", "7"], "INPUT-LOT")],
)
def test_a_scan_of_what_cannot_be_a_sample_is_refused(words: list[str], code: str) -> None:
    result = CliRunner().invoke(cli, ["scan", "--sim", *words])
    assert result.exit_code == 2
    assert code in result.output


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_scan_stores_control_lot_and_operator(tmp_path: Path) -> None:
    records = Records(tmp_path / DATABASE_NAME)
    lot = records.quality.add_lot("Q7", "normal", None)
    records.close()
    settings = tmp_path / "leukolux.toml"
    settings.write_text(f'[records]\ndirectory = "{tmp_path}"\n', encoding="utf-8")
    words = ["--speed", "20", "--target-cells", "2", "--control-lot", str(lot), "--operator", "AB"]
    files = ["--settings", str(settings), "--keep", "--json", "-"]
    result = CliRunner().invoke(cli, ["scan", "--sim", *words, *files], catch_exceptions=False)
    assert result.exit_code in (0, 5), result.output
    document = json.loads(result.stdout)
    assert (document["control_lot"], document["operator"]) == (lot, "AB")
