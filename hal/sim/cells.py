"""White cells as areal-mass maps with their morphology.

Masses are chosen so that nucleus and cytoplasm of each type transmit at 260, 280 and 300 nm what
deep-UV microscopy of dried smears reports; sizes, lobes and granules follow the textbook values
of blood smears.  Every number varies from cell to cell and from donor to donor.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hal.sim import nuclei
from hal.sim.donors import Donor
from hal.sim.masses import CHANNELS, Channel, Float32Array
from hal.sim.seeds import generator
from hal.sim.shapes import Sketch, union

CYTOPLASM_LABEL = 1
NUCLEUS_LABEL = 2

# Mean and standard deviation, limits of the cell diameter on a dried smear, um.
DIAMETERS_UM = {
    "neutrophil": (12.6, 0.8, 10.0, 15.0),
    "eosinophil": (13.2, 0.9, 10.0, 17.0),
    "basophil": (11.4, 1.1, 8.0, 15.0),
    "lymphocyte": (8.3, 0.6, 7.0, 15.0),
    "monocyte": (15.6, 1.3, 12.0, 20.0),
    "erythroblast": (9.2, 0.8, 7.5, 12.0),
    "immature_granulocyte": (15.0, 1.4, 12.0, 19.0),
    "dead": (15.0, 1.8, 11.0, 20.0),
}
LARGE_LYMPHOCYTE_SHARE = 0.25


@dataclass(frozen=True)
class CellStamp:
    """One white cell on its own pixel grid; the cell's centre is the middle pixel.

    Attributes:
        masses: float32 (CHANNELS, n, n), see :class:`hal.sim.masses.Channel`.
        labels: uint8 (n, n), 0 outside, 1 cytoplasm, 2 nucleus.
        area_um2: of the whole cell.
        nucleus_area_um2: of the nucleus.
        nucleic_acid_pg: in the whole cell.
    """

    masses: Float32Array
    labels: NDArray[np.uint8]
    area_um2: float
    nucleus_area_um2: float
    nucleic_acid_pg: float


@dataclass
class _Draft:
    """A cell being drawn."""

    sketch: Sketch
    cell: Float32Array
    nucleus: Float32Array
    masses: Float32Array


def draw_diameter_um(kind: str, donor: Donor, rng: np.random.Generator) -> float:
    """Draw the diameter of a cell of ``kind``."""
    mean, spread, low, high = DIAMETERS_UM[kind]
    if kind == "lymphocyte" and rng.random() < LARGE_LYMPHOCYTE_SHARE:
        mean, spread = 11.4, 1.2
    return float(np.clip(rng.normal(mean, spread) * donor.size_factor, low, high))


def white_cell(
    kind: str, key: tuple[int | str, ...], diameter_um: float, donor: Donor, pixel_um: float
) -> CellStamp:
    """Draw one white cell.

    Args:
        kind: one of :data:`hal.sim.donors.KINDS`.
        key: the cell's own random stream.
        diameter_um: of a circle of the cell's area.
        donor: whose cell it is.
        pixel_um: of the grid to draw on.
    """
    rng = generator(*key)
    draft = _DRAW[kind](rng, diameter_um, donor, pixel_um)
    labels = np.where(draft.cell > 0, CYTOPLASM_LABEL, 0).astype(np.uint8)
    labels[draft.nucleus > 0] = NUCLEUS_LABEL
    pixel_um2 = pixel_um**2
    return CellStamp(
        masses=draft.masses,
        labels=labels,
        area_um2=float(np.count_nonzero(labels)) * pixel_um2,
        nucleus_area_um2=float(np.count_nonzero(labels == NUCLEUS_LABEL)) * pixel_um2,
        nucleic_acid_pg=float(draft.masses[Channel.NUCLEIC_ACID].sum()) * pixel_um2,
    )


def _nucleic_acid_pg(rng: np.random.Generator, donor: Donor) -> float:
    return 6.9 * donor.mass_factor * float(np.clip(rng.normal(1.0, 0.08), 0.75, 1.3))


def _begin(
    rng: np.random.Generator,
    diameter_um: float,
    pixel_um: float,
    *,
    irregularity: float,
    warp_um: float = 0.18,
    aspect: tuple[float, float] = (1.0, 1.2),
) -> tuple[Sketch, Float32Array]:
    sketch = Sketch(rng, 0.78 * diameter_um, pixel_um, warp_um=warp_um, aspect=rng.uniform(*aspect))
    outline = sketch.outline(diameter_um / 2.0, irregularity)
    return sketch, sketch.grown_to(outline, math.pi * diameter_um**2 / 4.0)


def _confine(sketch: Sketch, nucleus: Float32Array, cell: Float32Array) -> Float32Array:
    """Keep the nucleus inside the cell under a thin rim of cytoplasm."""
    return np.minimum(nucleus, cell - np.float32(sketch.rng.uniform(0.15, 0.4)))


def _chromatin(
    sketch: Sketch, nucleus: Float32Array, contrast: float, scale_um: float, rim: float
) -> Float32Array:
    """Return the relative density of chromatin: clumps, light gaps, a denser membrane."""
    scale_um *= sketch.rng.uniform(0.75, 1.3)
    clumps = 0.85 * np.tanh(1.3 * sketch.noise(scale_um)) + 0.7 * np.tanh(sketch.noise(0.2))
    membrane = np.exp(-np.maximum(nucleus, 0.0) / 0.35)
    return np.asarray(np.maximum(1.0 + contrast * clumps + rim * membrane, 0.15), np.float32)


def _fill_nucleus(
    draft: _Draft, nucleic_acid_pg: float, protein_pg_per_um2: float, texture: Float32Array
) -> None:
    shape = draft.sketch.soft(draft.nucleus, 0.45)
    density = shape * texture
    mass_pg = float(density.sum()) * draft.sketch.pixel_um**2
    draft.masses[Channel.NUCLEIC_ACID] += density * np.float32(nucleic_acid_pg / mass_pg)
    draft.masses[Channel.PROTEIN] += (
        shape * np.float32(protein_pg_per_um2) * (0.7 + np.float32(0.3) * texture)
    )


def _fill_cytoplasm(
    draft: _Draft,
    protein_pg_per_um2: float,
    rna_pg_per_um2: float,
    texture: Float32Array | float,
    *,
    rim_um: float = 0.8,
) -> None:
    """Spread protein and RNA over the cell outside the nucleus, thinning out at the rim."""
    sketch = draft.sketch
    shape = sketch.soft(draft.cell - np.float32(rim_um / 2.0 - 0.1), rim_um)
    shape = shape * (1.0 - sketch.soft(draft.nucleus, 0.45)) * texture
    draft.masses[Channel.PROTEIN] += shape * np.float32(protein_pg_per_um2)
    draft.masses[Channel.NUCLEIC_ACID] += shape * np.float32(rna_pg_per_um2)


def _draft(sketch: Sketch, cell: Float32Array, nucleus: Float32Array) -> _Draft:
    masses = np.zeros((CHANNELS, sketch.size_px, sketch.size_px), np.float32)
    return _Draft(sketch, cell, nucleus, masses)


def _add_granules(
    draft: _Draft,
    thickness_um: Float32Array,
    index_step: float,
    protein_pg_per_um3: float,
    scatter_per_um: float,
) -> None:
    draft.masses[Channel.RETARDATION] += thickness_um * np.float32(index_step)
    draft.masses[Channel.PROTEIN] += thickness_um * np.float32(protein_pg_per_um3)
    draft.masses[Channel.SCATTER] += thickness_um * np.float32(scatter_per_um)


def _neutrophil(
    rng: np.random.Generator, diameter_um: float, donor: Donor, pixel_um: float
) -> _Draft:
    sketch, cell = _begin(rng, diameter_um, pixel_um, irregularity=rng.uniform(0.01, 0.09))
    nucleic_acid_pg = _nucleic_acid_pg(rng, donor)
    area_um2 = min(nucleic_acid_pg / 0.127 * rng.normal(1.0, 0.08), 0.55 * sketch.area_um2(cell))
    nucleus = _confine(sketch, nuclei.neutrophil(sketch, area_um2, diameter_um / 2.0), cell)
    draft = _draft(sketch, cell, nucleus)
    contrast = 0.28 * donor.chromatin_factor * rng.uniform(0.7, 1.3)
    _fill_nucleus(
        draft,
        nucleic_acid_pg,
        0.65 * donor.mass_factor,
        _chromatin(sketch, nucleus, contrast, 0.45, 0.25),
    )
    grain = 1.0 + 0.28 * donor.granularity_factor * sketch.noise(0.17)
    _fill_cytoplasm(draft, 0.44 * donor.mass_factor, 0.0008, np.maximum(grain, 0.0))
    draft.masses[Channel.RETARDATION] += (
        np.float32(0.006 * donor.granularity_factor) * sketch.noise(0.17) * sketch.soft(cell, 0.8)
    )
    return draft


def _eosinophil(
    rng: np.random.Generator, diameter_um: float, donor: Donor, pixel_um: float
) -> _Draft:
    sketch, cell = _begin(rng, diameter_um, pixel_um, irregularity=rng.uniform(0.01, 0.06))
    nucleic_acid_pg = _nucleic_acid_pg(rng, donor)
    area_um2 = min(nucleic_acid_pg / 0.140 * rng.normal(1.0, 0.08), 0.48 * sketch.area_um2(cell))
    lobes = 2 if rng.random() < 0.8 else 3
    nucleus = nuclei.segmented(sketch, lobes, area_um2, diameter_um / 2.0 * 0.95)
    nucleus = _confine(sketch, nucleus, cell)
    draft = _draft(sketch, cell, nucleus)
    contrast = 0.22 * donor.chromatin_factor * rng.uniform(0.7, 1.3)
    _fill_nucleus(
        draft,
        nucleic_acid_pg,
        0.80 * donor.mass_factor,
        _chromatin(sketch, nucleus, contrast, 0.5, 0.2),
    )
    _fill_cytoplasm(draft, 0.40 * donor.mass_factor, 0.0, 1.0)
    thickness = sketch.granules(cell, 0.68, (0.5, 1.0), 0.97)
    over_nucleus = np.float32(rng.uniform(0.1, 0.3))
    thickness *= 1.0 - (1.0 - over_nucleus) * sketch.soft(nucleus, 0.4)
    _add_granules(draft, thickness, 0.034 * donor.granularity_factor, 0.55, 0.012)
    return draft


def _basophil(
    rng: np.random.Generator, diameter_um: float, donor: Donor, pixel_um: float
) -> _Draft:
    sketch, cell = _begin(rng, diameter_um, pixel_um, irregularity=rng.uniform(0.02, 0.09))
    nucleic_acid_pg = _nucleic_acid_pg(rng, donor)
    area_um2 = min(nucleic_acid_pg / 0.125 * rng.normal(1.0, 0.1), 0.62 * sketch.area_um2(cell))
    nucleus = nuclei.segmented(sketch, int(rng.integers(2, 4)), area_um2, diameter_um * 0.35)
    nucleus = _confine(sketch, nucleus, cell)
    draft = _draft(sketch, cell, nucleus)
    _fill_nucleus(
        draft,
        nucleic_acid_pg,
        0.45 * donor.mass_factor,
        _chromatin(sketch, nucleus, 0.15 * donor.chromatin_factor, 0.8, 0.0),
    )
    _fill_cytoplasm(draft, 0.50 * donor.mass_factor, 0.004, 1.0)
    # Water-soluble granules are lost to a varying degree.
    thickness = sketch.granules(cell, 1.3, (0.5, 1.2), rng.uniform(0.3, 0.85))
    _add_granules(draft, thickness, 0.03 * donor.granularity_factor, 0.6, 0.14)
    return draft


def _lymphocyte(
    rng: np.random.Generator, diameter_um: float, donor: Donor, pixel_um: float
) -> _Draft:
    small = diameter_um < 10.0
    sketch, cell = _begin(
        rng, diameter_um, pixel_um, irregularity=rng.uniform(0.01, 0.06 if small else 0.10)
    )
    nucleic_acid_pg = _nucleic_acid_pg(rng, donor)
    ratio = rng.uniform(0.66, 0.90) if small else rng.uniform(0.50, 0.74)
    area_um2 = min(ratio * sketch.area_um2(cell), 62.0 * rng.normal(1.0, 0.06))
    dent = rng.uniform(0.2, 0.6) if rng.random() < 0.35 else 0.0
    nucleus = nuclei.rounded(sketch, area_um2, 0.05, dent)
    slack_um = max(diameter_um / 2.0 - math.sqrt(area_um2 / math.pi) - 0.4, 0.0)
    nucleus = _shift(sketch, nucleus, slack_um * rng.uniform(0.0, 1.0))
    nucleus = _confine(sketch, nucleus, cell)
    draft = _draft(sketch, cell, nucleus)
    contrast = 0.20 * donor.chromatin_factor * rng.uniform(0.6, 1.3)
    _fill_nucleus(
        draft,
        nucleic_acid_pg,
        0.38 * donor.mass_factor,
        _chromatin(sketch, nucleus, contrast, 0.7, 0.15),
    )
    _fill_cytoplasm(
        draft,
        0.50 * donor.mass_factor,
        rng.uniform(0.004, 0.016),
        1.0 + np.float32(0.06) * sketch.noise(0.5),
        rim_um=0.6,
    )
    if not small and rng.random() < 0.3:
        thickness = sketch.granules(np.minimum(cell, -nucleus), 2.2, (0.3, 0.6), 0.4)
        _add_granules(draft, thickness, 0.03, 0.5, 0.05)
    return draft


def _monocyte(
    rng: np.random.Generator, diameter_um: float, donor: Donor, pixel_um: float
) -> _Draft:
    sketch, cell = _begin(
        rng,
        diameter_um,
        pixel_um,
        irregularity=rng.uniform(0.03, 0.16),
        warp_um=0.25,
        aspect=(1.0, 1.35),
    )
    nucleic_acid_pg = _nucleic_acid_pg(rng, donor) * 1.02
    area_um2 = min(nucleic_acid_pg / 0.066 * rng.normal(1.0, 0.12), 0.62 * sketch.area_um2(cell))
    nucleus = nuclei.monocyte(sketch, area_um2, diameter_um / 2.0)
    slack_um = max(diameter_um / 2.0 - math.sqrt(area_um2 / math.pi) - 1.0, 0.0)
    nucleus = _shift(sketch, nucleus, slack_um * rng.uniform(0.0, 0.8))
    nucleus = _confine(sketch, nucleus, cell)
    draft = _draft(sketch, cell, nucleus)
    lace = _chromatin(sketch, nucleus, 0.22 * donor.chromatin_factor, 0.35, 0.3)
    fold = sketch.x * np.float32(rng.normal()) + sketch.y * np.float32(rng.normal())
    fold = fold + np.float32(rng.normal(0.0, 1.0)) + sketch.noise(2.0)
    lace *= 1.0 - np.float32(rng.uniform(0.0, 0.4)) * np.exp(-((fold / 0.5) ** 2))
    _fill_nucleus(draft, nucleic_acid_pg, 0.48 * donor.mass_factor, lace)
    dust = 1.0 + 0.16 * donor.granularity_factor * sketch.noise(0.2)
    ring = np.minimum(cell - np.float32(0.3), -nucleus - np.float32(0.1))
    holes = sketch.granules(ring, 2.4, (0.6, 2.0), rng.uniform(0.0, 0.35))
    texture = np.maximum(dust, 0.0) * (1.0 - 0.75 * np.clip(holes / 0.8, 0.0, 1.0))
    _fill_cytoplasm(draft, 0.44 * donor.mass_factor, rng.uniform(0.0, 0.002), texture)
    return draft


def _erythroblast(
    rng: np.random.Generator, diameter_um: float, donor: Donor, pixel_um: float
) -> _Draft:
    sketch, cell = _begin(rng, diameter_um, pixel_um, irregularity=rng.uniform(0.01, 0.06))
    nucleic_acid_pg = _nucleic_acid_pg(rng, donor)
    area_um2 = min(rng.uniform(20.0, 34.0), 0.65 * sketch.area_um2(cell))
    nucleus = nuclei.rounded(sketch, area_um2, 0.03, 0.0)
    slack_um = max(diameter_um / 2.0 - math.sqrt(area_um2 / math.pi) - 0.4, 0.0)
    nucleus = _shift(sketch, nucleus, slack_um * rng.uniform(0.0, 1.0))
    nucleus = _confine(sketch, nucleus, cell)
    draft = _draft(sketch, cell, nucleus)
    _fill_nucleus(
        draft,
        nucleic_acid_pg,
        0.4 * donor.mass_factor,
        _chromatin(sketch, nucleus, 0.2 * donor.chromatin_factor, 0.6, 0.1),
    )
    body = sketch.soft(cell - np.float32(0.2), 0.8)
    draft.masses[Channel.HEMOGLOBIN] += body * np.float32(rng.uniform(0.25, 0.6))
    _fill_cytoplasm(draft, 0.2 * donor.mass_factor, rng.uniform(0.004, 0.02), 1.0)
    return draft


def _immature_granulocyte(
    rng: np.random.Generator, diameter_um: float, donor: Donor, pixel_um: float
) -> _Draft:
    sketch, cell = _begin(rng, diameter_um, pixel_um, irregularity=rng.uniform(0.02, 0.10))
    nucleic_acid_pg = _nucleic_acid_pg(rng, donor) * rng.uniform(1.0, 1.3)
    area_um2 = min(nucleic_acid_pg / 0.095 * rng.normal(1.0, 0.1), 0.68 * sketch.area_um2(cell))
    nucleus = nuclei.rounded(sketch, area_um2, 0.08, rng.uniform(0.0, 0.8))
    slack_um = max(diameter_um / 2.0 - math.sqrt(area_um2 / math.pi) - 0.6, 0.0)
    nucleus = _shift(sketch, nucleus, slack_um * rng.uniform(0.3, 1.0))
    nucleus = _confine(sketch, nucleus, cell)
    draft = _draft(sketch, cell, nucleus)
    _fill_nucleus(
        draft,
        nucleic_acid_pg,
        0.55 * donor.mass_factor,
        _chromatin(sketch, nucleus, 0.16 * donor.chromatin_factor, 0.4, 0.15),
    )
    _fill_cytoplasm(draft, 0.50 * donor.mass_factor, rng.uniform(0.002, 0.010), 1.0)
    thickness = sketch.granules(cell, 0.9, (0.3, 0.6), rng.uniform(0.3, 0.8))
    _add_granules(draft, thickness, 0.03 * donor.granularity_factor, 0.5, 0.03)
    return draft


def _dead(rng: np.random.Generator, diameter_um: float, donor: Donor, pixel_um: float) -> _Draft:
    """Draw a smudge: the nucleus has run out and the membrane is gone."""
    sketch, spread = _begin(
        rng,
        diameter_um,
        pixel_um,
        irregularity=rng.uniform(0.04, 0.22),
        warp_um=0.35,
        aspect=(1.0, 1.7),
    )
    nucleic_acid_pg = _nucleic_acid_pg(rng, donor) * rng.uniform(0.6, 1.0)
    share = rng.uniform(0.55, 0.95)
    nucleus = spread - np.float32(rng.uniform(0.0, 1.0)) + np.float32(0.5) * sketch.noise(2.2)
    nucleus = sketch.grown_to(nucleus, share * sketch.area_um2(spread))
    cell = union([spread, nucleus + np.float32(0.1)])
    draft = _draft(sketch, cell, nucleus)
    contrast = np.float32(rng.uniform(0.08, 0.38))
    streams = 1.0 + contrast * (sketch.noise(rng.uniform(0.7, 1.6)) + 0.6 * sketch.noise(0.22))
    fade = sketch.soft(nucleus - np.float32(0.6), rng.uniform(1.2, 3.5)) + np.float32(0.05)
    _fill_nucleus(
        draft, nucleic_acid_pg, 0.25 * donor.mass_factor, np.maximum(streams, 0.05) * fade
    )
    _fill_cytoplasm(draft, rng.uniform(0.05, 0.2), 0.0, 1.0, rim_um=2.0)
    return draft


def _shift(sketch: Sketch, depth: Float32Array, distance_um: float) -> Float32Array:
    """Return ``depth`` moved by whole pixels in a random direction."""
    angle = sketch.rng.uniform(0.0, 2.0 * math.pi)
    steps = np.rint(
        distance_um / sketch.pixel_um * np.array([math.sin(angle), math.cos(angle)])
    ).astype(int)
    return np.roll(depth, (int(steps[0]), int(steps[1])), axis=(0, 1))


_DRAW: dict[str, Callable[[np.random.Generator, float, Donor, float], _Draft]] = {
    "neutrophil": _neutrophil,
    "eosinophil": _eosinophil,
    "basophil": _basophil,
    "lymphocyte": _lymphocyte,
    "monocyte": _monocyte,
    "erythroblast": _erythroblast,
    "immature_granulocyte": _immature_granulocyte,
    "dead": _dead,
}
