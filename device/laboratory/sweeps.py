"""How the analysis falls as focus, light, density or the difference of the kinds get worse."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Protocol

import numpy as np

from device.laboratory.donors import evaluate_donor
from device.laboratory.report import aligned
from device.laboratory.scores import DonorResult, Evaluation
from device.laboratory.virtual_scan import (
    ORDINARY,
    Conditions,
    FocalPlane,
    RenderingMicroscope,
    virtual_background,
)
from device.settings.sections import AnalysisConfig
from hal.factory import virtual_microscope
from models.runtime import ModelSet

_BLOOD_X_UM = np.arange(20_500.0, 47_500.0, 50.0)
"""Where along the smear a block of tiles may lie, thick zone to feathered edge."""


class SweptDonor(Protocol):
    """Whose blood it is."""

    @property
    def name(self) -> str:
        """NAME:SEED."""

    @property
    def rbc_per_mm2(self) -> float:
        """Red cells per area of the monolayer."""


class SweptSmear(FocalPlane, Protocol):
    """A smear that is thick at one end."""

    @property
    def donor(self) -> SweptDonor:
        """Whose blood it is."""

    @property
    def white_cell_enrichment(self) -> float:
        """White cells, times the donor's own."""

    def density_factor(self, x_um: float, y_um: float) -> float:
        """Return the density of cells at a place, relative to the monolayer."""


class SweptMicroscope(RenderingMicroscope, Protocol):
    """A virtual microscope over such a smear."""

    @property
    def smear(self) -> SweptSmear:
        """What lies under it."""


@dataclass(frozen=True)
class Sweep:
    """One thing that gets worse.

    Attributes:
        axis: what is swept, with its unit.
        values: in order.
        setting: turns a donor's microscope and a value into the microscope and the conditions.
    """

    axis: str
    values: tuple[float, ...]
    setting: Callable[[SweptMicroscope, float], tuple[SweptMicroscope, Conditions]]


def _defocused(microscope: SweptMicroscope, um: float) -> tuple[SweptMicroscope, Conditions]:
    return microscope, Conditions(defocus_um=um)


def _exposed(microscope: SweptMicroscope, ms: float) -> tuple[SweptMicroscope, Conditions]:
    return microscope, Conditions(exposure_ms=ms)


def _crowded(
    microscope: SweptMicroscope, red_cells_per_mm2: float
) -> tuple[SweptMicroscope, Conditions]:
    smear = microscope.smear
    wanted = red_cells_per_mm2 / smear.donor.rbc_per_mm2
    y_um = 44_000.0
    factors = np.array([smear.density_factor(float(x_um), y_um) for x_um in _BLOOD_X_UM])
    best = np.flatnonzero(np.abs(factors - wanted) <= np.abs(factors - wanted).min() + 1e-9)
    # In the monolayer many places do: the middle one.
    return microscope, Conditions(x_um=float(_BLOOD_X_UM[best[len(best) // 2]]))


def _alike(microscope: SweptMicroscope, class_overlap: float) -> tuple[SweptMicroscope, Conditions]:
    smear = microscope.smear
    other = virtual_microscope(
        smear.donor.name, smear.white_cell_enrichment, class_overlap=class_overlap
    )
    return other, ORDINARY


SWEEPS: Mapping[str, Sweep] = {
    "defocus": Sweep("defocus, um", (-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0), _defocused),
    "noise": Sweep("exposure, ms (50 is ordinary)", (50.0, 25.0, 12.0, 6.0, 3.0, 2.0), _exposed),
    "density": Sweep(
        "red cells per mm2",
        (5000.0, 6500.0, 8000.0, 10000.0, 12500.0, 15000.0, 20000.0),
        _crowded,
    ),
    "overlap": Sweep(
        "overlap of the kinds, 0 none to 1", (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6), _alike
    ),
}


def run_sweep(
    sweep: Sweep,
    names: Sequence[str],
    models: ModelSet,
    *,
    tiles: int,
    seed: int,
    enrichment: float,
    progress: Callable[[str, float], None],
) -> dict[float, Evaluation]:
    """Return what the analysis reaches at each value, on the same tiles of the same donors.

    Args:
        sweep: what gets worse.
        names: donors, NAME:SEED.
        models: the networks.
        tiles: tiles of each donor at each value.
        seed: of stage errors.
        enrichment: white cells per tile, times the donor's own.
        progress: called with donor and value as each is done.
    """
    results: dict[float, list[DonorResult]] = {value: [] for value in sweep.values}
    config = AnalysisConfig()
    for number, name in enumerate(names):
        plain = virtual_microscope(name, enrichment)
        background = lru_cache(partial(virtual_background, plain))
        for value in sweep.values:
            microscope, conditions = sweep.setting(plain, value)
            results[value].append(
                evaluate_donor(
                    name,
                    microscope,
                    models,
                    config,
                    tiles,
                    seed + number,
                    conditions=conditions,
                    background=background(conditions.exposure_ms),
                )
            )
            progress(name, value)
    return {value: Evaluation(tuple(donors)) for value, donors in results.items()}


def points(results: Mapping[float, Evaluation]) -> list[dict[str, Any]]:
    """Return the figures at each value, as JSON; None for what could not be measured."""
    found = []
    for value, evaluation in results.items():
        cell, nucleus = evaluation.mean_dice()
        red, platelets = (
            evaluation.total(lambda donor: donor.red_cells),
            evaluation.total(lambda donor: donor.platelets),
        )
        area_mm2 = sum(donor.area_mm2 for donor in evaluation.donors)
        found.append(
            {
                "value": value,
                "tiles": evaluation.tiles,
                "tiles_refused": evaluation.tiles_refused,
                "red_cells_per_mm2": red.true / area_mm2 if area_mm2 else None,
                "found": evaluation.found.as_dict(),
                "false_finds": evaluation.false_finds.as_dict(),
                "dice_cell": cell.as_dict(),
                "dice_nucleus": nucleus.as_dict(),
                "alive_or_dead": evaluation.alive_or_dead.as_dict(),
                "five_part": evaluation.five_part.as_dict(),
                "unidentified": evaluation.unidentified.as_dict(),
                "red_cells_error_percent": red.error_percent if red.true else None,
                "platelets_error_percent": platelets.error_percent if platelets.true else None,
            }
        )
    return found


COLUMNS: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], float | None]]] = {
    "found": ("found %", lambda point: point["found"]["percent"]),
    "false_finds": ("false %", lambda point: point["false_finds"]["percent"]),
    "dice_cell": ("Dice cell", lambda point: point["dice_cell"]["mean"]),
    "dice_nucleus": ("Dice nucleus", lambda point: point["dice_nucleus"]["mean"]),
    "alive_or_dead": ("dead or alive %", lambda point: point["alive_or_dead"]["percent"]),
    "five_part": ("five-part %", lambda point: point["five_part"]["percent"]),
    "unidentified": ("unidentified %", lambda point: point["unidentified"]["percent"]),
    "red_cells": ("red cells, error %", lambda point: point["red_cells_error_percent"]),
    "platelets": ("platelets, error %", lambda point: point["platelets_error_percent"]),
    "refused": (
        "tiles refused %",
        lambda point: 100.0 * point["tiles_refused"] / point["tiles"],
    ),
}
"""Figures of a point by name: title and how to get it."""


def table(axis: str, found: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[list[str]]:
    """Return a sweep as a table of text with a header, one line per value."""
    header = [axis, *(COLUMNS[name][0] for name in columns), "white cells"]
    lines = [
        [
            f"{point['value']:g}",
            *(_shown(name, COLUMNS[name][1](point)) for name in columns),
            str(point["found"]["n"]),
        ]
        for point in found
    ]
    return [header, *lines]


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if name.startswith("dice") else f"{value:.1f}"


def text(axis: str, found: Sequence[Mapping[str, Any]]) -> str:
    """Return a sweep for a person."""
    return aligned(table(axis, found, list(COLUMNS)))
