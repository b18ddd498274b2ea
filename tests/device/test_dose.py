"""The dose ledger: what a field and a sample may receive, and what is left of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.imaging.dose import DoseLedger, DoseLimits

FIELD = (3, 4)
BLANK = (-1, 0)


def ledger(former_j_per_cm2: float = 0.0, **limits: float) -> DoseLedger:
    allowed = DoseLimits(exposures=16, **limits)
    return DoseLedger(allowed, irradiance_mw_per_cm2=10.0, former_j_per_cm2=former_j_per_cm2)


def test_a_field_has_all_its_exposures_before_the_first() -> None:
    assert ledger(field_mj_per_cm2=5.0).remaining(FIELD) == 16


@pytest.mark.parametrize(("given", "left"), [(1, 4), (4, 1), (5, 0), (6, 0)])
def test_the_dose_of_a_field_limits_its_exposures(given: int, left: int) -> None:
    book = ledger(field_mj_per_cm2=5.0)
    for _ in range(given):
        book.add(FIELD, 0.1)
    assert book.remaining(FIELD) == left


def test_the_number_of_exposures_limits_too() -> None:
    book = ledger(field_mj_per_cm2=1000.0)
    for _ in range(14):
        book.add(FIELD, 0.001)
    assert book.remaining(FIELD) == 2


def test_a_longer_exposure_anywhere_is_expected_everywhere() -> None:
    book = ledger(field_mj_per_cm2=5.0)
    book.add(FIELD, 0.1)
    book.add((9, 9), 0.2)
    assert book.remaining(FIELD) == 2


@given(
    st.lists(st.floats(0.001, 0.2), max_size=40),
    st.floats(1.0, 20.0),
)
def test_a_field_never_receives_more_than_its_limit_and_one_surprise(
    lights_s: list[float], limit_mj_per_cm2: float
) -> None:
    book = ledger(field_mj_per_cm2=limit_mj_per_cm2)
    for light_s in lights_s:
        if book.remaining(FIELD):
            book.add(FIELD, light_s)
    assert book.dose_mj_per_cm2(FIELD) <= limit_mj_per_cm2 + 10.0 * max(lights_s, default=0.0)
    assert book.exposures(FIELD) <= 16


@pytest.mark.parametrize(
    ("former_j_per_cm2", "spent"), [(0.0, False), (0.9979, False), (0.9985, True)]
)
def test_former_runs_count_for_the_sample(former_j_per_cm2: float, spent: bool) -> None:
    book = ledger(former_j_per_cm2, sample_j_per_cm2=1.0)
    book.add(FIELD, 0.1)
    assert book.sample_is_spent() is spent
    assert book.sample_j_per_cm2 == pytest.approx(former_j_per_cm2 + 0.001)
    assert book.run_j_per_cm2 == pytest.approx(0.001)


def test_blank_glass_is_light_but_not_the_sample() -> None:
    book = ledger(sample_j_per_cm2=0.01)
    for _ in range(30):
        book.add(BLANK, 0.1)
    assert book.run_j_per_cm2 == 0.0
    assert not book.sample_is_spent()
    assert book.light_s == pytest.approx(3.0)
    assert book.exposures_given == 30


def test_without_an_irradiance_only_exposures_count() -> None:
    book = DoseLedger(DoseLimits(2, 1.0, 1.0), irradiance_mw_per_cm2=0.0)
    book.add(FIELD, 1e6)
    assert book.remaining(FIELD) == 1
