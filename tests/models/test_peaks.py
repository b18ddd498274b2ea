from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.scout import peaks, sigmoid

GRID_PX = 8
BACKGROUND_LOGIT = -8.0


def bump(x_grid: float, y_grid: float, shape: tuple[int, int] = (24, 32)) -> NDArray[np.float32]:
    y, x = np.mgrid[: shape[0], : shape[1]]
    height = 12.0 * np.exp(-((x - x_grid) ** 2 + (y - y_grid) ** 2) / 3.0)
    return (BACKGROUND_LOGIT + height).astype(np.float32)


@given(x_grid=st.floats(1, 30), y_grid=st.floats(1, 22))
def test_a_bump_is_found_once_within_half_a_grid_cell(x_grid: float, y_grid: float) -> None:
    found = peaks(bump(x_grid, y_grid), 0.3, 7, GRID_PX)
    assert len(found) == 1
    wanted_px = np.array([x_grid + 0.5, y_grid + 0.5]) * GRID_PX - 0.5
    assert np.abs(found[0, :2] - wanted_px).max() < GRID_PX / 2


def test_a_symmetric_bump_lies_in_the_middle_of_its_grid_cell() -> None:
    found = peaks(bump(10, 5), 0.3, 7, GRID_PX)
    assert found[0, :2] == pytest.approx([10.5 * GRID_PX - 0.5, 5.5 * GRID_PX - 0.5], abs=1e-3)


@given(seed=st.integers(0, 10_000), window=st.sampled_from([3, 5, 7]), step=st.floats(0.05, 2))
def test_no_two_peaks_share_a_window_even_when_quantised(
    seed: int, window: int, step: float
) -> None:
    noise = np.random.default_rng(seed).normal(0, 2, (20, 20))
    logits = (np.round(noise / step) * step).astype(np.float32)
    grid = np.argwhere(sigmoid(logits) > 0.5)
    found = peaks(logits, 0.5, window, 1)
    assert len(found) > 0 or len(grid) == 0
    half = window // 2
    for i, one in enumerate(found):
        # the centroid moves each of two peaks by at most one grid cell
        distance = np.abs(found[i + 1 :, :2] - one[:2]).max(1)
        assert (distance >= half + 1 - 2).all()


@given(seed=st.integers(0, 10_000))
def test_a_higher_threshold_keeps_the_best_of_the_same_peaks(seed: int) -> None:
    logits = np.random.default_rng(seed).normal(-1, 2, (24, 24)).astype(np.float32)
    many, few = (peaks(logits, threshold, 5, GRID_PX) for threshold in (0.2, 0.6))
    assert np.array_equal(few, many[: len(few)])
    assert (np.diff(many[:, 2]) <= 0).all()
    assert (few[:, 2] >= 0.6 - 1e-6).all()


def test_a_constant_map_has_at_most_one_peak_per_window() -> None:
    flat = np.full((9, 9), 1.0, np.float32)
    assert len(peaks(flat, 0.5, 19, GRID_PX)) == 1


def test_nothing_above_the_threshold_gives_an_empty_array() -> None:
    found = peaks(np.full((9, 9), -5.0, np.float32), 0.5, 5, GRID_PX)
    assert found.shape == (0, 3)
    assert found.dtype == np.float32
