"""Cells with one round or folded nucleus, and the remains of dead cells."""

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
from hal.sim.blood.shapes import union


def lymphocyte(
    rng: np.random.Generator, diameter_um: float, donor: Donor, pixel_um: float
) -> Draft:
    """Draw a lymphocyte, small (under 10 um) or large."""
    small = diameter_um < 10.0
    sketch, cell = begin(
        rng, diameter_um, pixel_um, irregularity=rng.uniform(0.01, 0.06 if small else 0.10)
    )
    nucleic_acid_pg = nucleic_acid_pg_of(rng, donor)
    ratio = rng.uniform(0.70, 0.93) if small else rng.uniform(0.52, 0.80)
    area_um2 = min(ratio * sketch.area_um2(cell), 70.0 * rng.normal(1.0, 0.10))
    area_um2 = nuclear_area_um2(sketch, cell, area_um2, donor)
    dent = rng.uniform(0.2, 0.8) if rng.random() < 0.55 else 0.0
    nucleus = nuclei.rounded(sketch, area_um2, 0.10, dent)
    slack_um = max(diameter_um / 2.0 - math.sqrt(area_um2 / math.pi) - 0.4, 0.0)
    nucleus = moved(sketch, nucleus, slack_um * rng.uniform(0.0, 1.0))
    nucleus = confine(sketch, nucleus, cell, donor)
    draft = new_draft(sketch, cell, nucleus, donor)
    contrast = 0.20 * donor.chromatin_factor * rng.uniform(0.6, 1.3)
    fill_nucleus(
        draft,
        nucleic_acid_pg,
        0.38 * donor.mass_factor,
        chromatin(draft, contrast, 0.5, rng.uniform(0.1, 0.6)),
    )
    fill_cytoplasm(
        draft,
        0.50 * donor.mass_factor,
        rng.uniform(0.004, 0.016),
        1.0 + np.float32(0.18) * sketch.noise(0.3),
        rim_um=0.5,
    )
    if not small and rng.random() < 0.3:
        thickness = sketch.granules(np.minimum(cell, -nucleus), 2.2, (0.3, 0.6), 0.4)
        add_granules(draft, thickness, 0.006, 0.5, 0.05)
    return draft


def monocyte(rng: np.random.Generator, diameter_um: float, donor: Donor, pixel_um: float) -> Draft:
    """Draw a monocyte: pale lacy folded nucleus, wide cytoplasm with vacuoles."""
    sketch, cell = begin(
        rng,
        diameter_um,
        pixel_um,
        irregularity=rng.uniform(0.03, 0.16),
        warp_um=0.3,
        aspect=(1.0, 1.35),
    )
    nucleic_acid_pg = nucleic_acid_pg_of(rng, donor) * 1.02
    area_um2 = min(nucleic_acid_pg / 0.066 * rng.normal(1.0, 0.14), 0.62 * sketch.area_um2(cell))
    area_um2 = nuclear_area_um2(sketch, cell, area_um2, donor)
    nucleus = nuclei.monocyte(sketch, area_um2, diameter_um / 2.0)
    slack_um = max(diameter_um / 2.0 - math.sqrt(area_um2 / math.pi) - 1.0, 0.0)
    nucleus = moved(sketch, nucleus, slack_um * rng.uniform(0.2, 1.0))
    nucleus = confine(sketch, nucleus, cell, donor)
    draft = new_draft(sketch, cell, nucleus, donor)
    contrast = 0.28 * donor.chromatin_factor * rng.uniform(0.7, 1.3)
    lace = chromatin(draft, contrast, 0.3, rng.uniform(0.25, 0.7), lacy=True)
    fold = sketch.x * np.float32(rng.normal()) + sketch.y * np.float32(rng.normal())
    fold = fold + np.float32(rng.normal(0.0, 1.0)) + sketch.noise(2.0)
    lace *= 1.0 - np.float32(blended(rng.uniform(0.0, 0.4), 0.0, donor)) * np.exp(
        -((fold / 0.5) ** 2)
    )
    fill_nucleus(draft, nucleic_acid_pg, 0.48 * donor.mass_factor, lace)
    dust = 1.0 + 0.16 * donor.granularity_factor * sketch.noise(0.2)
    ring = np.minimum(cell - np.float32(0.3), -nucleus - np.float32(0.1))
    holes = sketch.granules(ring, 2.4, (0.6, 2.0), rng.uniform(0.0, 0.35))
    texture = np.maximum(dust, 0.0) * (
        1.0 - blended(0.75, 0.0, donor) * np.clip(holes / 0.8, 0.0, 1.0)
    )
    fill_cytoplasm(draft, 0.37 * donor.mass_factor, rng.uniform(0.0, 0.002), texture)
    return draft


def erythroblast(
    rng: np.random.Generator, diameter_um: float, donor: Donor, pixel_um: float
) -> Draft:
    """Draw a nucleated red cell: dense round nucleus in hemoglobin."""
    sketch, cell = begin(rng, diameter_um, pixel_um, irregularity=rng.uniform(0.01, 0.06))
    nucleic_acid_pg = nucleic_acid_pg_of(rng, donor)
    area_um2 = min(rng.uniform(22.0, 46.0), 0.62 * sketch.area_um2(cell))
    area_um2 = nuclear_area_um2(sketch, cell, area_um2, donor)
    nucleus = nuclei.rounded(sketch, area_um2, 0.03, 0.0)
    slack_um = max(diameter_um / 2.0 - math.sqrt(area_um2 / math.pi) - 0.4, 0.0)
    nucleus = moved(sketch, nucleus, slack_um * rng.uniform(0.3, 1.0))
    nucleus = confine(sketch, nucleus, cell, donor)
    draft = new_draft(sketch, cell, nucleus, donor)
    fill_nucleus(
        draft,
        nucleic_acid_pg,
        0.4 * donor.mass_factor,
        chromatin(draft, 0.12 * donor.chromatin_factor, 0.5, 0.1),
    )
    body = sketch.soft(cell - np.float32(0.2), 0.8) * (1.0 + np.float32(0.05) * sketch.noise(0.4))
    draft.masses[Channel.HEMOGLOBIN] += body * np.float32(rng.uniform(0.25, 0.6))
    grain = 1.0 + np.float32(0.15) * sketch.noise(0.3)
    fill_cytoplasm(draft, 0.2 * donor.mass_factor, rng.uniform(0.004, 0.02), grain)
    return draft


def dead(rng: np.random.Generator, diameter_um: float, donor: Donor, pixel_um: float) -> Draft:
    """Draw a smudge: the nucleus has run out and the membrane is gone."""
    sketch, spread = begin(
        rng,
        diameter_um,
        pixel_um,
        irregularity=rng.uniform(0.04, 0.22),
        warp_um=0.35,
        aspect=(1.0, 1.7),
    )
    nucleic_acid_pg = nucleic_acid_pg_of(rng, donor) * rng.uniform(0.6, 1.0)
    share = rng.uniform(0.72, 0.96)
    nucleus = spread - np.float32(rng.uniform(0.0, 1.0)) + np.float32(0.5) * sketch.noise(2.2)
    nucleus = sketch.grown_to(nucleus, share * sketch.area_um2(spread))
    cell = union([spread, nucleus + np.float32(0.1)])
    draft = new_draft(sketch, cell, nucleus, donor)
    contrast = np.float32(rng.uniform(0.08, 0.38))
    streams = 1.0 + contrast * (sketch.noise(rng.uniform(0.7, 1.6)) + 0.6 * sketch.noise(0.22))
    fade = sketch.soft(nucleus - np.float32(0.6), rng.uniform(1.2, 3.5)) + np.float32(0.05)
    fill_nucleus(draft, nucleic_acid_pg, 0.25 * donor.mass_factor, np.maximum(streams, 0.05) * fade)
    fill_cytoplasm(draft, rng.uniform(0.12, 0.32), 0.0, 1.0, rim_um=1.0)
    return draft
