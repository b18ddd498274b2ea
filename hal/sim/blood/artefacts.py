"""Dirt and damage on a slide: dust, drying rings, scratches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hal.sim.blood.masses import CHANNELS, Channel, Float32Array
from hal.sim.blood.seeds import generator
from hal.sim.blood.shapes import Sketch

ARTEFACTS_PER_MM2 = {"dust": 14.0, "drying_ring": 5.0, "scratch": 1.5}
REACH_UM = 40.0


@dataclass(frozen=True)
class Artefact:
    """One artefact at its place on the stage; its look comes from ``key``."""

    kind: str
    x_um: float
    y_um: float
    key: tuple[int | str, ...]


def artefact_masses(artefact: Artefact, pixel_um: float) -> Float32Array:
    """Return the (CHANNELS, n, n) mass stack of ``artefact``, centred on it."""
    rng = generator(*artefact.key)
    return {"dust": _dust, "drying_ring": _drying_ring, "scratch": _scratch}[artefact.kind](
        rng, pixel_um
    )


def _blank(sketch: Sketch) -> Float32Array:
    return np.zeros((CHANNELS, sketch.size_px, sketch.size_px), np.float32)


def _dust(rng: np.random.Generator, pixel_um: float) -> Float32Array:
    radius_um = float(np.clip(rng.lognormal(-0.1, 0.6), 0.3, 5.0))
    sketch = Sketch(
        rng,
        2.2 * radius_um,
        pixel_um,
        warp_um=0.25 * radius_um,
        warp_scale_um=0.8 * radius_um,
        aspect=rng.uniform(1.0, 2.5),
    )
    masses = _blank(sketch)
    shape = sketch.soft(sketch.outline(radius_um, 0.3), 0.3)
    masses[Channel.SCATTER] = shape * np.float32(rng.uniform(0.15, 1.2))
    masses[Channel.RETARDATION] = shape * np.float32(rng.uniform(-0.1, 0.1))
    return masses


def _drying_ring(rng: np.random.Generator, pixel_um: float) -> Float32Array:
    radius_um = rng.uniform(6.0, 28.0)
    sketch = Sketch(
        rng,
        1.35 * radius_um,
        pixel_um,
        warp_um=0.05 * radius_um,
        warp_scale_um=0.5 * radius_um,
        aspect=rng.uniform(1.0, 1.4),
    )
    masses = _blank(sketch)
    depth = sketch.outline(radius_um, 0.05)
    ridge = np.exp(-((depth / np.float32(rng.uniform(0.3, 0.9))) ** 2))
    angle = np.arctan2(sketch.y, sketch.x) + np.float32(rng.uniform(0.0, 6.3))
    broken = np.clip(0.6 + np.sin(angle) + 0.3 * np.sin(3.0 * angle), 0.0, 1.0)
    masses[Channel.PROTEIN] = ridge * broken * np.float32(rng.uniform(0.2, 0.9))
    return masses


def _scratch(rng: np.random.Generator, pixel_um: float) -> Float32Array:
    half_um = rng.uniform(12.0, REACH_UM)
    sketch = Sketch(rng, half_um, pixel_um, warp_um=0.5, warp_scale_um=12.0)
    masses = _blank(sketch)
    across = np.abs(sketch.y) / np.float32(rng.uniform(0.25, 0.6))
    along = np.clip((half_um - np.abs(sketch.x)) / 4.0, 0.0, 1.0)
    line = np.exp(-(across**2)) * along * (np.hypot(sketch.x, sketch.y) < half_um)
    masses[Channel.SCATTER] = line * np.float32(rng.uniform(0.05, 0.3))
    masses[Channel.RETARDATION] = line * np.float32(rng.uniform(-0.12, 0.12))
    return masses


def artefact_counts(rng: np.random.Generator, area_mm2: float) -> dict[str, int]:
    """Draw how many artefacts of each kind lie on ``area_mm2``."""
    return {kind: int(rng.poisson(per * area_mm2)) for kind, per in ARTEFACTS_PER_MM2.items()}
