"""Focus: peaks of stacks, and surfaces recovered from points with outliers."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from device.acquisition.focus_map import FocusMap, extrapolate_z_um, fit_focus_map
from device.imaging.focus import (
    FocusPoint,
    Miss,
    Peak,
    contrast,
    find_common_peak,
    find_peak,
    sharpness,
)

GRID_UM = [(x, y) for y in (0.0, 2700.0, 5400.0) for x in (0.0, 4700.0, 9400.0)]


def texture(seed: int = 0, blobs: int = 60) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    image = np.full((240, 320), 3000.0, np.float32)
    for x, y in rng.integers(20, 220, (blobs, 2)):
        cv2.circle(image, (int(x) + 40, int(y)), 9, 2000.0, -1)
    return image


def blurred(image: NDArray[np.float32], sigma_px: float) -> NDArray[np.uint16]:
    return cv2.GaussianBlur(image, (0, 0), sigma_px).astype(np.uint16)


@pytest.mark.parametrize("measure", [contrast, sharpness])
def test_both_measures_fall_with_blur(measure: object) -> None:
    assert callable(measure)
    values = [measure(blurred(texture(), sigma_px)) for sigma_px in (0.8, 1.5, 3.0, 6.0)]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.5 * values[0]


@pytest.mark.parametrize("measure", [contrast, sharpness])
def test_both_measures_ignore_the_brightness_of_the_lamp(measure: object) -> None:
    assert callable(measure)
    image = texture()
    assert measure(image) == pytest.approx(measure(0.8 * image), rel=1e-3)


def test_sharpness_compares_fields_of_different_content_and_contrast_does_not() -> None:
    few, many = blurred(texture(1, 20), 1.0), blurred(texture(2, 60), 1.0)
    assert sharpness(few) == pytest.approx(sharpness(many), rel=0.15)
    assert contrast(few) < 0.6 * contrast(many)


@given(
    best_um=st.floats(-1.4, 1.4),
    height=st.floats(0.01, 10.0),
    width_um=st.floats(1.0, 4.0),
)
def test_the_peak_of_a_parabola_is_found_exactly(
    best_um: float, height: float, width_um: float
) -> None:
    z_um = [5000.0 + 0.5 * i for i in range(-4, 5)]
    values = [height * (20.0 - ((z - 5000.0 - best_um) / width_um) ** 2) for z in z_um]
    assume(max(values) > 1.06 * min(values[0], values[-1]))
    assume(max(values) > 1.04 * max(values[0], values[-1]))
    peak = find_peak(z_um, values)
    assert isinstance(peak, Peak)
    assert peak.z_um == pytest.approx(5000.0 + best_um, abs=1e-3)


@pytest.mark.parametrize(
    ("values", "outcome"),
    [
        ([1.0, 1.01, 1.02, 1.01, 1.0], Miss.EMPTY),
        ([1.0, 1.2, 1.4, 1.6, 1.8], Miss.ABOVE),
        ([1.8, 1.6, 1.4, 1.2, 1.0], Miss.BELOW),
    ],
)
def test_a_stack_without_a_peak_says_why(values: list[float], outcome: Miss) -> None:
    assert find_peak([0.0, 0.5, 1.0, 1.5, 2.0], values) is outcome


def test_a_wrong_step_on_a_slope_is_no_peak() -> None:
    # One stage step went the wrong way far above the focus; the way on is still down.
    z_um = [4995.6, 4996.1, 4996.6, 4997.1, 4997.6, 4998.1]
    assert find_peak(z_um, [1.039, 1.043, 0.956, 0.908, 0.842, 0.809]) is Miss.BELOW
    z_um = [5000.0, 5000.5, 5001.0, 5001.5, 5002.0]
    assert find_peak(z_um, [0.8, 0.85, 0.9, 0.95, 0.94]) is Miss.ABOVE


HEIGHTS_UM = [5000.0 + 0.5 * i for i in range(-4, 5)]


def field_of(peaks_um: list[float | None]) -> list[NDArray[np.float64]]:
    """Return the contrasts of blocks with these peaks, or nothing to see, at all heights."""
    return [
        np.array([1.0 if p is None else 2.0 - ((z - p) / 4.0) ** 2 for p in peaks_um])
        for z in HEIGHTS_UM
    ]


def test_the_focus_is_where_most_blocks_have_it_whatever_dust_lies_on_one() -> None:
    peaks_um: list[float | None] = [5000.3 + 0.01 * i for i in range(-7, 8)]
    field = field_of([*peaks_um, 4998.9])
    for blocks in field:
        blocks[-1] *= 100.0
    peak = find_common_peak(HEIGHTS_UM, field)
    assert isinstance(peak, Peak)
    assert peak.z_um == pytest.approx(5000.3, abs=0.02)
    whole = find_peak(HEIGHTS_UM, [float(blocks.mean()) for blocks in field])
    assert isinstance(whole, Peak)
    assert whole.z_um < 4999.1


@pytest.mark.parametrize(
    ("peaks_um", "outcome"),
    [
        ([5004.0] * 9 + [5000.0] * 7, Miss.ABOVE),
        ([4996.0] * 5 + [None] * 8 + [5000.0] * 3, Miss.BELOW),
        ([5000.0] * 2 + [None] * 14, Miss.EMPTY),
    ],
)
def test_blocks_that_see_no_peak_outvote_those_that_do(
    peaks_um: list[float | None], outcome: Miss
) -> None:
    assert find_common_peak(HEIGHTS_UM, field_of(peaks_um)) is outcome


def test_a_few_cells_in_a_corner_are_enough_to_focus_on() -> None:
    peak = find_common_peak(HEIGHTS_UM, field_of([5000.4, 5000.5, 5000.6, *[None] * 13]))
    assert isinstance(peak, Peak)
    assert peak.z_um == pytest.approx(5000.5)


def surface_um(coefficients: list[float], x_um: float, y_um: float) -> float:
    x, y = x_um / 1000.0, y_um / 1000.0
    terms = [1.0, x, y, x * x, x * y, y * y]
    return sum(c * t for c, t in zip(coefficients, terms, strict=False))


planes = st.tuples(st.floats(4900.0, 5100.0), st.floats(-3.0, 3.0), st.floats(-3.0, 3.0)).map(list)
noises = st.lists(st.floats(-0.1, 0.1), min_size=9, max_size=9)


def points_on(coefficients: list[float], noise_um: list[float]) -> list[FocusPoint]:
    return [
        FocusPoint(x, y, surface_um(coefficients, x, y) + noise)
        for (x, y), noise in zip(GRID_UM, noise_um, strict=True)
    ]


def largest_error_um(fitted: FocusMap, coefficients: list[float]) -> float:
    return max(abs(fitted.predict_z_um(x, y) - surface_um(coefficients, x, y)) for x, y in GRID_UM)


@given(planes, noises)
def test_a_plane_is_recovered(plane: list[float], noise_um: list[float]) -> None:
    fitted = fit_focus_map(points_on(plane, noise_um))
    assert len(fitted.coefficients) == 3
    assert largest_error_um(fitted, plane) < 0.25


@given(
    planes,
    noises,
    st.lists(st.integers(0, 8), min_size=1, max_size=2, unique=True),
    st.lists(st.floats(4.0, 30.0), min_size=2, max_size=2),
    st.booleans(),
)
def test_a_plane_is_recovered_under_two_outliers(
    plane: list[float],
    noise_um: list[float],
    wrong: list[int],
    errors_um: list[float],
    upwards: bool,
) -> None:
    points = points_on(plane, noise_um)
    for index, error_um in zip(wrong, errors_um, strict=False):
        p = points[index]
        points[index] = FocusPoint(p.x_um, p.y_um, p.z_um + (error_um if upwards else -error_um))
    fitted = fit_focus_map(points)
    assert largest_error_um(fitted, plane) < 0.5
    assert [i for i, used in enumerate(fitted.inliers) if not used] == sorted(wrong)


@given(planes, noises, st.floats(0.15, 0.5), st.floats(-0.3, 0.3))
def test_curvature_is_fitted_when_the_plane_leaves_too_much(
    plane: list[float], noise_um: list[float], bow: float, twist: float
) -> None:
    curved = [*plane, bow, twist, bow / 2]
    fitted = fit_focus_map(points_on(curved, noise_um))
    assert len(fitted.coefficients) == 6
    assert largest_error_um(fitted, curved) < 0.5
    assert fitted.rms_um < 0.2


def test_residuals_are_measured_minus_map_for_outliers_too() -> None:
    points = points_on([5000.0, 1.0, 0.0], [0.0] * 9)
    points[4] = FocusPoint(points[4].x_um, points[4].y_um, points[4].z_um + 7.0)
    fitted = fit_focus_map(points)
    assert fitted.residuals_um[4] == pytest.approx(7.0, abs=1e-6)
    assert not fitted.inliers[4]


@pytest.mark.parametrize(
    "points",
    [
        [FocusPoint(x, y, 5000.0) for x, y in GRID_UM[:4]],
        [FocusPoint(100.0 * i, 50.0 * i, 5000.0) for i in range(6)],
    ],
    ids=["four points", "points on a line"],
)
def test_too_little_for_a_surface_is_an_error(points: list[FocusPoint]) -> None:
    with pytest.raises(ValueError, match="focus points"):
        fit_focus_map(points)


@given(planes)
def test_six_points_predict_a_plane_and_one_predicts_no_tilt(plane: list[float]) -> None:
    points = points_on(plane, [0.0] * 9)
    predicted_um = extrapolate_z_um(points[:6], *GRID_UM[8])
    assert predicted_um == pytest.approx(surface_um(plane, *GRID_UM[8]), abs=2.0)
    assert extrapolate_z_um(points[:1], *GRID_UM[8]) == pytest.approx(points[0].z_um)


@given(planes, st.floats(-0.3, 0.3))
def test_the_fifth_point_of_a_cross_completes_the_curvature(plane: list[float], bow: float) -> None:
    points = points_on([*plane, bow, 0.0, bow / 2], [0.0] * 9)
    cross = [points[index] for index in (4, 1, 7, 3, 5)]
    corner = points[8]
    assert extrapolate_z_um(cross, corner.x_um, corner.y_um) == pytest.approx(corner.z_um, abs=0.5)


def test_measured_places_are_predicted_as_measured() -> None:
    points = points_on([5000.0, 1.5, -0.8, 0.1, 0.0, 0.05], [0.0] * 9)[:4]
    for point in points:
        assert extrapolate_z_um(points, point.x_um, point.y_um) == pytest.approx(
            point.z_um, abs=0.2
        )


def test_nothing_measured_predicts_nothing() -> None:
    with pytest.raises(ValueError, match="no focus point"):
        extrapolate_z_um([], 0.0, 0.0)
