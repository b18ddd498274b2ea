"""Pseudo-colour of a field from its images at 260, 280 and 300 nm: the truth of the virtual stain.

Three wavelengths tell three absorbers apart: nucleic acid, hemoglobin and protein (Zeskind et al.,
Nature Methods 2007; Ojaghi et al., PNAS 2020).  Their shares of the optical density at 260 nm are
then drawn as three dyes with the colours of Giemsa's stain, by Beer and Lambert's law.  Granules
hold no absorber of their own, so where the kind of a cell is known, what is not nucleic acid in an
eosinophil is drawn in the dye of eosin, and in a basophil in that of azure.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from hal.sim.blood.masses import (
    HEMOGLOBIN_UM2_PER_PG,
    NUCLEIC_ACID_UM2_PER_PG,
    PROTEIN_UM2_PER_PG,
)

Float32Array = NDArray[np.float32]

ABSORBERS = ("nucleic_acid", "protein", "hemoglobin")
EXTINCTION_UM2_PER_PG = np.array(
    [NUCLEIC_ACID_UM2_PER_PG, PROTEIN_UM2_PER_PG, HEMOGLOBIN_UM2_PER_PG], np.float64
).T
"""Decadic mass extinction, rows 260, 280, 300 nm, columns ``ABSORBERS``."""

# Density of each dye in red, green and blue light, per optical density at 260 nm.  The hues are
# Giemsa's; the strengths give every dye the same lightness at the same density, so that the
# lightness of the picture follows the gray of the 260 nm image.
DYES = {
    "nucleic_acid": (1.95, 3.70, 1.00),
    "protein": (3.60, 2.50, 0.65),
    "hemoglobin": (0.70, 3.40, 3.55),
    "eosinophil": (0.25, 3.05, 5.60),
    "basophil": (3.60, 2.75, 0.55),
}
GRANULES = ("eosinophil", "basophil")
SMOOTHING_PX = 1.2
"""Of the 300 nm image little but noise is left in thin parts; shares of absorbers are smooth."""

GLASS = 0.91
"""sRGB value of blank glass: the brightening after staining makes it white."""

FAINT_OD = 0.006
"""Density below which the shares mean nothing: the blank is drawn in no colour."""

_LEAST_TRANSMISSION = 1e-3


def mix(masses_pg_per_um2: Float32Array) -> Float32Array:
    """Return the optical densities (3, ...) at 260, 280, 300 nm of areal masses (3, ...)."""
    flat = masses_pg_per_um2.reshape(len(ABSORBERS), -1)
    density = EXTINCTION_UM2_PER_PG.astype(np.float32) @ flat
    return np.asarray(density.reshape(masses_pg_per_um2.shape), np.float32)


def unmix(optical_density: Float32Array) -> Float32Array:
    """Return the non-negative areal masses, pg/um2, that fit optical densities best.

    Non-negative least squares (Lawson and Hanson 1974), exact: with three absorbers every choice
    of those that are present is tried, and the best feasible one kept.

    Args:
        optical_density: float32 (3, ...), decadic, at 260, 280, 300 nm.

    Returns:
        float32 of the same shape, in the order of ``ABSORBERS``.
    """
    density = optical_density.reshape(3, -1)
    best = np.zeros_like(density)
    least = np.square(density).sum(0)
    for count in range(1, len(ABSORBERS) + 1):
        for present in combinations(range(len(ABSORBERS)), count):
            columns = EXTINCTION_UM2_PER_PG[:, present]
            masses = np.linalg.pinv(columns).astype(np.float32) @ density
            cost = np.square(density - columns.astype(np.float32) @ masses).sum(0)
            better = (masses >= 0).all(0) & (cost < least)
            least = np.where(better, cost, least)
            chosen = np.zeros_like(density)
            chosen[list(present)] = masses
            best = np.where(better, chosen, best)
    return best.reshape(optical_density.shape)


def optical_density(transmission: Float32Array) -> Float32Array:
    """Return the decadic optical density of a transmission."""
    return np.asarray(-np.log10(np.maximum(transmission, _LEAST_TRANSMISSION)), np.float32)


def shares(transmission: Float32Array) -> Float32Array:
    """Return which share of the density at 260 nm each absorber has, float32 (3, h, w).

    They sum to one where there is anything to share, and fall to zero on blank glass.

    Args:
        transmission: float32 (3, h, w), flat-fielded, at 260, 280, 300 nm; 1 is blank glass.
    """
    smooth = np.stack([cv2.GaussianBlur(plane, (0, 0), SMOOTHING_PX) for plane in transmission])
    masses = unmix(optical_density(smooth))
    part = masses * EXTINCTION_UM2_PER_PG[0].astype(np.float32)[:, None, None]
    return np.asarray(part / (part.sum(0) + np.float32(FAINT_OD)), np.float32)


def pseudo_colour(
    transmission: Float32Array, granules: Mapping[str, Float32Array] | None = None
) -> NDArray[np.uint8]:
    """Render a field as if it were stained.

    Args:
        transmission: float32 (3, h, w), flat-fielded, at 260, 280, 300 nm; 1 is blank glass.
        granules: by kind (``GRANULES``) float32 (h, w), 0..1, where a cell of that kind lies.

    Returns:
        uint8 (h, w, 3), sRGB, before the brightening; ``GLASS`` on blank glass.
    """
    part = dict(zip(ABSORBERS, shares(transmission), strict=True))
    for kind, where in (granules or {}).items():
        part[kind] = np.zeros_like(where)
        for absorber in ("protein", "hemoglobin"):
            part[kind] += part[absorber] * where
            part[absorber] = part[absorber] * (1 - where)
    total = np.maximum(optical_density(transmission[0]), 0)
    density = sum(
        share[..., None] * np.array(DYES[name], np.float32) for name, share in part.items()
    )
    linear = np.power(np.float32(10.0), -density * total[..., None])
    return np.asarray(np.round(255 * GLASS * to_srgb(linear)), np.uint8)


def to_srgb(linear: Float32Array) -> Float32Array:
    """Return linear light 0..1 in the sRGB encoding (IEC 61966-2-1), 0..1."""
    power = np.float32(1.055) * np.power(linear, np.float32(1 / 2.4)) - np.float32(0.055)
    return np.where(linear <= 0.0031308, np.float32(12.92) * linear, power)
