"""The commands of the training, end to end with tiny amounts."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from click import UsageError  # noqa: E402
from click.testing import CliRunner  # noqa: E402

from models.manifest import read_manifest  # noqa: E402
from models.runtime import load_models  # noqa: E402
from models.train.commands.main import commands  # noqa: E402
from models.train.data.lab import CELL_COLUMNS, TILE_COLUMNS  # noqa: E402
from models.train.data.samples import CropSet  # noqa: E402
from models.train.data.workspace import Workspace  # noqa: E402
from models.train.networks import (  # noqa: E402
    classifier,
    scout,
    segmenter,
)
from webui.cli.main import cli  # noqa: E402

# The exporter's own deprecated calls are not ours to mend.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def run(*arguments: object) -> str:
    result = CliRunner().invoke(commands, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_everything_runs_and_ends_with_networks_that_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stage in (scout, segmenter, classifier):
        monkeypatch.setattr(stage, "BATCH", 3)
    work, out = tmp_path / "work", tmp_path / "out"
    amounts = ("--donors", 2, "--val-donors", 1, "--test-donors", 1, "--tiles", 2, "--steps", 4)
    run("all", "--work", work, "--out", out, *amounts)
    opened = load_models(out)
    assert opened.classifier.threshold >= 0.3
    manifest = read_manifest(out)
    figures = {figure for entry in manifest.networks.values() for figure in entry.scores}
    assert {"simulated white cells found", "simulated cell Dice"} <= figures
    assert "simulated five-part accuracy" in figures
    assert "INT8 against float32" in (out / "cards" / "segmenter.md").read_text()
    rows = json.loads((work / "compare.json").read_text())["rows"]
    assert {row["network"] for row in rows} >= {"scout", "segmenter", "classifier"}

    evidence = tmp_path / "evidence.json"
    evidence.write_text(json.dumps({"scout": "## Whole pipeline\n\nSeen on donors."}))
    run("evaluate", "--work", work, "--out", out, "--evidence", evidence)
    assert "## Whole pipeline" in (out / "cards" / "scout.md").read_text()
    assert "## Whole pipeline" not in (out / "cards" / "classifier.md").read_text()

    # The measure of the simulator's realism; simulated cells stand for the real ones.
    space = Workspace(work)
    crops = space.cells("test")
    for name in ("cells_val", "field_cells_val", "cells_train"):
        crops.save(space.real(name))
    assert "simulated: truth" in run("transfer", "--work", work, "--steps", 3)
    transfer = json.loads((work / "transfer.json").read_text())
    assert transfer["steps"] == 3
    counted = [sum(map(sum, domain["confusion"])) for domain in transfer["domains"]]
    assert len(set(counted)) == 1
    assert 0 < counted[0] <= len(CropSet.load(space.real("cells_val")))


def test_a_text_that_is_no_evidence_is_refused(tmp_path: Path) -> None:
    evidence = tmp_path / "evidence.json"
    evidence.write_text('["scout"]')
    result = CliRunner().invoke(
        cli, ["train", "evaluate", "--work", str(tmp_path), "--evidence", str(evidence)]
    )
    assert result.exit_code == 2
    assert "not a JSON object of network names" in result.output


def test_networks_that_are_not_exported_are_asked_for(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["train", "compare", "--work", str(tmp_path)])
    assert result.exit_code == 2
    assert "TRAIN-EXPORT-MISSING" in result.output


ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "pages" / "laboratory" / "training.md").read_text(encoding="utf-8")
LINES = re.findall(r"^leukolux train (.*?)(?:\s+#.*)?$", GUIDE.replace("\\\n", ""), re.M)


@pytest.mark.parametrize("line", LINES)
def test_the_commands_of_the_guide_parse(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("STAINED", "scans"):
        (tmp_path / folder).mkdir()
    name, *words = shlex.split(line)
    command = commands.commands[name]
    command.make_context(name, words)
    with pytest.raises(UsageError):
        command.make_context(name, [*words, "--no-such-option"])


def test_the_tables_of_the_guide_have_the_columns_that_are_read() -> None:
    tiles, cells = re.findall(r"```csv\n(.*?)\n", GUIDE)
    assert set(TILE_COLUMNS) <= set(tiles.split(","))
    assert set(CELL_COLUMNS) <= set(cells.split(","))
    assert len(LINES) > 8
