"""Evidence for the model cards: text made of what the commands wrote, and of nothing else."""

import json

import pytest
from click.testing import CliRunner
from drawn_microscope import DrawnMicroscope, evaluated
from drawn_smear import drawn_models
from swept_points import NOTHING, point

from device.laboratory import report
from device.laboratory.evidence import read_documents, sections
from device.system.version import version
from hal.errors import InputError
from webui.cli.laboratory import evaluate as evaluate_command
from webui.cli.main import cli

VERSIONS = {"scout": "drawn"}


@pytest.fixture(scope="module")
def evaluation():
    scores = evaluated(DrawnMicroscope(), tiles=4)
    return report.as_dict(scores, scores) | {"versions": VERSIONS}


def sweep(name="defocus", versions=VERSIONS):
    return {
        "sweep": name,
        "axis": "defocus, um",
        "donors": 6,
        "points": [point(0.0), NOTHING],
        "versions": versions,
    }


def written(tmp_path, *documents):
    paths = [tmp_path / f"{i}.json" for i in range(len(documents))]
    for path, document in zip(paths, documents, strict=True):
        path.write_text(json.dumps(document))
    return paths


def test_each_network_gets_its_figures(evaluation):
    found = sections(evaluation, {"defocus": sweep()})
    assert set(found) == {"scout", "segmenter", "classifier", "all"}
    assert "white cells found" in found["scout"]
    assert "red cells, count error" in found["scout"]
    assert "Dice, whole cell" in found["segmenter"]
    assert "neutrophil" in found["classifier"]
    assert "Dice" not in found["classifier"].split("How it falls")[0]
    for row in evaluation["rows"]:
        assert row["name"] in found["all"]


def test_tables_are_whole(evaluation):
    for text in sections(evaluation, {"defocus": sweep()}).values():
        blocks = [block for block in text.split("\n\n") if block.startswith("|")]
        assert blocks
        for block in blocks:
            assert len({line.count("|") for line in block.splitlines()}) == 1


def test_pictures_are_shown_only_where_asked_for(evaluation):
    assert "![" not in sections(evaluation, {})["classifier"]
    shown = sections(evaluation, {}, "evidence/")["classifier"]
    assert "![confusion](evidence/confusion.png)" in shown


def test_files_of_different_networks_are_not_mixed(tmp_path, evaluation):
    paths = written(tmp_path, evaluation, sweep(versions={"scout": "another"}))
    with pytest.raises(InputError, match="different networks"):
        read_documents(paths)


@pytest.mark.parametrize("content", ["", "[1]", '{"other": 1}'])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"x\.json"):
        read_documents([path])


def test_one_evaluation_is_needed(tmp_path):
    with pytest.raises(InputError, match="0 evaluations"):
        read_documents(written(tmp_path, sweep()))


def test_command_writes_the_sections(tmp_path, evaluation):
    paths = written(tmp_path, evaluation, sweep("noise"), sweep())
    out = tmp_path / "evidence.json"
    arguments = ["lab", "evidence", *map(str, paths), "--out", str(out)]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    found = json.loads(out.read_text())
    assert found["all"] == result.stdout
    # Sweeps stand in one order, whatever the order of the files.
    assert found["scout"].index("out of focus") < found["scout"].index("less light")


@pytest.mark.slow
def test_evaluate_command_reports_writes_and_draws(tmp_path, monkeypatch):
    def drawn(name, enrichment, composition=None, camera_rotation_deg=0.0):
        return DrawnMicroscope()

    monkeypatch.setattr(evaluate_command, "virtual_microscope", drawn)
    monkeypatch.setattr(evaluate_command, "load_models", lambda folder: drawn_models())
    path = tmp_path / "evaluation.json"
    options = ["--donors", "2", "--tiles", "2", "--balanced-tiles", "1", "--json", str(path)]
    options += ["--pictures", str(tmp_path / "seen")]
    result = CliRunner().invoke(cli, ["lab", "evaluate", *options], catch_exceptions=False)
    assert result.exit_code == 0
    document = json.loads(path.read_text())
    assert [donor["name"] for donor in document["donors"]] == [
        "healthy:3000",
        "neutropenia-severe:3001",
    ]
    assert document["versions"] == {"software": version(), **VERSIONS}
    assert document["balanced"]["found"]["n"] > 0
    assert "five-part accuracy" in result.stdout
    assert {file.name for file in (tmp_path / "seen").iterdir()} == {
        "confusion.png",
        "reliability.png",
        "right.png",
        "wrong.png",
    }
