"""What a thin dried object does to light: areal masses to optical density and phase.

Every object on the slide is a stack of maps in the order of :class:`Channel`.  Optical density
and phase are linear in these maps (Beer-Lambert), so objects that overlap add up.
"""

from __future__ import annotations

import math
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]


class Channel(IntEnum):
    """Index of each map of a mass stack, float32."""

    NUCLEIC_ACID = 0  # pg/um2
    PROTEIN = 1  # pg/um2
    HEMOGLOBIN = 2  # pg/um2
    SCATTER = 3  # optical density lost to scatter out of the pupil, at 260 nm
    RETARDATION = 4  # optical path added by granules, um


CHANNELS = len(Channel)

# Decadic mass extinction in um2/pg.  Hemoglobin: Prahl's HbO2 table over 64,500 g/mol; nucleic
# acid: 7000 (260 nm) and 3500 (280 nm) L/mol/cm per nucleotide; protein: mean blood protein.
WAVELENGTHS_NM = (260.0, 280.0, 300.0)
NUCLEIC_ACID_UM2_PER_PG = (2.12, 1.06, 0.05)
PROTEIN_UM2_PER_PG = (0.0684, 0.1027, 0.012)
HEMOGLOBIN_UM2_PER_PG = (0.1804, 0.2046, 0.1023)

DRY_DENSITY_PG_PER_UM3 = 1.35
# Dried protein has n = 1.5, but cells lie in a film of dried plasma, so only a small step is left
# at their edge.  A larger one would move the plane of best contrast out of the depth of field.
INDEX_STEP = 0.01


def extinction_um2_per_pg(table: tuple[float, float, float], wavelength_nm: float) -> float:
    """Interpolate a table of this module at ``wavelength_nm`` (260 to 300 nm)."""
    return float(np.interp(wavelength_nm, WAVELENGTHS_NM, table))


def optical_coefficients(wavelength_nm: float) -> Float32Array:
    """Return the (2, CHANNELS) matrix from masses to (optical density, phase in rad)."""
    wavelength_um = wavelength_nm * 1e-3
    rad_per_mass = 2 * math.pi * INDEX_STEP / (wavelength_um * DRY_DENSITY_PG_PER_UM3)
    density = [
        extinction_um2_per_pg(NUCLEIC_ACID_UM2_PER_PG, wavelength_nm),
        extinction_um2_per_pg(PROTEIN_UM2_PER_PG, wavelength_nm),
        extinction_um2_per_pg(HEMOGLOBIN_UM2_PER_PG, wavelength_nm),
        (260.0 / wavelength_nm) ** 2,
        0.0,
    ]
    phase = [rad_per_mass, rad_per_mass, rad_per_mass, 0.0, 2 * math.pi / wavelength_um]
    return np.array([density, phase], np.float32)


def optical_maps(masses: Float32Array, wavelength_nm: float) -> Float32Array:
    """Turn a (CHANNELS, h, w) mass stack into (2, h, w) optical density and phase in rad."""
    flat = optical_coefficients(wavelength_nm) @ masses.reshape(CHANNELS, -1)
    return flat.reshape(2, *masses.shape[1:])
