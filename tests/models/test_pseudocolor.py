"""Laws of unmixing and of the pseudo-colour that the virtual stain learns."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import nnls

from models.train.stain.pseudocolor import (
    ABSORBERS,
    EXTINCTION_UM2_PER_PG,
    GLASS,
    mix,
    pseudo_colour,
    shares,
    to_srgb,
    unmix,
)

mass = st.floats(0, 3, width=32)


def transmission_of(*masses_pg_per_um2: float) -> NDArray[np.float32]:
    """Return the transmission of a field filled evenly, float32 (3, 12, 12)."""
    masses = np.array(masses_pg_per_um2, np.float32).reshape(3, 1, 1)
    return np.asarray(10 ** -mix(np.broadcast_to(masses, (3, 12, 12))), np.float32)


@settings(max_examples=40)
@given(masses=st.tuples(mass, mass, mass))
def test_unmixing_undoes_mixing(masses: tuple[float, float, float]) -> None:
    true = np.array(masses, np.float32).reshape(3, 1)
    found = unmix(mix(true))
    assert (found >= 0).all()
    # The matrix is near singular, so that rounding of the densities shows in the masses.
    assert np.allclose(found, true, atol=2e-4)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_unmixing_is_non_negative_least_squares(seed: int) -> None:
    density = np.random.default_rng(seed).normal(0.05, 0.1, (3, 4)).astype(np.float32)
    found = unmix(density)
    for column, masses in zip(density.T, found.T, strict=True):
        wanted, residual = nnls(EXTINCTION_UM2_PER_PG, column.astype(np.float64))
        reached = np.linalg.norm(EXTINCTION_UM2_PER_PG @ masses.astype(np.float64) - column)
        assert (masses >= 0).all()
        assert reached == pytest.approx(residual, abs=1e-5)
        assert np.allclose(masses, wanted, atol=1e-3)


def test_shapes_stay() -> None:
    assert unmix(np.zeros((3, 5, 7), np.float32)).shape == (3, 5, 7)


@pytest.mark.parametrize(("which", "amount"), [(0, 0.15), (1, 0.6), (2, 0.7)], ids=ABSORBERS)
def test_one_absorber_has_all_the_share(which: int, amount: float) -> None:
    masses = np.zeros(3)
    masses[which] = amount
    found = shares(transmission_of(*masses))[:, 6, 6]
    assert found[which] > 0.8
    assert np.delete(found, which).max() < 0.02


def test_blank_glass_is_neutral() -> None:
    picture = pseudo_colour(np.ones((3, 12, 12), np.float32))
    assert (picture == round(255 * GLASS)).all()


def test_absorbers_have_the_colours_of_giemsa() -> None:
    red, green, blue = pseudo_colour(transmission_of(0.15, 0, 0))[6, 6].astype(int)
    assert blue > red > green
    red, green, blue = pseudo_colour(transmission_of(0, 0, 0.7))[6, 6].astype(int)
    assert red > green + 40
    assert red > blue + 40
    red, green, blue = pseudo_colour(transmission_of(0, 0.5, 0))[6, 6].astype(int)
    assert blue > green > red
    assert min(red, green, blue) > 180


def test_granules_of_known_cells_are_orange_and_dark_blue() -> None:
    field = transmission_of(0, 0.7, 0)
    everywhere = np.ones(field.shape[1:], np.float32)
    red, green, blue = pseudo_colour(field, {"eosinophil": everywhere})[6, 6].astype(int)
    assert red > green > blue
    red, green, blue = pseudo_colour(field, {"basophil": everywhere})[6, 6].astype(int)
    assert blue > green + 20
    assert green > red


@settings(max_examples=25)
@given(
    nucleic_acid=st.floats(0, 0.2),
    protein=st.floats(0, 0.8),
    hemoglobin=st.floats(0, 1.2),
)
def test_lightness_follows_the_transmission_at_260_nm(
    nucleic_acid: float, protein: float, hemoglobin: float
) -> None:
    field = transmission_of(nucleic_acid, protein, hemoglobin)
    picture = pseudo_colour(field)[:1, :1].astype(np.float32) / 255
    glass = cv2.cvtColor(np.full((1, 1, 3), GLASS, np.float32), cv2.COLOR_RGB2LAB)[0, 0, 0]
    lightness = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB)[0, 0, 0]
    assert lightness == pytest.approx(glass * field[0, 0, 0], abs=6)


def test_the_encoding_is_that_of_srgb() -> None:
    # IEC 61966-2-1: 18 % gray is 118 of 255, and both pieces meet.
    assert round(255 * float(to_srgb(np.float32([0.18]))[0])) == 118
    low, high = to_srgb(np.float32([0.0031308, 0.0031309]))
    assert abs(high - low) < 1e-4
