"""The multi-rule: worked situations, and laws that hold for any values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.quality.westgard import REJECTING, Rule, rejects, violated

MEAN, SD = 200.0, 4.0
"""A cholesterol control, mg/dL, of Westgard's lessons: 2 s limits 192, 208; 3 s limits 188, 212."""

Z = st.floats(-6.0, 6.0, allow_nan=False)
SERIES = st.lists(Z, max_size=25)


def of(values: Sequence[float]) -> tuple[Rule, ...]:
    return violated([(value - MEAN) / SD for value in values])


@pytest.mark.parametrize(
    ("values", "rules"),
    [
        ((), ()),
        ((208.0,), ()),
        ((208.4,), (Rule.ONE_2S,)),
        ((191.6,), (Rule.ONE_2S,)),
        ((212.0,), (Rule.ONE_2S,)),
        ((212.4,), (Rule.ONE_2S, Rule.ONE_3S)),
        ((187.0,), (Rule.ONE_2S, Rule.ONE_3S)),
        ((209.0, 210.0), (Rule.ONE_2S, Rule.TWO_2S)),
        ((191.0, 190.0), (Rule.ONE_2S, Rule.TWO_2S)),
        ((209.0, 207.0), ()),
        ((209.0, 191.0), (Rule.ONE_2S, Rule.R_4S)),
        ((191.0, 209.0), (Rule.ONE_2S, Rule.R_4S)),
        # A difference of 4 s alone is not enough: both must be beyond 2 s.
        ((211.0, 193.0), ()),
        ((209.0, 200.0, 191.0), (Rule.ONE_2S,)),
        ((205.0, 206.0, 204.5, 205.0), (Rule.FOUR_1S,)),
        ((195.0, 194.0, 195.5, 195.0), (Rule.FOUR_1S,)),
        ((205.0, 206.0, 203.0, 205.0, 206.0), ()),
        ((205.0, 195.0, 205.0, 206.0), ()),
        ((201.0,) * 9, ()),
        ((201.0,) * 10, (Rule.TEN_X,)),
        ((199.0,) * 10, (Rule.TEN_X,)),
        ((201.0,) * 9 + (200.0,), ()),
        ((199.0,) + (201.0,) * 9, ()),
        (
            (201.0,) * 6 + (205.0, 205.0, 209.0, 213.0),
            (Rule.ONE_2S, Rule.ONE_3S, Rule.TWO_2S, Rule.FOUR_1S, Rule.TEN_X),
        ),
    ],
)
def test_worked_situations(values: tuple[float, ...], rules: tuple[Rule, ...]) -> None:
    assert of(values) == rules


def test_the_warning_alone_does_not_reject() -> None:
    assert not rejects(())
    assert not rejects((Rule.ONE_2S,))
    assert all(rejects((Rule.ONE_2S, rule)) for rule in REJECTING)


@given(SERIES)
def test_both_sides_of_the_mean_are_alike(z: list[float]) -> None:
    assert violated([-value for value in z]) == violated(z)


@given(SERIES, st.lists(Z, min_size=10, max_size=10))
def test_only_the_last_ten_count(older: list[float], last: list[float]) -> None:
    assert violated([*older, *last]) == violated(last)


@given(SERIES)
def test_what_rejects_at_2_s_and_3_s_also_warns(z: list[float]) -> None:
    found = set(violated(z))
    if found & {Rule.ONE_3S, Rule.TWO_2S, Rule.R_4S}:
        assert Rule.ONE_2S in found


@given(SERIES)
def test_a_random_and_a_systematic_pair_exclude_each_other(z: list[float]) -> None:
    assert not {Rule.TWO_2S, Rule.R_4S} <= set(violated(z))


@given(st.lists(st.floats(-1.0, 1.0), max_size=25))
def test_within_1_s_only_a_long_row_on_one_side_is_unusual(z: list[float]) -> None:
    assert set(violated(z)) <= {Rule.TEN_X}


@given(st.lists(st.floats(1.01, 6.0), min_size=10, max_size=15))
def test_a_lasting_shift_is_found(z: list[float]) -> None:
    assert {Rule.FOUR_1S, Rule.TEN_X} <= set(violated(z))


def test_a_sound_instrument_is_rejected_as_rarely_as_the_normal_distribution_says() -> None:
    z = np.random.default_rng(1).normal(size=40_000)
    windows = [violated(z[end - 10 : end].tolist()) for end in range(10, len(z))]
    rejected = sum(map(rejects, windows)) / len(windows)
    # 1-3s 0.27 %, 2-2s and R-4s 0.10 % each, 4-1s 0.13 %, 10x 0.20 %; some coincide.
    assert 0.006 < rejected < 0.0085
