"""Figures of merit with their uncertainty."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import betaincinv

from models.classifier import softmax
from models.manifest import Score

CONFIDENCE = 0.95
BINS = 15
BOOTSTRAPS = 1000


def share(hits: int, n: int) -> Score:
    """Return ``hits / n`` with its exact interval (Clopper & Pearson 1934)."""
    if n == 0:
        return Score(value=0.0, n=0)
    tail = (1 - CONFIDENCE) / 2
    low = float(betaincinv(hits, n - hits + 1, tail)) if hits else 0.0
    high = float(betaincinv(hits + 1, n - hits, 1 - tail)) if hits < n else 1.0
    return Score(value=round(hits / n, 5), n=n, low=round(low, 5), high=round(high, 5))


def mean_score(values: NDArray[np.floating]) -> Score:
    """Return the mean of one value per unit with a percentile-bootstrap interval (Efron 1979)."""
    n = len(values)
    if n == 0:
        return Score(value=0.0, n=0)
    rng = np.random.default_rng(1)
    means = [float(values[rng.integers(n, size=n)].mean()) for _ in range(BOOTSTRAPS)]
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Score(
        value=round(float(values.mean()), 5),
        n=n,
        low=round(float(low), 5),
        high=round(float(high), 5),
    )


def dice(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return Dice's coefficient per image of (n, h, w); 1 where both are empty."""
    overlap = 2.0 * (predicted & truth).sum((1, 2))
    total = predicted.sum((1, 2)) + truth.sum((1, 2))
    return np.where(total > 0, overlap / np.maximum(total, 1), 1.0)


def fit_temperature(logits: NDArray[np.float32], kinds: NDArray[np.uint8]) -> float:
    """Return the temperature of least negative log-likelihood (Guo et al., ICML 2017)."""
    rows = np.arange(len(kinds))

    def cost(log_temperature: float) -> float:
        probability = softmax((logits / np.exp(log_temperature)).astype(np.float32))
        return float(-np.log(np.maximum(probability[rows, kinds], 1e-7)).mean())

    return float(np.exp(minimize_scalar(cost, bounds=(-3.0, 3.0), method="bounded").x))


def expected_calibration_error(
    probabilities: NDArray[np.float32], kinds: NDArray[np.uint8]
) -> float:
    """Return the mean gap of confidence and accuracy over ``BINS`` equal bins, weighted by n."""
    confidence = probabilities.max(1)
    correct = probabilities.argmax(1) == kinds
    which = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [
        abs(float(confidence[which == b].mean()) - float(correct[which == b].mean()))
        * float((which == b).mean())
        for b in np.unique(which)
    ]
    return float(sum(gaps))


def abstention_threshold(
    probabilities: NDArray[np.float32],
    kinds: NDArray[np.uint8],
    *,
    wanted_accuracy: float,
    most_abstained: float,
) -> float:
    """Return the least confidence at which the named cells are right often enough.

    Args:
        probabilities: calibrated, (n, classes).
        kinds: the truth.
        wanted_accuracy: of the cells that are named.
        most_abstained: share of cells that may stay unidentified; it wins over the accuracy.
    """
    confidence = probabilities.max(1)
    correct = probabilities.argmax(1) == kinds
    largest = float(np.quantile(confidence, most_abstained))
    for threshold in np.arange(0.30, 0.96, 0.01):
        if threshold >= largest:
            return round(max(largest, 0.30), 4)
        if correct[confidence >= threshold].mean() >= wanted_accuracy:
            return round(float(threshold), 4)
    return 0.95
