"""``leukolux evaluate``: the whole analysis on simulated donors that no training saw."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import cv2

from device.config import AnalysisConfig
from device.evaluation import report
from device.evaluation.album import Album
from device.evaluation.donors import (
    FIRST_UNSEEN_SEED,
    PAPER_COHORT,
    evaluate_donor,
    unseen_donors,
)
from device.evaluation.pictures import write_pictures
from device.evaluation.scores import Evaluation
from hal.factory import virtual_microscope
from models.runtime import ModelSet, load_models

_Command = Callable[..., Any]

ALL_KINDS = (
    "neutrophil",
    "eosinophil",
    "basophil",
    "lymphocyte",
    "monocyte",
    "erythroblast",
    "immature_granulocyte",
    "dead",
)


def cohort_options(donors: int, tiles: int, enrichment: float) -> Callable[[_Command], _Command]:
    """Return the options that say on whom to measure, with these defaults."""

    def decorate(command: _Command) -> _Command:
        options = (
            click.option(
                "--donors", type=click.IntRange(1, 500), default=donors, show_default=True
            ),
            click.option(
                "--tiles",
                type=click.IntRange(1, 1000),
                default=tiles,
                show_default=True,
                help="Tiles of each donor.",
            ),
            click.option(
                "--seed",
                type=click.IntRange(FIRST_UNSEEN_SEED, 1_000_000),
                default=FIRST_UNSEEN_SEED,
                show_default=True,
                help="Seed of the first donor.",
            ),
            click.option(
                "--enrichment",
                type=click.FloatRange(1.0, 30.0),
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
    type=click.IntRange(0, 1000),
    default=4,
    show_default=True,
    help="Further tiles of each donor with all kinds of white cells equally often.",
)
@click.option(
    "--pictures",
    type=click.Path(path_type=Path, file_okay=False),
    help="Draw confusion, reliability and example cells into this folder.",
)
def evaluate(
    donors: int,
    tiles: int,
    seed: int,
    enrichment: float,
    folder: Path | None,
    json_path: Path | None,
    balanced_tiles: int,
    pictures: Path | None,
) -> None:
    """Measure detection, outlines, names, counts and calibration on unseen simulated donors.

    The donors are drawn like the paper's cohort: neutropenia, healthy, sickle, thrombocytopenia.
    """
    cv2.setNumThreads(1)
    models = load_models(folder)
    names = unseen_donors(donors, seed)
    album = Album() if pictures is not None else None
    cohort = _measured(names, models, tiles, seed, enrichment, album=album)
    balanced = None
    if balanced_tiles:
        balanced = _measured(
            names, models, balanced_tiles, seed, 2 * enrichment, dict.fromkeys(ALL_KINDS, 1.0)
        )
    click.echo(report.text(cohort, balanced))
    if json_path is not None:
        document = {**report.as_dict(cohort, balanced), "versions": dict(models.versions)}
        json_path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    if pictures is not None and album is not None:
        for path in write_pictures(pictures, cohort, album):
            click.echo(f"wrote {path}", err=True)


def _measured(
    names: list[str],
    models: ModelSet,
    tiles: int,
    seed: int,
    enrichment: float,
    composition: Mapping[str, float] | None = None,
    *,
    album: Album | None = None,
) -> Evaluation:
    config = AnalysisConfig()
    results = []
    for number, name in enumerate(names):
        microscope = virtual_microscope(name, enrichment, composition=composition)
        results.append(
            evaluate_donor(name, microscope, models, config, tiles, seed + number, album=album)
        )
        click.echo(f"{name:28}{Evaluation((results[-1],)).found}", err=True)
    return Evaluation(tuple(results))
