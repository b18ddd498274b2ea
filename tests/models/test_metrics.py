from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.classifier import softmax
from models.train.evaluation.metrics import (
    abstention_threshold,
    dice,
    expected_calibration_error,
    fit_temperature,
    mean_score,
    share,
)


def drawn_logits(scale: float, n: int = 6000) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax is the true distribution, multiplied by ``scale``."""
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 2, (n, 7)).astype(np.float32)
    kinds = np.array([rng.choice(7, p=row / row.sum()) for row in softmax(logits).astype(float)])
    return (scale * logits).astype(np.float32), kinds.astype(np.uint8)


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(122, 200, 0.539, 0.678), (5, 100, 0.016, 0.113), (0, 10, 0.0, 0.308), (10, 10, 0.692, 1.0)],
)
def test_intervals_are_those_of_the_tables(hits: int, n: int, low: float, high: float) -> None:
    score = share(hits, n)
    assert score.value == pytest.approx(hits / n, abs=1e-5)
    assert (score.low, score.high) == (
        pytest.approx(low, abs=1e-3),
        pytest.approx(high, abs=1e-3),
    )


def test_a_share_of_nothing_has_no_interval() -> None:
    assert share(0, 0).low is None


def test_the_mean_lies_in_its_interval() -> None:
    score = mean_score(np.random.default_rng(0).normal(0.9, 0.05, 200))
    assert score.low is not None
    assert score.high is not None
    assert score.low < score.value < score.high
    assert score.high - score.low < 0.03


@given(seed=st.integers(0, 1000))
def test_dice_is_symmetric_and_between_0_and_1(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(size=(2, 3, 8, 8)) > 0.5
    assert np.array_equal(dice(a, b), dice(b, a))
    assert ((dice(a, b) >= 0) & (dice(a, b) <= 1)).all()
    assert dice(a, a).tolist() == [1, 1, 1]


def test_dice_of_two_empty_masks_is_1() -> None:
    empty = np.zeros((1, 4, 4), bool)
    assert dice(empty, empty).tolist() == [1]


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.5])
def test_the_temperature_undoes_a_scaling_of_the_logits(scale: float) -> None:
    logits, kinds = drawn_logits(scale)
    assert fit_temperature(logits, kinds) == pytest.approx(scale, rel=0.05)


def test_true_probabilities_are_calibrated_and_sharpened_ones_are_not() -> None:
    logits, kinds = drawn_logits(1.0)
    sharpened = (3 * logits).astype(np.float32)
    assert expected_calibration_error(softmax(logits), kinds) < 0.02
    assert expected_calibration_error(softmax(sharpened), kinds) > 0.08


def test_abstention_reaches_the_accuracy_it_was_asked_for() -> None:
    logits, kinds = drawn_logits(1.0)
    probabilities = softmax(logits)
    threshold = abstention_threshold(probabilities, kinds, wanted_accuracy=0.9, most_abstained=0.99)
    named = probabilities.max(1) >= threshold
    assert (probabilities.argmax(1) == kinds)[named].mean() >= 0.9
    assert threshold > 0.3


def test_abstention_never_leaves_more_cells_out_than_allowed() -> None:
    logits, kinds = drawn_logits(1.0)
    probabilities = softmax(logits)
    threshold = abstention_threshold(
        probabilities, kinds, wanted_accuracy=0.999, most_abstained=0.1
    )
    assert (probabilities.max(1) < threshold).mean() <= 0.1001
