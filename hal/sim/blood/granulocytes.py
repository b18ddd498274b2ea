"""Granulocytes and their precursors."""

from __future__ import annotations

import math

import numpy as np

from hal.sim.blood import nuclei
from hal.sim.blood.cell_draft import (
    Draft,
    add_granules,
    begin,
    blended,
    chromatin,
    confine,
    fill_cytoplasm,
    fill_nucleus,
    moved,
    new_draft,
    nuclear_area_um2,
    nucleic_acid_pg_of,
)
from hal.sim.blood.donors import Donor
from hal.sim.blood.masses import Channel

_COMMON_GRAIN = 0.14


def neutrophil(
    rng: np.random.Generator, diameter_um: float, donor: Donor, pixel_um: float
) -> Draft:
    """Draw a neutrophil: segmented or band nucleus, fine granules."""
    sketch, cell = begin(rng, diameter_um, pixel_um, irregularity=rng.uniform(0.01, 0.09))
    nucleic_acid_pg = nucleic_acid_pg_of(rng, donor)
    area_um2 = min(nucleic_acid_pg / 0.127 * rng.normal(1.0, 0.08), 0.55 * sketch.area_um2(cell))
    area_um2 = nuclear_area_um2(sketch, cell, area_um2, donor)
    nucleus = nuclei.neutrophil(sketch, area_um2, diameter_um / 2.0)
    nucleus = moved(sketch, nucleus, diameter_um / 2.0 * rng.uniform(0.0, 0.2))
    nucleus = confine(sketch, nucleus, cell, donor)
    draft = new_draft(sketch, cell, nucleus, donor)
    contrast = 0.28 * donor.chromatin_factor * rng.uniform(0.7, 1.3)
    fill_nucleus(
        draft,
        nucleic_acid_pg,
        0.65 * donor.mass_factor,
        chromatin(draft, contrast, 0.35, rng.uniform(0.2, 0.7)),
    )
    grains = blended(0.20, _COMMON_GRAIN, donor) * donor.granularity_factor
    grain = 1.0 + grains * sketch.noise(0.17)
    fill_cytoplasm(draft, 0.37 * donor.mass_factor, 0.0008, np.maximum(grain, 0.0))
    draft.masses[Channel.RETARDATION] += (
        np.float32(blended(0.001, 0.0, donor) * donor.granularity_factor)
        * sketch.noise(0.17)
        * sketch.soft(cell, 0.8)
    )
    return draft


def eosinophil(
    rng: np.random.Generator, diameter_um: float, donor: Donor, pixel_um: float
) -> Draft:
    """Draw an eosinophil: two or three plump lobes at the rim, packed even granules."""
    sketch, cell = begin(rng, diameter_um, pixel_um, irregularity=rng.uniform(0.01, 0.06))
    nucleic_acid_pg = nucleic_acid_pg_of(rng, donor)
    area_um2 = min(nucleic_acid_pg / 0.133 * rng.normal(1.0, 0.12), 0.52 * sketch.area_um2(cell))
    area_um2 = nuclear_area_um2(sketch, cell, area_um2, donor)
    nucleus = confine(sketch, nuclei.eosinophil(sketch, area_um2, diameter_um / 2.0), cell, donor)
    draft = new_draft(sketch, cell, nucleus, donor)
    contrast = 0.30 * donor.chromatin_factor * rng.uniform(0.7, 1.3)
    fill_nucleus(
        draft,
        nucleic_acid_pg,
        0.80 * donor.mass_factor,
        chromatin(draft, contrast, 0.35, rng.uniform(0.2, 0.7)),
    )
    fill_cytoplasm(draft, 0.45 * donor.mass_factor, 0.0, 1.0)
    # In two layers: the granules are packed and lie over one another.
    thickness = sketch.granules(cell, 0.62, (0.5, 0.8), 0.97)
    thickness += sketch.granules(cell, 0.62, (0.5, 0.8), 0.97)
    over_nucleus = np.float32(rng.uniform(0.1, 0.3))
    thickness *= 1.0 - (1.0 - over_nucleus) * sketch.soft(nucleus, 0.4)
    add_granules(draft, thickness, 0.004, 0.25, 0.012 * donor.granularity_factor)
    return draft


def basophil(rng: np.random.Generator, diameter_um: float, donor: Donor, pixel_um: float) -> Draft:
    """Draw a basophil: coarse granules hide a lobed nucleus."""
    sketch, cell = begin(rng, diameter_um, pixel_um, irregularity=rng.uniform(0.02, 0.09))
    nucleic_acid_pg = nucleic_acid_pg_of(rng, donor)
    area_um2 = min(nucleic_acid_pg / 0.125 * rng.normal(1.0, 0.1), 0.62 * sketch.area_um2(cell))
    area_um2 = nuclear_area_um2(sketch, cell, area_um2, donor)
    nucleus = nuclei.segmented(sketch, int(rng.integers(2, 4)), area_um2, diameter_um * 0.35)
    nucleus = confine(sketch, nucleus, cell, donor)
    draft = new_draft(sketch, cell, nucleus, donor)
    fill_nucleus(
        draft,
        nucleic_acid_pg,
        0.45 * donor.mass_factor,
        chromatin(draft, 0.18 * donor.chromatin_factor, 0.6, rng.uniform(0.0, 0.3)),
    )
    fill_cytoplasm(draft, 0.50 * donor.mass_factor, 0.004, 1.0)
    # Water-soluble granules are lost to a varying degree; those that stay lie over the nucleus too.
    spacing_um = rng.uniform(0.7, 1.3)
    thickness = sketch.granules(cell, spacing_um, (0.4, 0.9), rng.uniform(0.4, 0.95))
    add_granules(
        draft, thickness, 0.008, 0.6 * rng.uniform(0.8, 2.5), 0.11 * donor.granularity_factor
    )
    return draft


def immature_granulocyte(
    rng: np.random.Generator, diameter_um: float, donor: Donor, pixel_um: float
) -> Draft:
    """Draw an immature granulocyte: large, round to dented nucleus, granular."""
    sketch, cell = begin(rng, diameter_um, pixel_um, irregularity=rng.uniform(0.02, 0.10))
    nucleic_acid_pg = nucleic_acid_pg_of(rng, donor) * rng.uniform(1.0, 1.3)
    area_um2 = min(nucleic_acid_pg / 0.095 * rng.normal(1.0, 0.1), 0.68 * sketch.area_um2(cell))
    area_um2 = nuclear_area_um2(sketch, cell, area_um2, donor)
    nucleus = nuclei.rounded(sketch, area_um2, 0.22, rng.uniform(0.0, 1.2))
    slack_um = max(diameter_um / 2.0 - math.sqrt(area_um2 / math.pi) - 0.6, 0.0)
    nucleus = moved(sketch, nucleus, slack_um * rng.uniform(0.3, 1.0))
    nucleus = confine(sketch, nucleus, cell, donor)
    draft = new_draft(sketch, cell, nucleus, donor)
    fill_nucleus(
        draft,
        nucleic_acid_pg,
        0.55 * donor.mass_factor,
        chromatin(draft, 0.26 * donor.chromatin_factor, 0.35, rng.uniform(0.1, 0.5)),
    )
    grain = 1.0 + np.float32(0.15) * sketch.noise(0.3)
    fill_cytoplasm(draft, 0.50 * donor.mass_factor, rng.uniform(0.002, 0.010), grain)
    thickness = sketch.granules(cell, 0.9, (0.3, 0.6), rng.uniform(0.3, 0.8))
    add_granules(draft, thickness, 0.006, 0.5, 0.05 * donor.granularity_factor)
    return draft
