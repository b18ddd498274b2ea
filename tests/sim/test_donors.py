import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal.errors import InputError
from hal.sim.blood.donors import HEALTHY_SHARES, KINDS, LIVE_TYPES, make_donor, paper_cohort

SPECS = [
    "healthy:42",
    "sickle:1",
    "thrombocytopenia:3",
    "neutropenia-mild:7",
    "neutropenia-moderate:7",
    "neutropenia-severe:7",
    "eosinophilia:2",
    "leukopenia:5",
]


@pytest.mark.parametrize("spec", SPECS)
def test_shares_sum_to_one_and_the_donor_is_reproducible(spec):
    donor = make_donor(spec)
    assert set(donor.composition) == set(LIVE_TYPES)
    assert math.isclose(sum(donor.composition.values()), 1.0)
    assert set(donor.kind_shares) == set(KINDS)
    assert math.isclose(sum(donor.kind_shares.values()), 1.0)
    assert donor == make_donor(spec)
    assert donor.name == spec


@given(st.sampled_from([spec.partition(":")[0] for spec in SPECS]), st.integers(0, 2**70))
def test_every_seed_gives_a_possible_donor(disease, seed):
    donor = make_donor(f"{disease}:{seed}")
    assert all(0.0 <= share <= 1.0 for share in donor.kind_shares.values())
    assert 0.0 < donor.wbc_per_mm2 < 60.0
    assert 0.0 < donor.dead_fraction <= 0.16
    assert 27.0 <= donor.mch_pg <= 33.0
    assert 0.9 <= donor.mass_factor <= 1.1
    assert 0.92 <= donor.size_factor <= 1.08


def test_healthy_donors_lie_within_the_reference_ranges():
    for donor in (make_donor(f"healthy:{seed}") for seed in range(30)):
        for kind, (low, high) in HEALTHY_SHARES.items():
            assert low <= donor.composition[kind] <= high, donor.name
        assert 5.5 <= donor.wbc_per_mm2 <= 17.0, donor.name


@pytest.mark.parametrize(
    ("grade", "low", "high"), [("mild", 1.0, 1.5), ("moderate", 0.5, 1.0), ("severe", 0.0, 0.5)]
)
def test_neutropenia_grades_are_absolute_neutrophil_counts(grade, low, high):
    for seed in range(10):
        donor = make_donor(f"neutropenia-{grade}:{seed}")
        assert low <= donor.wbc_per_nl * donor.kind_shares["neutrophil"] <= high


def test_each_disease_shows_in_its_own_quantity():
    for seed in range(10):
        healthy = make_donor(f"healthy:{seed}")
        thrombocytopenia = make_donor(f"thrombocytopenia:{seed}")
        assert thrombocytopenia.platelets_per_nl < 100.0 < 150.0 < healthy.platelets_per_nl
        assert 0.05 <= make_donor(f"sickle:{seed}").sickled_fraction <= 0.30
        assert healthy.sickled_fraction == 0.0
        assert make_donor(f"leukopenia:{seed}").wbc_per_nl < 4.5
        eosinophilia = make_donor(f"eosinophilia:{seed}")
        assert eosinophilia.wbc_per_nl * eosinophilia.kind_shares["eosinophil"] > 0.5


def test_white_cells_on_the_slide_follow_from_the_blood_count():
    donor = make_donor("healthy:42")
    expected = donor.rbc_per_mm2 * donor.wbc_per_nl / (donor.rbc_per_pl * 1000.0)
    assert math.isclose(donor.wbc_per_mm2, expected)


@pytest.mark.parametrize("spec", ["", "healthy", "healthy:", "healthy:-1", "healthy:1.5", "flu:1"])
def test_bad_specifications_name_the_valid_ones(spec):
    with pytest.raises(InputError) as caught:
        make_donor(spec)
    assert "neutropenia-severe" in caught.value.remedy
    assert caught.value.error_code == "INPUT-DONOR"


def test_paper_cohort_has_23_different_donors():
    cohort = paper_cohort(5)
    diseases = [donor.disease.partition("-")[0] for donor in cohort]
    assert {name: diseases.count(name) for name in set(diseases)} == {
        "healthy": 4,
        "sickle": 4,
        "thrombocytopenia": 4,
        "neutropenia": 11,
    }
    assert len({donor.seed for donor in cohort}) == 23
    assert cohort == paper_cohort(5)
    assert cohort != paper_cohort(6)
