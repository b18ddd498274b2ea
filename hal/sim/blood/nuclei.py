"""Nuclei of white cells: depth maps in um, positive inside."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hal.sim.blood.masses import Float32Array
from hal.sim.blood.shapes import Sketch, arc, union

# Segments of mature neutrophils (1 is a band form) in healthy blood.
NEUTROPHIL_LOBES = (1, 2, 3, 4, 5)
NEUTROPHIL_LOBE_SHARES = (0.05, 0.25, 0.45, 0.20, 0.05)


def segmented(sketch: Sketch, lobes: int, area_um2: float, cell_radius_um: float) -> Float32Array:
    """Return ``lobes`` lobes on an arc, joined by thin filaments."""
    rng = sketch.rng
    shares = rng.dirichlet([9.0] * lobes)
    radii_um = np.sqrt(area_um2 * shares / math.pi)
    gaps_um = rng.uniform(-0.8, 1.1, lobes)
    orbit_um = max(0.46 * cell_radius_um, 0.30 * float(radii_um.sum())) * rng.uniform(0.9, 1.15)
    steps = (radii_um[:-1] + radii_um[1:] + gaps_um[1:]) / orbit_um
    angles = np.concatenate([[0.0], np.cumsum(steps)])
    # A long chain must not bite its own tail.
    longest = 2.0 * math.pi - (radii_um[0] + radii_um[-1] - 1.2) / orbit_um
    if angles[-1] > longest > 0.0:
        angles *= longest / angles[-1]
    orbits = orbit_um * rng.uniform(0.8, 1.2, lobes)
    centres = np.stack([orbits * np.cos(angles), orbits * np.sin(angles)], axis=1)
    centres -= (centres * shares[:, None]).sum(axis=0) * rng.uniform(0.6, 1.0)
    headings = rng.uniform(0.0, math.pi, lobes)
    return _joined(sketch, centres, radii_um, headings, area_um2)


def eosinophil(sketch: Sketch, area_um2: float, cell_radius_um: float) -> Float32Array:
    """Return two (80 %) or three plump lobes apart from each other near the rim of the cell."""
    rng = sketch.rng
    lobes = 2 if rng.random() < 0.8 else 3
    radii_um = np.sqrt(area_um2 * rng.dirichlet([14.0] * lobes) / math.pi)
    orbits_um = np.maximum(cell_radius_um - radii_um - rng.uniform(0.0, 0.9, lobes), 0.3)
    chords_um = radii_um[:-1] + radii_um[1:] + rng.uniform(-0.6, 1.2, lobes - 1)
    between_um = (orbits_um[:-1] + orbits_um[1:]) / 2.0
    steps = 2.0 * np.arcsin(np.minimum(chords_um / (2.0 * between_um), 1.0))
    angles = np.concatenate([[0.0], np.cumsum(steps)])
    centres = orbits_um[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return _joined(sketch, centres, radii_um, angles + math.pi / 2.0, area_um2)


def _joined(
    sketch: Sketch,
    centres: NDArray[np.float64],
    radii_um: NDArray[np.float64],
    headings_rad: NDArray[np.float64],
    area_um2: float,
) -> Float32Array:
    """Return oval lobes of these places, sizes and directions, joined by thin filaments."""
    rng = sketch.rng
    depths = []
    for centre, radius_um, heading in zip(centres, radii_um, headings_rad, strict=True):
        half_um = radius_um * rng.uniform(0.1, 0.5)
        ends = np.outer([-1.0, 0.0, 1.0], [math.cos(heading), math.sin(heading)]) * half_um
        thin = np.array([0.92, 1.0, rng.uniform(0.8, 1.0)]) * (radius_um - 0.45 * half_um)
        depths.append(sketch.chain(centre + ends, thin))
    blob = sketch.grown_to(union(depths), area_um2)
    return union([blob, *_filaments(sketch, centres)])


def _filaments(sketch: Sketch, centres: NDArray[np.float64]) -> list[Float32Array]:
    threads = []
    for start, end in pairwise(centres):
        along = np.linspace(0.0, 1.0, 9)[:, None]
        half_width_um = sketch.rng.uniform(0.22, 0.5)
        threads.append(sketch.chain(start + along * (end - start), np.full(9, half_width_um)))
    return threads


def ribbon(sketch: Sketch, area_um2: float, bend_rad: float, orbit_um: float) -> Float32Array:
    """Return a curved band: the nucleus of band forms, and wide ones of monocytes."""
    rng = sketch.rng
    points = arc(orbit_um, -bend_rad / 2.0, bend_rad / 2.0, 13)
    points -= points.mean(axis=0)
    length_um = bend_rad * orbit_um
    # Area of a stadium of this length: pi r^2 + 2 r l.
    half_um = (-length_um + math.sqrt(length_um**2 + math.pi * area_um2)) / math.pi
    wave = np.sin(np.linspace(0.0, rng.uniform(4.0, 9.0), 13) + rng.uniform(0.0, 6.3))
    return sketch.grown_to(sketch.chain(points, half_um * (1.0 + 0.13 * wave)), area_um2)


def lobed_ribbon(
    sketch: Sketch, lobes: int, area_um2: float, cell_radius_um: float
) -> Float32Array:
    """Return a curved band with ``lobes - 1`` constrictions, from wide bridges to filaments."""
    rng = sketch.rng
    bend_rad = rng.uniform(1.0, 2.0) + 0.55 * lobes
    orbit_um = cell_radius_um * rng.uniform(0.46, 0.58)
    points = arc(orbit_um, -bend_rad / 2.0, bend_rad / 2.0, 12 * lobes + 1)
    points += rng.uniform(-0.5, 0.5, (1, 2))
    position = np.linspace(0.0, 1.0, len(points))
    half_um = np.full(len(points), 0.5 * area_um2 / (bend_rad * orbit_um))
    half_um *= 1.0 + 0.15 * np.sin(rng.uniform(3.0, 8.0) * position + rng.uniform(0.0, 6.3))
    for border in np.arange(1, lobes) / lobes + rng.uniform(-0.12, 0.12, lobes - 1) / lobes:
        depth = 1.0 - rng.uniform(0.12, 0.6)
        half_um *= 1.0 - depth * np.exp(-(((position - border) * lobes / 0.26) ** 2))
    # The constrictions keep their width; the lobes take up the area that is still missing.
    thick = half_um > 0.75 * half_um.max()
    half_um[thick] *= math.sqrt(area_um2 / sketch.area_um2(sketch.band(points, half_um)))
    band = sketch.blurred(sketch.band(points, np.maximum(half_um, 0.3)), 0.33)
    return sketch.grown_to(band, area_um2)


def rounded(sketch: Sketch, area_um2: float, irregularity: float, dent: float) -> Float32Array:
    """Return a round nucleus with a dent of ``dent`` (0 none to 1 deep)."""
    rng = sketch.rng
    radius_um = math.sqrt(area_um2 / math.pi)
    depth = sketch.outline(radius_um, irregularity)
    if dent > 0.0:
        angle = rng.uniform(0.0, 2.0 * math.pi)
        # A dent is wide where it is shallow, and its lips are round.
        notch_um = radius_um * rng.uniform(0.7, 1.4) * (1.2 - 0.6 * dent)
        away_um = radius_um + notch_um - 0.75 * dent * radius_um
        notch = sketch.outline(
            notch_um, 0.08, (away_um * math.cos(angle), away_um * math.sin(angle))
        )
        depth = sketch.blurred(np.minimum(depth, -notch), 0.18 * radius_um)
    return sketch.grown_to(depth, area_um2)


def neutrophil(sketch: Sketch, area_um2: float, cell_radius_um: float) -> Float32Array:
    """Return a band (5 %) or two to five lobes."""
    rng = sketch.rng
    lobes = int(rng.choice(NEUTROPHIL_LOBES, p=NEUTROPHIL_LOBE_SHARES))
    if lobes == 1:
        bend_rad = rng.uniform(1.8, 4.2)
        return ribbon(sketch, 0.95 * area_um2, bend_rad, cell_radius_um * rng.uniform(0.42, 0.55))
    if rng.random() < 0.65:
        return lobed_ribbon(sketch, lobes, area_um2, cell_radius_um)
    return segmented(sketch, lobes, area_um2, cell_radius_um)


def monocyte(sketch: Sketch, area_um2: float, cell_radius_um: float) -> Float32Array:
    """Return a kidney, horseshoe, folded or lobulated nucleus."""
    rng = sketch.rng
    form = rng.random()
    if form < 0.12:
        return ribbon(sketch, area_um2, rng.uniform(1.0, 2.3), cell_radius_um * 0.50)
    if form < 0.36:
        return ribbon(sketch, area_um2, rng.uniform(2.4, 3.9), cell_radius_um * 0.50)
    if form < 0.80:
        return rounded(sketch, area_um2, 0.18, rng.uniform(0.5, 1.2))
    radius_um = math.sqrt(area_um2 / math.pi)
    lobes = int(rng.integers(2, 5))
    angles = np.arange(lobes) * 2.0 * math.pi / lobes + rng.uniform(-0.3, 0.3, lobes)
    centres = 0.5 * radius_um * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    folded = sketch.chain(centres, radius_um * rng.uniform(0.55, 0.75, lobes))
    return sketch.grown_to(sketch.blurred(folded, 0.5), area_um2)
