"""Model cards say what a network was trained on, and what the working folder measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from models.manifest import NetworkEntry, Score
from models.train.data.samples import CLASSES
from models.train.evaluation.compare import Comparison, Row
from models.train.evaluation.evaluate import Classified
from models.train.evaluation.robustness import FIGURES, Result, Robustness, conditions
from models.train.evaluation.transfer import Domain, Transfer
from models.train.release import card_sections
from models.train.release.cards import card, training_data, write_cards

SCORES = {"simulated cell Dice": Score(value=0.9, n=3)}


def entry(name: str, data: str) -> NetworkEntry:
    return NetworkEntry(
        file=f"{name}.onnx",
        sha256="0" * 64,
        input_layout="uint8",
        block_px=4,
        crop_px=128,
        parameters={},
        training_data=data,
        scores={},
    )


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A working folder in which everything was measured."""
    row = Row(
        network="segmenter",
        domain="simulated",
        figure="cell Dice",
        float32=0.981,
        int8=0.979,
        n=7,
        loss_points=0.2,
    )
    other = row.model_copy(update={"network": "scout", "figure": "white cells found"})
    measured = Comparison(largest_points=0.2, rows=(row, other))
    (tmp_path / card_sections.COMPARE).write_text(measured.model_dump_json())
    figures = {name: Score(value=0.876, n=40, low=0.8, high=0.9) for name in FIGURES}
    results = tuple(
        Result(condition=c.name, held_out=c.conversion == "luminance", scores=figures)
        for c in conditions()
    )
    robust = Robustness(results=results)
    (tmp_path / card_sections.ROBUSTNESS).write_text(robust.model_dump_json())
    counts = np.diag([5, 4, 3, 2, 1, 0, 0]).tolist()
    domain = Domain(
        name="BCCD", scores={"five-part accuracy": figures[FIGURES[0]]}, confusion=counts
    )
    transfer = Transfer(steps=20, seed=1, domains=(domain,))
    (tmp_path / card_sections.TRANSFER).write_text(transfer.model_dump_json())
    return tmp_path


def test_each_card_holds_the_sections_about_its_network(work: Path) -> None:
    names = ("scout", "segmenter", "classifier")
    entries = {name: entry(name, "simulated deep-UV smears") for name in names}
    result = Classified(
        np.zeros((1, len(CLASSES)), np.float32), np.eye(len(CLASSES))[:1], np.zeros(1, np.uint8)
    )
    write_cards(work / "cards", dict.fromkeys(names, SCORES), {"simulated": result}, entries)
    cards = {name: (work / "cards" / f"{name}.md").read_text() for name in names}
    assert (
        "| segmenter | simulated | cell Dice | 0.9810 | 0.9790 | +0.20 | 7 |" in cards["segmenter"]
    )
    assert "cell Dice | 0.9810" not in cards["scout"]
    assert "luminance, held out" in cards["scout"]
    assert "five-part accuracy (n = 40)" in cards["classifier"]
    assert "How real the simulator is" in cards["classifier"]
    assert "How real" not in cards["segmenter"]
    for text in cards.values():
        assert text.rstrip().endswith("before quality falls.")


def test_a_folder_without_measurements_gives_no_sections(tmp_path: Path) -> None:
    assert card_sections.sections(tmp_path, "classifier") == []


def test_evidence_is_kept_and_goes_to_its_card(work: Path, tmp_path: Path) -> None:
    file = tmp_path / "pipeline.json"
    file.write_text(json.dumps({"scout": "## Sweeps\n\nfound"}))
    card_sections.keep_evidence(work, file)
    assert card_sections.sections(work, "scout")[-1] == "## Sweeps\n\nfound"
    assert not any("Sweeps" in text for text in card_sections.sections(work, "segmenter"))


def test_a_card_names_a_laboratory_and_its_split() -> None:
    data = training_data("scout", ["simulated", "laboratory"], stained=True)
    text = card("scout", entry("scout", data), SCORES, {})
    assert "laboratory are split by name and seed" in text
    assert "Data in Brief" in text
    assert "several sittings" not in text
    alone = training_data("scout", ["laboratory"], stained=False)
    text = card("scout", entry("scout", alone), SCORES, {})
    assert "Simulated donors are split" not in text
    assert "Data in Brief" not in text
