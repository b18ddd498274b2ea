"""Drawing a white cell: its outline, its nucleus, and the masses that fill them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hal.sim.blood.donors import Donor
from hal.sim.blood.masses import CHANNELS, Channel, Float32Array
from hal.sim.blood.shapes import Sketch

# What overlapping kinds move towards: about the mean of the five types.
_COMMON_NUCLEAR_SHARE = 0.5
_COMMON_CHROMATIN_CONTRAST = 0.21
_COMMON_CHROMATIN_SCALE_UM = 0.5
_COMMON_CHROMATIN_RIM = 0.3
_COMMON_NUCLEAR_PROTEIN_PG_PER_UM2 = 0.55
_COMMON_PROTEIN_PG_PER_UM2 = 0.40
_COMMON_RNA_PG_PER_UM2 = 0.003

_MOST_IRREGULARITY = 0.28
_DENTS_PER_CELL = 0.8
_BLEB_SHARE = 0.15
_DOME_UM = 2.5


@dataclass
class Draft:
    """A cell being drawn: depth maps of cell and nucleus, um, and the mass stack.

    The cytoplasm thins out over a rim; ``edge_um`` deep, where half of it is left, lies the edge.
    """

    donor: Donor
    sketch: Sketch
    cell: Float32Array
    nucleus: Float32Array
    masses: Float32Array
    edge_um: float = 0.0


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
    aspect: tuple[float, float] = (1.0, 1.15),
) -> tuple[Sketch, Float32Array]:
    """Return a sketch and on it the outline of a cell of the area of ``diameter_um``."""
    ratio = rng.uniform(*aspect)
    irregularity = min(irregularity * rng.lognormal(0.3, 0.65), _MOST_IRREGULARITY)
    radius_um = diameter_um / 2.0
    reach_um = radius_um * math.sqrt(ratio) * (1.0 + 1.6 * irregularity)
    reach_um += 2.5 * warp_um + 1.2
    sketch = Sketch(rng, reach_um, pixel_um, warp_um=warp_um, aspect=ratio)
    outline = _with_bleb(sketch, sketch.outline(radius_um, irregularity), radius_um)
    outline = _pressed(sketch, outline, radius_um)
    outline += np.float32(rng.uniform(0.02, 0.12)) * sketch.noise(0.5)
    return sketch, sketch.grown_to(outline, math.pi * diameter_um**2 / 4.0)


def _pressed(sketch: Sketch, cell: Float32Array, radius_um: float) -> Float32Array:
    """Return the outline with the dents that neighbours left before they dried away from it."""
    rng = sketch.rng
    for _ in range(rng.poisson(_DENTS_PER_CELL)):
        heading = rng.uniform(0.0, 2.0 * math.pi)
        neighbour_um = rng.uniform(2.2, 5.0)
        away_um = radius_um + neighbour_um - rng.uniform(0.2, 1.2)
        centre = (away_um * math.cos(heading), away_um * math.sin(heading))
        cell = smooth_minimum(cell, -sketch.outline(neighbour_um, 0.05, centre))
    return cell


def _with_bleb(sketch: Sketch, cell: Float32Array, radius_um: float) -> Float32Array:
    """Return the outline, now and then with a bulge of the membrane."""
    rng = sketch.rng
    if rng.random() > _BLEB_SHARE:
        return cell
    heading, bleb_um = rng.uniform(0.0, 2.0 * math.pi), rng.uniform(0.6, 1.3)
    away_um = radius_um - rng.uniform(0.1, 0.6) * bleb_um
    centre = (away_um * math.cos(heading), away_um * math.sin(heading))
    return -smooth_minimum(-cell, -sketch.outline(bleb_um, 0.1, centre))


def smooth_minimum(one: Float32Array, other: Float32Array) -> Float32Array:
    """Return the smaller of two depths, um, bent where they cross instead of cut."""
    return np.asarray(-np.logaddexp(-4.0 * one, -4.0 * other) / 4.0, np.float32)


def blended(own: float, common: float, donor: Donor) -> float:
    """Return a number that marks a kind of cell, moved towards what the kinds have in common."""
    return own + donor.class_overlap * (common - own)


def nuclear_area_um2(sketch: Sketch, cell: Float32Array, own_um2: float, donor: Donor) -> float:
    """Return the area of a nucleus whose kind has ``own_um2``."""
    return blended(own_um2, _COMMON_NUCLEAR_SHARE * sketch.area_um2(cell), donor)


def confine(
    sketch: Sketch, nucleus: Float32Array, cell: Float32Array, donor: Donor
) -> Float32Array:
    """Keep the nucleus inside the cell under a thin rim of cytoplasm."""
    if donor.class_overlap > 0.0:
        nucleus = _rounder(sketch, nucleus, donor.class_overlap)
    nucleus = nucleus + np.float32(sketch.rng.uniform(0.04, 0.16)) * sketch.noise(0.7)
    room = cell - np.float32(sketch.rng.uniform(0.0, 0.3))
    return smooth_minimum(nucleus, room)


def _rounder(sketch: Sketch, nucleus: Float32Array, share: float) -> Float32Array:
    """Return ``nucleus`` moved towards a disc of the same place and area."""
    inside = nucleus > 0
    area_um2 = sketch.area_um2(nucleus)
    x, y = sketch.x - sketch.x[inside].mean(), sketch.y - sketch.y[inside].mean()
    disc = np.float32(math.sqrt(area_um2 / math.pi)) - np.hypot(x, y)
    return sketch.grown_to(np.float32(1.0 - share) * nucleus + np.float32(share) * disc, area_um2)


def chromatin(
    draft: Draft, contrast: float, scale_um: float, rim: float, *, lacy: bool = False
) -> Float32Array:
    """Return the relative density of chromatin: clumps, strands, a denser membrane.

    Compact chromatin is a dark sheet with small light gaps; lacy chromatin has as much of either.
    """
    donor, sketch, nucleus = draft.donor, draft.sketch, draft.nucleus
    contrast = blended(contrast, _COMMON_CHROMATIN_CONTRAST * donor.chromatin_factor, donor)
    scale_um = blended(scale_um, _COMMON_CHROMATIN_SCALE_UM, donor)
    scale_um *= sketch.rng.uniform(0.75, 1.3)
    rim = blended(rim, _COMMON_CHROMATIN_RIM, donor)
    clumps = 0.45 * contrast * np.tanh(1.3 * sketch.noise(scale_um))
    grain = sketch.noise(0.15)
    # Both have mean 0 and a variance of about 0.4.
    grain = np.tanh(grain) if lacy else 1.1 * (1.133 - np.exp(0.5 * grain))
    strands = (0.08 + 0.7 * contrast) * grain
    membrane = rim * np.exp(-np.maximum(nucleus, 0.0) / 0.25)
    return np.asarray(np.maximum(1.0 + clumps + strands + membrane, 0.15), np.float32)


def fill_nucleus(
    draft: Draft, nucleic_acid_pg: float, protein_pg_per_um2: float, texture: Float32Array
) -> None:
    """Spread nucleic acid and protein over the nucleus as ``texture`` says."""
    common = _COMMON_NUCLEAR_PROTEIN_PG_PER_UM2 * draft.donor.mass_factor
    protein_pg_per_um2 = blended(protein_pg_per_um2, common, draft.donor)
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
    rim_um: float = 0.7,
) -> None:
    """Spread protein and RNA over the cell outside the nucleus, thinning out towards the rim."""
    sketch, donor = draft.sketch, draft.donor
    common = _COMMON_PROTEIN_PG_PER_UM2 * donor.mass_factor
    protein_pg_per_um2 = blended(protein_pg_per_um2, common, donor)
    rna_pg_per_um2 = blended(rna_pg_per_um2, _COMMON_RNA_PG_PER_UM2, donor)
    draft.edge_um = rim_um / 2.0 - 0.2
    shape = sketch.soft(draft.cell - np.float32(draft.edge_um), rim_um)
    dome = 0.75 + 0.3 * np.clip(draft.cell / _DOME_UM, 0.0, 1.0)
    filled = shape * (1.0 - sketch.soft(draft.nucleus, 0.45)) * dome * texture
    draft.masses[Channel.PROTEIN] += filled * np.float32(protein_pg_per_um2)
    draft.masses[Channel.NUCLEIC_ACID] += filled * np.float32(rna_pg_per_um2)


def new_draft(sketch: Sketch, cell: Float32Array, nucleus: Float32Array, donor: Donor) -> Draft:
    """Return an empty cell of these two shapes."""
    masses = np.zeros((CHANNELS, sketch.size_px, sketch.size_px), np.float32)
    return Draft(donor, sketch, cell, nucleus, masses)


def add_granules(
    draft: Draft,
    thickness_um: Float32Array,
    index_step: float,
    protein_pg_per_um3: float,
    scatter_per_um: float,
) -> None:
    """Add what spheres of ``thickness_um`` (n, n) hold and scatter; they fade as kinds overlap."""
    thickness_um = thickness_um * np.float32(blended(1.0, 0.0, draft.donor))
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
