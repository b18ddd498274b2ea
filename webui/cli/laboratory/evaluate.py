"""``leukolux lab evaluate``: the whole analysis on simulated donors that no training saw."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import cv2

from device.laboratory import report
from device.laboratory.cell_samples import CellSamples
from device.laboratory.donors import (
    FIRST_UNSEEN_SEED,
    PAPER_COHORT,
    evaluate_donor,
    unseen_donors,
)
from device.laboratory.output_files import write_text
from device.laboratory.scores import DonorResult, Evaluation
from device.laboratory.virtual_scan import ORDINARY, Conditions, virtual_background
from device.settings.sections import AnalysisConfig
from device.system.version import versions_with
from hal.factory import virtual_microscope
from models.runtime import load_models
from webui.cli.option_types import Number, WholeNumber

_Command = Callable[..., Any]

_ALL_KINDS_ALIKE = dict.fromkeys(
    (
        "neutrophil",
        "eosinophil",
        "basophil",
        "lymphocyte",
        "monocyte",
        "erythroblast",
        "immature_granulocyte",
        "dead",
    ),
    1.0,
)


def cohort_options(donors: int, tiles: int, enrichment: float) -> Callable[[_Command], _Command]:
    """Return the options that say on whom to measure, with these defaults."""

    def decorate(command: _Command) -> _Command:
        options = (
            click.option("--donors", type=WholeNumber(1, 500), default=donors, show_default=True),
            click.option(
                "--tiles",
                type=WholeNumber(1, 1000),
                default=tiles,
                show_default=True,
                help="Tiles of each donor.",
            ),
            click.option(
                "--seed",
                type=WholeNumber(FIRST_UNSEEN_SEED, 1_000_000),
                default=FIRST_UNSEEN_SEED,
                show_default=True,
                help="Seed of the first donor.",
            ),
            click.option(
                "--enrichment",
                type=Number(1.0, 30.0),
                default=enrichment,
                show_default=True,
                help="White cells per tile, times the donor's own; their composition stays.",
            ),
            click.option(
                "--models",
                "folder",
                type=click.Path(path_type=Path, exists=True, file_okay=False),
                help="Folder of other networks.",
            ),
            click.option(
                "--json",
                "json_path",
                type=click.Path(path_type=Path, dir_okay=False),
                help="Write all figures as JSON.",
            ),
        )
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@click.command()
@cohort_options(donors=PAPER_COHORT, tiles=20, enrichment=15.0)
@click.option(
    "--balanced-tiles",
    type=WholeNumber(0, 1000),
    default=4,
    show_default=True,
    help="Further tiles of each donor with all kinds of white cells equally often.",
)
@click.option(
    "--stage-error-um",
    type=Number(0.0, 5.0),
    default=ORDINARY.stage_error_um,
    show_default=True,
    help="Standard deviation of what the stage is off by.",
)
@click.option(
    "--backlash-um",
    type=Number(0.0, 10.0),
    default=ORDINARY.backlash_um,
    show_default=True,
    help="By how much rows that are scanned backwards lie farther right.",
)
@click.option(
    "--rotation-deg",
    type=Number(-2.0, 2.0),
    default=0.0,
    show_default=True,
    help="Of the camera against the stage.",
)
@click.option(
    "--pictures",
    type=click.Path(path_type=Path, file_okay=False),
    help="Draw confusion, reliability and example cells into this folder (needs leukolux[lab]).",
)
def evaluate(
    donors: int,
    tiles: int,
    seed: int,
    enrichment: float,
    folder: Path | None,
    json_path: Path | None,
    balanced_tiles: int,
    stage_error_um: float,
    backlash_um: float,
    rotation_deg: float,
    pictures: Path | None,
) -> None:
    """Measure detection, outlines, names, counts and calibration on unseen simulated donors.

    The donors are drawn like the paper's cohort: neutropenia, healthy, sickle, thrombocytopenia.
    """
    if pictures is not None:  # a missing extra is told before the work
        from device.laboratory.pictures import write_pictures
    cv2.setNumThreads(1)
    models = load_models(folder)
    samples = CellSamples() if pictures is not None else None
    results: list[DonorResult] = []
    balanced: list[DonorResult] = []
    for number, name in enumerate(unseen_donors(donors, seed)):
        microscope = virtual_microscope(name, enrichment, camera_rotation_deg=rotation_deg)
        measure = partial(
            evaluate_donor,
            name,
            models=models,
            config=AnalysisConfig(),
            seed=seed + number,
            conditions=Conditions(stage_error_um=stage_error_um, backlash_um=backlash_um),
            background=virtual_background(microscope),
        )
        results.append(measure(microscope=microscope, tiles=tiles, samples=samples))
        if balanced_tiles:
            even = virtual_microscope(
                name,
                2.0 * enrichment,
                composition=_ALL_KINDS_ALIKE,
                camera_rotation_deg=rotation_deg,
            )
            balanced.append(measure(microscope=even, tiles=balanced_tiles))
        click.echo(f"{name:28}{Evaluation((results[-1],)).found}", err=True)
    cohort = Evaluation(tuple(results))
    even_kinds = Evaluation(tuple(balanced)) if balanced else None
    click.echo(report.text(cohort, even_kinds))
    if json_path is not None:
        document = {
            **report.as_dict(cohort, even_kinds),
            "versions": versions_with(models.versions),
        }
        write_text(json_path, json.dumps(document, indent=2) + "\n")
    if pictures is not None and samples is not None:
        for path in write_pictures(pictures, cohort, samples):
            click.echo(f"wrote {path}", err=True)
