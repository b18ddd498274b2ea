"""Banks of red cells and platelets: a donor's cells drawn once, used many times.

A tile holds hundreds of red cells, so they are copied from a bank of a few hundred shapes per
donor, turned and mirrored, instead of being drawn one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

import numpy as np

from hal.sim.blood.donors import Donor
from hal.sim.blood.masses import Float32Array
from hal.sim.blood.seeds import generator
from hal.sim.blood.shapes import Sketch, arc

ROUND_CELLS = 160
SICKLED_CELLS = 48
PLATELETS = 64
RED_CELL_REACH_UM = 7.0
_PLATELET_REACH_UM = 2.6


# Cached: every microscope over the same donor's blood draws the same cells.
@lru_cache(maxsize=4)
def red_cell_bank(donor: Donor, pixel_um: float) -> Float32Array:
    """Return hemoglobin maps in pg/um2, (ROUND_CELLS + SICKLED_CELLS, n, n)."""
    draws: list[Callable[[np.random.Generator, Donor, float], Float32Array]] = [
        *[_round_cell] * ROUND_CELLS,
        *[_sickled_cell] * SICKLED_CELLS,
    ]
    return _bank(
        draw(generator("red cell", donor.name, index), donor, pixel_um)
        for index, draw in enumerate(draws)
    )


@lru_cache(maxsize=4)
def platelet_bank(donor: Donor, pixel_um: float) -> Float32Array:
    """Return protein maps in pg/um2, (PLATELETS, n, n)."""
    return _bank(
        _platelet(generator("platelet", donor.name, index), donor, pixel_um)
        for index in range(PLATELETS)
    )


def _bank(maps: Iterable[Float32Array]) -> Float32Array:
    bank = np.stack(list(maps))
    # Shared by every microscope over this donor.
    bank.flags.writeable = False
    return bank


def _with_mass(sketch: Sketch, thickness: Float32Array, mass_pg: float) -> Float32Array:
    total = float(thickness.sum()) * sketch.pixel_um**2
    return thickness * np.float32(mass_pg / total)


def _round_cell(rng: np.random.Generator, donor: Donor, pixel_um: float) -> Float32Array:
    """Draw a discocyte, now and then an oval, a ghost, a target or a crenated cell."""
    aspect = 1.0 + abs(rng.normal(0.0, 0.07)) + (0.3 if rng.random() < 0.06 else 0.0)
    sketch = Sketch(
        rng, RED_CELL_REACH_UM, pixel_um, warp_um=0.14, warp_scale_um=1.8, aspect=aspect
    )
    radius_um = donor.rbc_diameter_um / 2.0 * float(np.clip(rng.normal(1.0, 0.055), 0.8, 1.2))
    depth = sketch.outline(radius_um, rng.uniform(0.01, 0.07))
    if rng.random() < 0.015:
        angle = np.arctan2(sketch.y, sketch.x)
        waves = np.cos(angle * int(rng.integers(7, 10))) + np.cos(angle * int(rng.integers(11, 16)))
        depth += np.float32(rng.uniform(0.06, 0.15)) * waves
    s2 = np.clip(1.0 - depth / radius_um, 0.0, 1.0) ** 2
    # Biconcave profile of Evans and Fung, Microvasc. Res. 1972, flattened by drying.
    biconcave = np.sqrt(1.0 - s2) * (0.81 + 7.83 * s2 - 4.39 * s2**2) / 2.4
    flat = np.sqrt(np.sqrt(1.0 - s2))
    pallor = float(np.clip(rng.normal(1.05, 0.3), 0.1, 1.4))
    profile = np.maximum(pallor * biconcave + (1.0 - pallor) * flat, 0.04)
    if rng.random() < 0.02:
        profile = profile + 0.5 * np.exp(-s2 / 0.03)
    thickness = sketch.soft(depth, 0.3) * profile
    grain = 1.0 + np.float32(0.03) * sketch.noise(0.6)
    mass_pg = donor.mch_pg * float(np.clip(rng.normal(1.0, 0.09), 0.7, 1.35))
    if rng.random() < 0.01:
        mass_pg *= 0.3
    return _with_mass(sketch, np.maximum(thickness * grain, 0.0).astype(np.float32), mass_pg)


def _sickled_cell(rng: np.random.Generator, donor: Donor, pixel_um: float) -> Float32Array:
    """Draw a crescent of aspect 2 to 4 with pointed ends and no pallor."""
    sketch = Sketch(rng, RED_CELL_REACH_UM, pixel_um, warp_um=0.15)
    length_um = rng.uniform(8.5, 12.5)
    half_width_um = length_um / rng.uniform(2.6, 4.6) / 2.0
    bend_rad = rng.uniform(0.9, 2.7)
    points = arc(length_um / bend_rad, -bend_rad / 2.0, bend_rad / 2.0, 25)
    points -= points.mean(axis=0)
    position = np.linspace(-1.0, 1.0, 25)
    taper = np.maximum(1.0 - np.abs(position) ** rng.uniform(1.4, 2.6), 0.06)
    depth = sketch.chain(points, half_width_um * taper)
    profile = np.sqrt(np.clip((depth + 0.15) / half_width_um, 0.0, 1.0))
    mass_pg = donor.mch_pg * float(np.clip(rng.normal(0.95, 0.1), 0.6, 1.3))
    return _with_mass(sketch, sketch.soft(depth, 0.3) * profile, mass_pg)


def _platelet(rng: np.random.Generator, donor: Donor, pixel_um: float) -> Float32Array:
    """Draw a platelet: a pale ragged disc around a denser granulomere."""
    sketch = Sketch(
        rng,
        _PLATELET_REACH_UM,
        pixel_um,
        warp_um=0.12,
        warp_scale_um=0.8,
        aspect=rng.uniform(1.0, 1.5),
    )
    radius_um = float(np.clip(rng.normal(1.3, 0.25), 0.9, 2.0))
    depth = sketch.outline(radius_um, rng.uniform(0.05, 0.25))
    core = sketch.outline(radius_um * rng.uniform(0.4, 0.7), 0.2)
    grain = np.maximum(1.0 + np.float32(0.3) * sketch.noise(0.2), 0.0)
    disc = 0.33 * sketch.soft(depth - np.float32(0.1), 0.5)
    granulomere = 0.22 * sketch.soft(core, 0.6) * grain
    return np.asarray(donor.mass_factor * (disc + granulomere), np.float32)
