"""Properties and reference values of SSIM and MS-SSIM."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.train.stain.similarity import LEAST_PX, SCALE_WEIGHTS, ssim_and_ms_ssim

SIDE_PX = 200


def pictures(seed: int, noise: float = 12.0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a smooth random picture and the same with noise."""
    rng = np.random.default_rng(seed)
    smooth = cv2.GaussianBlur(rng.uniform(-900, 1150, (SIDE_PX, SIDE_PX)), (0, 0), 6)
    first = np.clip(smooth, 0, 255)
    second = np.clip(first + rng.normal(0, noise, first.shape), 0, 255)
    return first.astype(np.uint8), second.astype(np.uint8)


@settings(max_examples=4)
@given(seed=st.integers(0, 1000))
def test_a_picture_is_wholly_like_itself_and_likeness_is_mutual(seed: int) -> None:
    first, second = pictures(seed)
    assert ssim_and_ms_ssim(first, first) == pytest.approx((1, 1))
    there, back = ssim_and_ms_ssim(first, second), ssim_and_ms_ssim(second, first)
    assert there == pytest.approx(back)
    assert 0 < there[0] < there[1] < 1


def test_more_noise_is_less_like() -> None:
    values = [ssim_and_ms_ssim(*pictures(3, noise)) for noise in (2, 8, 24)]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize(("one", "two"), [(100, 120), (0, 255), (7, 7)])
def test_even_planes_differ_by_the_luminance_term_alone(one: int, two: int) -> None:
    c1 = (0.01 * 255) ** 2
    luminance = (2 * one * two + c1) / (one**2 + two**2 + c1)
    planes = [np.full((SIDE_PX, SIDE_PX), level, np.uint8) for level in (one, two)]
    found = ssim_and_ms_ssim(planes[0], planes[1])
    # Four scales see equal structure; only the last holds the luminance.
    assert found == pytest.approx((luminance, luminance ** SCALE_WEIGHTS[-1]), abs=1e-6)


def test_opposite_structure_is_unlike() -> None:
    first, _ = pictures(5)
    one_scale, five_scales = ssim_and_ms_ssim(first, 255 - first)
    assert one_scale < 0
    assert five_scales == 0


def test_ssim_is_that_of_the_formula_window_by_window() -> None:
    first, second = (picture[:190, :180].astype(float) for picture in pictures(8))
    steps = np.arange(11) - 5
    weight = np.exp(-(steps**2) / (2 * 1.5**2))
    window = np.outer(weight, weight) / weight.sum() ** 2
    a, b = (np.lib.stride_tricks.sliding_window_view(image, (11, 11)) for image in (first, second))
    mean_a, mean_b = ((window * values).sum((2, 3), keepdims=True) for values in (a, b))
    variance_a = (window * (a - mean_a) ** 2).sum((2, 3))
    variance_b = (window * (b - mean_b) ** 2).sum((2, 3))
    covariance = (window * (a - mean_a) * (b - mean_b)).sum((2, 3))
    mean_a, mean_b = mean_a[..., 0, 0], mean_b[..., 0, 0]
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    values = luminance * (2 * covariance + c2) / (variance_a + variance_b + c2)
    assert ssim_and_ms_ssim(first, second)[0] == pytest.approx(values.mean(), abs=1e-9)


def test_planes_that_do_not_fit_are_refused() -> None:
    small = np.zeros((LEAST_PX - 1, SIDE_PX), np.uint8)
    with pytest.raises(ValueError, match="176 px"):
        ssim_and_ms_ssim(small, small)
    with pytest.raises(ValueError, match="one shape"):
        ssim_and_ms_ssim(np.zeros((200, 200)), np.zeros((200, 201)))
