"""Kinds of white cells that are harder to tell apart; without overlap nothing changes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal.errors import InputError
from hal.factory import virtual_microscope
from hal.sim.blood.cell_draft import blended
from hal.sim.blood.cells import draw_diameter_um, white_cell
from hal.sim.blood.donors import KINDS, LIVE_TYPES, make_donor, with_class_overlap
from hal.sim.blood.masses import Channel
from hal.sim.blood.smear import Smear

DONOR = make_donor("healthy:5")
CENTRE_UM = (37_000.0, 44_000.0)
NUMBER = st.floats(-1e6, 1e6)


def drawn(kind, class_overlap, seed=3):
    donor = with_class_overlap(DONOR, class_overlap)
    diameter_um = draw_diameter_um(kind, donor, np.random.default_rng(seed))
    return white_cell(kind, ("overlap", kind, seed), diameter_um, donor, 0.33)


@given(own=NUMBER, common=NUMBER)
def test_without_overlap_every_number_stays_to_the_last_bit(own, common):
    assert blended(own, common, DONOR) == own


@given(own=NUMBER, common=NUMBER, share=st.floats(0.0, 1.0))
def test_a_number_moves_between_its_own_and_the_common_one(own, common, share):
    moved = blended(own, common, with_class_overlap(DONOR, share))
    slack = 1e-9 * (abs(own) + abs(common))
    assert min(own, common) - slack <= moved <= max(own, common) + slack


@pytest.mark.parametrize("kind", KINDS)
def test_an_overlap_of_zero_draws_the_same_cell(kind):
    plain = white_cell(kind, ("same", kind), 12.0, DONOR, 0.33)
    zero = white_cell(kind, ("same", kind), 12.0, with_class_overlap(DONOR, 0.0), 0.33)
    np.testing.assert_array_equal(plain.masses, zero.masses)
    np.testing.assert_array_equal(plain.depth_um, zero.depth_um)


def test_overlap_moves_no_cell_and_changes_no_kind():
    plain, alike = (
        Smear(with_class_overlap(DONOR, share), white_cell_enrichment=20.0).white_cells_near(
            *CENTRE_UM, 300.0, 300.0
        )
        for share in (0.0, 0.7)
    )
    assert len(plain) > 20
    assert [(c.id, c.kind, c.x_um, c.y_um) for c in plain] == [
        (c.id, c.kind, c.x_um, c.y_um) for c in alike
    ]


def spreads(class_overlap):
    """How far apart the means of the five types are: diameter, N:C, transmission of nuclei."""
    means = []
    for kind in LIVE_TYPES:
        cells = [drawn(kind, class_overlap, seed) for seed in range(24)]
        means.append(
            [
                np.mean([cell.area_um2**0.5 for cell in cells]),
                np.mean([cell.nucleus_area_um2 / cell.area_um2 for cell in cells]),
                np.mean([cell.nucleic_acid_pg / cell.nucleus_area_um2 for cell in cells]),
                np.mean([cell.masses[Channel.SCATTER].sum() for cell in cells]),
            ]
        )
    return np.ptp(means, axis=0)


@pytest.mark.slow
def test_types_come_closer_as_they_overlap():
    apart, half, alike = (spreads(share) for share in (0.0, 0.5, 1.0))
    assert (half < 0.9 * apart).all()
    assert (alike < 0.35 * apart).all()


@pytest.mark.parametrize("class_overlap", [-0.1, 1.1, float("nan")])
def test_an_overlap_out_of_range_is_refused(class_overlap):
    with pytest.raises(InputError, match="out of range"):
        virtual_microscope("healthy:3", class_overlap=class_overlap)
