"""Arithmetic of the evaluation on outcomes made by hand, and laws it must keep."""

import json
import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.laboratory import report
from device.laboratory.figures import Mean, ObjectCount, Proportion
from device.laboratory.mosaic_truth import MosaicScore
from device.laboratory.reliability import Calibration
from device.laboratory.report import Bar
from device.laboratory.scores import DonorResult, Evaluation, Outline
from device.laboratory.truth import Comparison
from device.results.cell import FIVE_TYPES, CellKind

N, E, B, L, M, DEAD, OTHER = CellKind


@dataclass(frozen=True)
class Called:
    kind: CellKind
    confidence: float = 0.9
    identified: bool = True
    tile_sequence: int = 0
    x_px: float = 0.0
    y_px: float = 0.0

    @property
    def probabilities(self):
        rest = (1 - self.confidence) / (len(CellKind) - 1)
        return dict.fromkeys(CellKind, rest) | {self.kind: self.confidence}


@dataclass(frozen=True)
class Missed:
    kind: str
    id: str = "0"
    x_um: float = 0.0
    y_um: float = 0.0
    bbox_px: tuple[int, int, int, int] = (0, 0, 1, 1)
    cut: bool = False


@dataclass
class Outcome:
    """What happened to a donor's cells, written down in a test."""

    answers: list[tuple[CellKind, Called]] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    false: int = 0
    outlines: list[Outline] = field(default_factory=list)
    red_cells: ObjectCount = ObjectCount(1000, 1000)  # noqa: RUF009
    platelets: ObjectCount = ObjectCount(100, 100)  # noqa: RUF009
    name: str = "healthy:3000"
    mosaic: MosaicScore = MosaicScore((0.1, 0.2, 0.3), 100, 0, 20, 0)  # noqa: RUF009

    def result(self):
        return DonorResult(
            name=self.name,
            comparison=Comparison(
                true_counts={},
                matches=tuple(self.answers),
                missed_cells=tuple((0, Missed(kind)) for kind in self.missed),
                false_cells=tuple(Called(N) for _ in range(self.false)),
            ),
            counts=dict.fromkeys(CellKind, 0),
            unidentified=0,
            outlines=tuple(self.outlines),
            red_cells=self.red_cells,
            platelets=self.platelets,
            area_mm2=1.0,
            analysis_ms=(10.0,),
            tiles_refused=0,
            mosaic=self.mosaic,
        )


def evaluated(*outcomes):
    return Evaluation(tuple(outcome.result() for outcome in outcomes))


def row(evaluation, name, balanced=None):
    return next(r for r in report.rows(evaluation, balanced) if r.name.startswith(name))


answers = st.lists(
    st.tuples(
        st.sampled_from(CellKind),
        st.builds(Called, st.sampled_from(CellKind), st.floats(0.2, 1.0), st.booleans()),
    ),
    min_size=1,
    max_size=25,
)


@given(st.lists(st.sampled_from(CellKind), min_size=1, max_size=25))
def test_perfect_answers_reach_all_there_is(kinds):
    right = evaluated(Outcome([(kind, Called(kind)) for kind in kinds]))
    for share in (right.found, right.alive_or_dead, right.five_part, *right.sensitivities.values()):
        assert share.k == share.n
    assert right.false_finds.k == 0


@given(answers)
def test_shares_are_shares_of_the_same_cells(pairs):
    scores = evaluated(Outcome(pairs))
    live = [pair for pair in pairs if pair[0] in FIVE_TYPES]
    assert scores.five_part.n == scores.unidentified.n == len(live)
    assert scores.five_part_identified.n == scores.five_part.n - scores.unidentified.k
    assert sum(share.k for share in scores.sensitivities.values()) == sum(
        kind is cell.kind for kind, cell in pairs
    )
    assert scores.calibration.n == scores.found.k == len(pairs)


@given(answers, st.randoms(use_true_random=False))
def test_order_of_cells_and_donors_does_not_matter(pairs, random):
    shuffled = random.sample(pairs, len(pairs))
    split = random.randrange(len(pairs) + 1)
    one = evaluated(Outcome(pairs))
    other = evaluated(Outcome(shuffled[:split]), Outcome(shuffled[split:]))
    assert one.five_part == other.five_part
    assert one.sensitivities == other.sensitivities
    assert one.calibration.expected_error == pytest.approx(other.calibration.expected_error)


def test_missed_and_false_cells_count_as_such():
    scores = evaluated(Outcome([(N, Called(N))] * 97, ["neutrophil"] * 3, false=2))
    assert scores.found == Proportion(97, 100)
    assert scores.false_finds == Proportion(2, 99)
    assert row(scores, "white cells found").passed is False
    assert row(scores, "false finds").passed is False


def test_worst_class_is_named_and_classes_without_cells_are_not():
    pairs = [(N, Called(N))] * 50 + [(E, Called(E))] * 9 + [(E, Called(N))] + [(M, Called(M))] * 5
    scores = evaluated(Outcome(pairs))
    assert scores.worst_sensitivity == (E, Proportion(9, 10))
    worst = row(scores, "worst class")
    assert (worst.note, worst.value, worst.passed) == ("eosinophil", 90.0, False)


def test_worst_class_of_no_cells_is_no_pass():
    worst = row(evaluated(Outcome([(DEAD, Called(DEAD))])), "worst class")
    assert math.isnan(worst.value)
    assert worst.passed is False
    assert worst.as_dict()["value"] is None


def test_dead_called_other_is_a_dead_cell_called_alive():
    scores = evaluated(Outcome([(DEAD, Called(DEAD)), (DEAD, Called(OTHER)), (OTHER, Called(N))]))
    assert scores.alive_or_dead == Proportion(1, 2)


def test_dice_is_the_mean_over_views_and_by_kind():
    outlines = [Outline(N, 1.0, 0.9), Outline(N, 0.98, 0.9), Outline(L, 0.96, 1.0)]
    scores = evaluated(Outcome(outlines=outlines[:2]), Outcome(outlines=outlines[2:]))
    assert scores.dice() == (pytest.approx(0.98), pytest.approx(2.8 / 3))
    assert scores.mean_dice(L)[0].value == 0.96
    assert scores.mean_dice(M)[0].n == 0
    assert scores.mean_dice(M)[0].as_dict() == {"n": 0, "mean": None, "low": None, "high": None}


def test_count_error_of_the_median_and_the_worst_donor_and_of_too_few():
    donors = [
        Outcome(name=f"healthy:{3000 + i}", red_cells=ObjectCount(counted, 1000), platelets=few)
        for i, (counted, few) in enumerate(
            [
                (990, ObjectCount(0, 49)),
                (1020, ObjectCount(55, 50)),
                (950, ObjectCount(100, 100)),
            ]
        )
    ]
    scores = evaluated(*donors)
    median, worst = (row(scores, f"red cells, count error, {w}") for w in ("median", "worst"))
    assert (median.value, median.passed, median.note) == (2.0, True, "healthy:3001, of 3")
    assert (worst.value, worst.passed, worst.note) == (-5.0, False, "healthy:3002, of 3")
    platelets = row(scores, "platelets, count error, worst")
    assert (platelets.value, platelets.passed) == (10.0, True)
    assert platelets.note == "healthy:3001, of 2"
    few = row(scores, "platelets, counted too many per tile, 1 donors with < 50")
    assert (few.value, few.n, few.unit) == (-49.0, 49, "per tile")
    assert row(scores, "platelets, count error, all").value == pytest.approx(-44 / 199 * 100)


def test_a_row_comes_back_from_its_json():
    scores = evaluated(Outcome([(N, Called(N))] * 20, ["dead"], false=1))
    for made in report.rows(scores, scores):
        again = report.Row.from_dict(json.loads(json.dumps(made.as_dict())))
        assert again.cells() == made.cells()


def test_donors_without_platelets_have_no_count_error():
    scores = evaluated(Outcome(platelets=ObjectCount(3, 0)))
    names = [r.name for r in report.rows(scores)]
    assert "platelets, count error, all donors" in names
    assert "platelets, count error, worst donor" not in names
    assert math.isnan(ObjectCount(3, 0).error_percent)


@pytest.mark.parametrize(
    ("bar", "value", "met"),
    [
        (Bar(at_least=99.0), 99.0, True),
        (Bar(at_least=99.0), 98.99, False),
        (Bar(at_most=3.0), -3.1, False),
        (Bar(at_most=3.0), -2.9, True),
        (Bar(at_least=99.0), math.nan, False),
        (Bar(paper=94.0), 1.0, None),
    ],
)
def test_a_bar_is_met_or_not(bar, value, met):
    assert bar.met(value) is met


def test_answers_that_are_right_as_often_as_they_say_are_calibrated():
    pairs = [(0.75, i % 4 != 0) for i in range(400)] + [(1.0, True)] * 100
    assert Calibration.of(pairs).expected_error == pytest.approx(0.0)


def test_sure_answers_that_are_wrong_are_as_wrong_as_can_be():
    calibration = Calibration.of([(1.0, False)] * 7)
    assert calibration.expected_error == 1.0
    assert [(part.low, part.high, part.n) for part in calibration.bins] == [(14 / 15, 1.0, 7)]


@given(st.lists(st.tuples(st.floats(0.0, 1.0), st.booleans()), max_size=60))
def test_calibration_error_stays_between_0_and_1_and_no_answer_is_lost(pairs):
    calibration = Calibration.of(pairs)
    assert 0.0 <= calibration.expected_error <= 1.0
    assert calibration.n == len(pairs)
    overall = abs(sum(p - right for p, right in pairs)) / len(pairs) if pairs else 0.0
    assert calibration.expected_error >= overall - 1e-9


@given(st.integers(1, 500), st.data())
def test_a_share_lies_inside_its_interval(n, data):
    share = Proportion(data.draw(st.integers(0, n)), n)
    low, high = share.interval
    assert 0.0 <= low <= share.percent <= high <= 100.0


@given(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=50))
def test_interval_of_a_mean_narrows_with_more_of_the_same(values):
    one, four = Mean.of(values), Mean.of(values * 4)
    assert one.value == pytest.approx(float(np.mean(values)))
    assert four.half_width <= one.half_width + 1e-12
