"""Drawing a white cell: its outline, its nucleus, and the masses that fill them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hal.sim.donors import Donor
from hal.sim.masses import CHANNELS, Channel, Float32Array
from hal.sim.shapes import Sketch


@dataclass
class Draft:
    """A cell being drawn: depth maps of cell and nucleus, um, and the mass stack."""

    sketch: Sketch
    cell: Float32Array
    nucleus: Float32Array
    masses: Float32Array


def nucleic_acid_pg_of(rng: np.random.Generator, donor: Donor) -> float:
    """Draw the nucleic acid of one diploid cell, pg."""
    return 6.9 * donor.mass_factor * float(np.clip(rng.normal(1.0, 0.08), 0.75, 1.3))


def begin(
    rng: np.random.Generator,
    diameter_um: float,
    pixel_um: float,
    *,
    irregularity: float,
    warp_um: float = 0.18,
    aspect: tuple[float, float] = (1.0, 1.2),
) -> tuple[Sketch, Float32Array]:
    """Return a sketch and on it the outline of a cell of the area of ``diameter_um``."""
    ratio = rng.uniform(*aspect)
    reach_um = diameter_um / 2.0 * math.sqrt(ratio) * (1.0 + 1.6 * irregularity)
    reach_um += 2.5 * warp_um + 0.6
    sketch = Sketch(rng, reach_um, pixel_um, warp_um=warp_um, aspect=ratio)
    outline = sketch.outline(diameter_um / 2.0, irregularity)
    return sketch, sketch.grown_to(outline, math.pi * diameter_um**2 / 4.0)


def confine(sketch: Sketch, nucleus: Float32Array, cell: Float32Array) -> Float32Array:
    """Keep the nucleus inside the cell under a thin rim of cytoplasm."""
    room = cell - np.float32(sketch.rng.uniform(0.15, 0.4))
    # A smooth minimum, so that the nucleus bends along the membrane instead of being cut by it.
    return np.asarray(-np.logaddexp(-4.0 * nucleus, -4.0 * room) / 4.0, np.float32)


def chromatin(
    sketch: Sketch, nucleus: Float32Array, contrast: float, scale_um: float, rim: float
) -> Float32Array:
    """Return the relative density of chromatin: clumps, light gaps, a denser membrane."""
    scale_um *= sketch.rng.uniform(0.75, 1.3)
    clumps = 0.85 * np.tanh(1.3 * sketch.noise(scale_um)) + 0.7 * np.tanh(sketch.noise(0.2))
    membrane = np.exp(-np.maximum(nucleus, 0.0) / 0.35)
    return np.asarray(np.maximum(1.0 + contrast * clumps + rim * membrane, 0.15), np.float32)


def fill_nucleus(
    draft: Draft, nucleic_acid_pg: float, protein_pg_per_um2: float, texture: Float32Array
) -> None:
    """Spread nucleic acid and protein over the nucleus as ``texture`` says."""
    shape = draft.sketch.soft(draft.nucleus, 0.45)
    density = shape * texture
    mass_pg = float(density.sum()) * draft.sketch.pixel_um**2
    draft.masses[Channel.NUCLEIC_ACID] += density * np.float32(nucleic_acid_pg / mass_pg)
    draft.masses[Channel.PROTEIN] += (
        shape * np.float32(protein_pg_per_um2) * (0.7 + np.float32(0.3) * texture)
    )


def fill_cytoplasm(
    draft: Draft,
    protein_pg_per_um2: float,
    rna_pg_per_um2: float,
    texture: NDArray[np.floating] | float,
    *,
    rim_um: float = 0.6,
) -> None:
    """Spread protein and RNA over the cell outside the nucleus, thinning out at the rim."""
    sketch = draft.sketch
    shape = sketch.soft(draft.cell - np.float32(rim_um / 2.0 - 0.2), rim_um)
    filled = shape * (1.0 - sketch.soft(draft.nucleus, 0.45)) * texture
    draft.masses[Channel.PROTEIN] += filled * np.float32(protein_pg_per_um2)
    draft.masses[Channel.NUCLEIC_ACID] += filled * np.float32(rna_pg_per_um2)


def new_draft(sketch: Sketch, cell: Float32Array, nucleus: Float32Array) -> Draft:
    """Return an empty cell of these two shapes."""
    masses = np.zeros((CHANNELS, sketch.size_px, sketch.size_px), np.float32)
    return Draft(sketch, cell, nucleus, masses)


def add_granules(
    draft: Draft,
    thickness_um: Float32Array,
    index_step: float,
    protein_pg_per_um3: float,
    scatter_per_um: float,
) -> None:
    """Add what spheres of ``thickness_um`` (n, n) hold and scatter."""
    draft.masses[Channel.RETARDATION] += thickness_um * np.float32(index_step)
    draft.masses[Channel.PROTEIN] += thickness_um * np.float32(protein_pg_per_um3)
    draft.masses[Channel.SCATTER] += thickness_um * np.float32(scatter_per_um)


def moved(sketch: Sketch, depth: Float32Array, distance_um: float) -> Float32Array:
    """Return ``depth`` moved by whole pixels in a random direction."""
    angle = sketch.rng.uniform(0.0, 2.0 * math.pi)
    steps = np.rint(
        distance_um / sketch.pixel_um * np.array([math.sin(angle), math.cos(angle)])
    ).astype(int)
    return np.roll(depth, (int(steps[0]), int(steps[1])), axis=(0, 1))
