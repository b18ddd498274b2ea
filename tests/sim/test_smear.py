import random

import numpy as np
import pytest
from scipy.special import chdtrc, pdtr, pdtrc

from hal.errors import InputError
from hal.sim.blood.donors import KINDS, make_donor
from hal.sim.blood.red_cells import ROUND_CELLS
from hal.sim.blood.smear import BLANK_XY_UM, MONOLAYER_X_UM, MONOLAYER_Y_UM, Smear

CENTRE_UM = (37_000.0, 44_000.0)
MINIMUM_PROBABILITY = 1e-4


def test_order_of_access_does_not_matter():
    places = [(column, row) for column in range(285, 291) for row in range(340, 344)]
    shuffled = places.copy()
    random.Random(1).shuffle(shuffled)
    first = Smear(make_donor("sickle:3"), white_cell_enrichment=20.0)
    second = Smear(make_donor("sickle:3"), white_cell_enrichment=20.0)
    for column, row in shuffled:
        second.chunk(column, row)
    for column, row in places:
        one, other = first.chunk(column, row), second.chunk(column, row)
        assert one.white_cells == other.white_cells
        assert one.artefacts == other.artefacts
        np.testing.assert_array_equal(one.red_cells, other.red_cells)
        np.testing.assert_array_equal(one.platelets, other.platelets)


def test_composition_agrees_with_the_donor():
    donor = make_donor("eosinophilia:2")
    smear = Smear(donor, white_cell_enrichment=20.0)
    cells = smear.white_cells_near(*CENTRE_UM, 1600.0, 1600.0)
    kinds = [kind for kind in KINDS if donor.kind_shares[kind] * len(cells) >= 5.0]
    seen = np.array([sum(cell.kind == kind for cell in cells) for kind in kinds])
    expected = np.array([donor.kind_shares[kind] for kind in kinds])
    assert len(cells) > 1000
    expected *= seen.sum() / expected.sum()
    chi_square = ((seen - expected) ** 2 / expected).sum()
    assert chdtrc(len(seen) - 1, chi_square) > MINIMUM_PROBABILITY


def test_densities_agree_with_the_donor():
    donor = make_donor("healthy:11")
    smear = Smear(donor)
    white = len(smear.white_cells_near(*CENTRE_UM, 4000.0, 3900.0))
    expected = donor.wbc_per_mm2 * 8.0 * 7.8
    assert pdtr(white, expected) > MINIMUM_PROBABILITY
    assert pdtrc(white, expected) > MINIMUM_PROBABILITY
    chunks = smear.chunks_near(*CENTRE_UM, 700.0, 700.0)
    area_mm2 = len(chunks) * 0.128**2
    red = sum(len(chunk.red_cells) for chunk in chunks) / area_mm2
    platelets = sum(len(chunk.platelets) for chunk in chunks) / area_mm2
    assert red == pytest.approx(donor.rbc_per_mm2, rel=0.04)
    assert platelets == pytest.approx(donor.rbc_per_mm2 * donor.platelet_per_rbc, rel=0.2)


def test_sickled_share_agrees_with_the_donor():
    donor = make_donor("sickle:3")
    chunks = Smear(donor).chunks_near(*CENTRE_UM, 700.0, 700.0)
    bank = np.concatenate([chunk.red_cells[:, 2] for chunk in chunks])
    assert np.mean(bank >= ROUND_CELLS) == pytest.approx(donor.sickled_fraction, rel=0.1)


def test_composition_and_enrichment_override_the_donor():
    donor = make_donor("healthy:1")
    plain = Smear(donor).white_cells_near(*CENTRE_UM, 2000.0, 2000.0)
    rich = Smear(donor, white_cell_enrichment=5.0, composition={"basophil": 3, "dead": 1})
    cells = rich.white_cells_near(*CENTRE_UM, 2000.0, 2000.0)
    assert {cell.kind for cell in cells} == {"basophil", "dead"}
    assert np.mean([cell.kind == "dead" for cell in cells]) == pytest.approx(0.25, abs=0.06)
    assert len(cells) == pytest.approx(5 * len(plain), rel=0.25)


def test_white_cells_keep_their_distance():
    cells = Smear(make_donor("healthy:1"), white_cell_enrichment=40.0).white_cells_near(
        *CENTRE_UM, 400.0, 400.0
    )
    points = np.array([(cell.x_um, cell.y_um) for cell in cells])
    distance = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    assert distance[np.triu_indices(len(points), 1)].min() >= 13.5


def test_regions_of_the_slide():
    smear = Smear(make_donor("healthy:1"))
    assert smear.density_factor(*BLANK_XY_UM) == 0.0
    assert smear.density_factor(37_000.0, 38_400.0) == 0.0
    assert smear.density_factor(*CENTRE_UM) == 1.0
    assert smear.density_factor(22_000.0, 44_000.0) > 2.5
    assert 0.25 < smear.density_factor(46_000.0, 44_000.0) < 0.9
    blank = smear.chunks_near(*BLANK_XY_UM, 300.0, 300.0)
    assert all(len(chunk.red_cells) == len(chunk.platelets) == 0 for chunk in blank)
    assert not any(chunk.white_cells for chunk in blank)


@pytest.mark.parametrize("seed", range(8))
def test_focal_plane_is_tilted_and_curved_within_the_stage_travel(seed):
    smear = Smear(make_donor(f"healthy:{seed}"))
    x = np.linspace(*MONOLAYER_X_UM, 15)
    y = np.linspace(*MONOLAYER_Y_UM, 9)
    z = np.array([[smear.focus_z_um(a, b) for a in x] for b in y])
    assert abs(z.mean() - 5000.0) < 30.0
    assert 5.0 < np.ptp(z) < 60.0
    grid_x, grid_y = np.meshgrid(x / 1e4, y / 1e4)
    plane = np.stack([np.ones_like(grid_x), grid_x, grid_y], axis=-1).reshape(-1, 3)
    residual = z.ravel() - plane @ np.linalg.lstsq(plane, z.ravel(), rcond=None)[0]
    assert 0.3 < np.abs(residual).max() < 15.0


@pytest.mark.parametrize("composition", [{}, {"neutrophil": 0.0}, {"blast": 1.0}, {"dead": -1.0}])
def test_bad_compositions_are_refused(composition):
    with pytest.raises(InputError, match="composition"):
        Smear(make_donor("healthy:1"), composition=composition)


@pytest.mark.parametrize("factor", [-1.0, float("nan"), float("inf")])
def test_bad_enrichments_are_refused(factor):
    with pytest.raises(InputError, match="enrichment"):
        Smear(make_donor("healthy:1"), white_cell_enrichment=factor)
