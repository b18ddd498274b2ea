"""The mathematics of the calibration steps: matrix, backlash, shifts, limits."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from device.calibration.steps.backlash import backlash_of
from device.calibration.steps.camera_noise import gain_uncertainty
from device.calibration.steps.matrix_fit import CameraMatrix, fit_matrix
from device.calibration.steps.photon_transfer import TransferPoint
from device.calibration.steps.quantities import Quantity, judged
from device.calibration.steps.shift import large_shift_px, structure

PLACES = [(float(x), 0.0) for x in range(-300, 301, 50)] + [
    (0.0, float(y)) for y in range(-300, 301, 50)
]


def shifts_of(
    pixel_um: float, rotation_deg: float, mirrored: bool, *, noise_px: float = 0.0, seed: int = 0
) -> list[tuple[float, float]]:
    """Where the image is when the stage is at PLACES, for a camera that sits so."""
    angle, hand = math.radians(rotation_deg), -1.0 if mirrored else 1.0
    a = pixel_um * np.array(
        [[math.cos(angle), -hand * math.sin(angle)], [math.sin(angle), hand * math.cos(angle)]]
    )
    shifts = -np.asarray(PLACES) @ np.linalg.inv(a).T
    shifts += np.random.default_rng(seed).normal(0.0, noise_px, shifts.shape)
    return [(float(x), float(y)) for x, y in shifts + np.array([7.0, -3.0])]


pixels = st.floats(0.05, 1.5)
angles = st.floats(-179.0, 179.0)


@given(pixels, angles, st.booleans())
def test_exact_moves_give_the_camera_back(
    pixel_um: float, rotation_deg: float, mirrored: bool
) -> None:
    found = fit_matrix(PLACES, shifts_of(pixel_um, rotation_deg, mirrored))
    assert found.pixel_um == pytest.approx(pixel_um, rel=1e-9)
    assert found.rotation_deg == pytest.approx(rotation_deg, abs=1e-6)
    assert found.mirrored is mirrored
    assert found.anisotropy == pytest.approx(0.0, abs=1e-9)
    assert found.residual_um == pytest.approx(0.0, abs=1e-6)


@given(pixels, angles, st.booleans(), st.floats(0.1, 5.0))
def test_other_units_of_the_stage_change_the_pixel_size_alone(
    pixel_um: float, rotation_deg: float, mirrored: bool, factor: float
) -> None:
    shifts = shifts_of(pixel_um, rotation_deg, mirrored, noise_px=1.0, seed=3)
    plain = fit_matrix(PLACES, shifts)
    scaled = fit_matrix([(factor * x, factor * y) for x, y in PLACES], shifts)
    assert scaled.pixel_um == pytest.approx(factor * plain.pixel_um, rel=1e-6)
    turned = (scaled.rotation_deg - plain.rotation_deg + 180.0) % 360.0 - 180.0
    assert turned == pytest.approx(0.0, abs=1e-5)


def test_the_stated_uncertainty_holds_the_truth_in_19_of_20_measurements() -> None:
    found = [
        fit_matrix(PLACES, shifts_of(0.165, 1.0, False, noise_px=6.0, seed=seed))
        for seed in range(400)
    ]

    def held(inside: list[bool]) -> float:
        return sum(inside) / len(inside)

    assert 0.92 <= held([_near(m) for m in found]) <= 0.98
    turned = [abs(m.rotation_deg - 1.0) <= m.rotation_uncertainty_deg for m in found]
    assert 0.92 <= held(turned) <= 0.98


def _near(matrix: CameraMatrix) -> bool:
    return abs(matrix.pixel_um - 0.165) <= matrix.pixel_uncertainty_um


def test_moves_along_one_line_make_no_matrix() -> None:
    line = [(float(x), 2.0 * x) for x in range(8)]
    with pytest.raises(ValueError, match="span"):
        fit_matrix(line, line)
    with pytest.raises(ValueError, match="too few"):
        fit_matrix(PLACES[:3], PLACES[:3])


@given(st.floats(-20.0, 20.0), st.lists(st.floats(-100.0, 100.0), min_size=2, max_size=4))
def test_backlash_does_not_depend_on_where_the_places_are(
    backlash_um: float, places_um: list[float]
) -> None:
    below = [0.3, -0.3, 0.1, -0.1]
    visits = [([at + b for b in below], [at + backlash_um + b for b in below]) for at in places_um]
    found = backlash_of(visits)
    assert found.backlash_um == pytest.approx(backlash_um, abs=1e-9)
    assert found.repeatability_um == pytest.approx(float(np.std(below) * math.sqrt(4 / 3)))


def test_single_visits_are_judged_by_what_the_places_disagree() -> None:
    found = backlash_of([([0.0], [2.0]), ([5.0], [7.2]), ([9.0], [10.8])])
    assert found.backlash_um == pytest.approx(2.0)
    assert found.repeatability_um == pytest.approx(0.2 / math.sqrt(2.0))
    assert found.uncertainty_um == pytest.approx(4.303 * 0.2 / math.sqrt(3.0), rel=1e-3)


@settings(max_examples=20)
@given(st.integers(-120, 120), st.integers(-90, 90), st.integers(0, 50))
def test_frames_that_overlap_in_part_are_registered(dx: int, dy: int, seed: int) -> None:
    assume(max(abs(dx), abs(dy)) > 0)
    height, width = 240, 320
    rng = np.random.default_rng(seed)
    world = np.full((480, 600), 3000.0, np.float32)
    for x, y in rng.integers(0, (600, 480), (220, 2)):
        cv2.circle(world, (int(x), int(y)), 8, 2200.0, -1)
    fixed = world[120 : 120 + height, 140 : 140 + width]
    moving = world[120 - dy : 120 - dy + height, 140 - dx : 140 - dx + width]
    noisy = [image + rng.normal(0.0, 20.0, image.shape) for image in (fixed, moving)]
    guess = (dx + rng.uniform(-12, 12), dy + rng.uniform(-12, 12))
    found = large_shift_px(structure(noisy[0]), structure(noisy[1]), guess)
    assert found is not None
    assert found == pytest.approx((dx, dy), abs=0.3)


def test_frames_without_common_ground_are_not_registered() -> None:
    rng = np.random.default_rng(1)
    first, second = (structure(rng.normal(3000.0, 25.0, (240, 320))) for _ in range(2))
    assert large_shift_px(first, second) is None
    assert large_shift_px(first, first, (300.0, 0.0)) is None


def test_a_value_outside_its_limits_is_refused_with_its_remedy() -> None:
    values = (Quantity("gain", 3.0, "e", None, 1.0, 5.0), Quantity("noise", 9.0, "e", high=8.0))
    outcome = judged({"gain": "CALIBRATION-GAIN", "noise": "CALIBRATION-NOISE"}, values)
    assert outcome.refusal is not None
    assert outcome.refusal.as_dict() == {
        "code": "CALIBRATION-NOISE",
        "cause": "The camera's read noise is 9 e; accepted: at most 8 e.",
        "remedy": "Let the camera cool down and repeat. If the noise stays high, have the camera "
        "replaced.",
    }
    assert judged({}, values[:1]).refusal is None


def test_scattered_points_make_the_gain_less_certain() -> None:
    def points(noise: float) -> tuple[TransferPoint, ...]:
        rng = np.random.default_rng(2)
        return tuple(
            TransferPoint(s / 50, s, s / 4.0 + 2.0 + float(rng.normal(0.0, noise)), False)
            for s in np.linspace(300.0, 2700.0, 9)
        )

    quiet, loud = gain_uncertainty(points(1.0), 4.0), gain_uncertainty(points(10.0), 4.0)
    assert 0.0 < quiet < 0.05
    assert loud == pytest.approx(10.0 * quiet, rel=0.01)
