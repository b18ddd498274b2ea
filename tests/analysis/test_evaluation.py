import json
from collections import Counter

import cv2
import numpy as np
import pytest
from drawn_microscope import DrawnMicroscope, evaluated
from drawn_smear import DrawnScout, drawn_models

from device.laboratory import report
from device.laboratory.cell_samples import CellSamples
from device.laboratory.donors import FIRST_UNSEEN_SEED, PAPER_COHORT, evaluate_donor, unseen_donors
from device.laboratory.figures import Proportion
from device.laboratory.pictures import write_pictures
from device.laboratory.scores import Evaluation
from device.results.cell import CellKind
from device.settings.sections import AnalysisConfig
from models.scout import Detections


def test_perfect_networks_reach_perfect_scores_through_the_whole_pipeline():
    scores = evaluated(DrawnMicroscope())
    assert scores.found.n > 40
    assert scores.found.k == scores.found.n
    assert scores.false_finds.k == 0
    assert scores.five_part == Proportion(scores.five_part.n, scores.five_part.n)
    assert scores.alive_or_dead.k == scores.alive_or_dead.n > scores.five_part.n
    assert scores.unidentified.k == 0
    assert scores.interval_coverage == Proportion(5, 5)
    assert min(scores.dice()) > 0.93


def test_wrong_outlines_lower_dice_but_not_the_count():
    scores = evaluated(DrawnMicroscope(radius_um=4.0, true_radius_um=5.0))
    assert scores.found.k == scores.found.n
    # Concentric discs of radius 4 and 5: 2 * 16 / (16 + 25).
    assert scores.dice()[0] == pytest.approx(32 / 41, abs=0.03)


def test_dead_cells_called_alive_lower_alive_or_dead():
    scores = evaluated(DrawnMicroscope(dead_kind=CellKind.LYMPHOCYTE))
    wrong = scores.alive_or_dead.n - scores.alive_or_dead.k
    assert wrong == scores.called[(CellKind.DEAD, "lymphocyte")] > 5
    assert scores.five_part.k == scores.five_part.n


def test_evaluation_is_repeatable_but_for_its_times():
    documents = [report.as_dict(evaluated(DrawnMicroscope(), tiles=4)) for _ in range(2)]
    for document in documents:
        del document["tile_ms"]
    assert documents[0] == documents[1]


def test_text_and_document_tell_the_same():
    scores = evaluated(DrawnMicroscope(), tiles=4)
    document = report.as_dict(scores, scores)
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["tiles"] == 4
    text = report.text(scores)
    for row in document["rows"]:
        if row["value"] is not None and "equally" not in row["name"]:
            assert any(line.startswith(row["name"]) for line in text.splitlines())


def test_red_cells_inside_the_tiles_are_counted_as_they_are():
    scores = evaluated(DrawnMicroscope(spacing_um=50), tiles=4)
    total = scores.total(lambda donor: donor.red_cells)
    assert total.true > 60
    # Discs that a border halves have their centre of gravity inside although they lie outside.
    assert 0 <= total.counted - total.true <= 0.35 * total.true


def test_red_cells_that_are_not_seen_lower_the_count():
    seen, some = (
        evaluated(DrawnMicroscope(spacing_um=50, hidden=hidden), tiles=4).total(
            lambda donor: donor.red_cells
        )
        for hidden in (0, 150)
    )
    assert some.true == seen.true
    assert some.counted < 0.8 * seen.counted


@pytest.mark.slow
def test_pictures_show_what_went_wrong(tmp_path):
    samples = CellSamples()
    microscope = DrawnMicroscope(dead_kind=CellKind.LYMPHOCYTE)
    result = evaluate_donor(
        "drawn:1", microscope, drawn_models(), AnalysisConfig(), tiles=4, seed=5, samples=samples
    )
    assert {example.true_kind for example in samples.wrong} == {CellKind.DEAD}
    assert {example.called for example in samples.wrong} == {CellKind.LYMPHOCYTE}
    assert all(example.true_mask.any() and example.found_mask.any() for example in samples.wrong)
    overlap = [np.mean(e.true_mask[e.found_mask > 0] > 0) for e in [*samples.right, *samples.wrong]]
    assert min(overlap) > 0.9
    paths = write_pictures(tmp_path / "new", Evaluation((result,)), samples)
    assert [path.name for path in paths] == [
        "confusion.png",
        "reliability.png",
        "right.png",
        "wrong.png",
    ]
    assert all(cv2.imread(str(path)).std() > 1 for path in paths)


def test_missed_cells_come_with_their_picture(monkeypatch):
    monkeypatch.setattr(DrawnScout, "find", nothing_found)
    samples = CellSamples()
    evaluate_donor(
        "drawn:1", DrawnMicroscope(), drawn_models(), AnalysisConfig(), 2, 5, samples=samples
    )
    assert len(samples.missed) > 3
    assert all(example.called is None for example in samples.missed)
    # The nucleus is where the truth says.
    assert all(e.gray[e.true_mask == 2].mean() < 150 for e in samples.missed)


def nothing_found(self, image, threshold=None):
    nothing = np.empty((0, 3), np.float32)
    return Detections(nothing, nothing, nothing, 1.0)


def test_unseen_donors_are_never_trained_ones():
    names = unseen_donors(12)
    assert len(set(names)) == 12
    assert {int(name.split(":")[1]) for name in names} == set(range(3000, 3012))
    with pytest.raises(ValueError, match="2999"):
        unseen_donors(1, FIRST_UNSEEN_SEED - 1)


def test_23_unseen_donors_are_mixed_like_the_paper_s_cohort():
    diseases = Counter(name.split(":")[0].split("-")[0] for name in unseen_donors(PAPER_COHORT))
    assert diseases == {"healthy": 4, "sickle": 4, "thrombocytopenia": 4, "neutropenia": 11}
