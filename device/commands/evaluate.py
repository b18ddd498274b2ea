"""``leukolux evaluate``: the whole analysis on simulated donors that no training saw."""

from __future__ import annotations

import json
from pathlib import Path

import click
import cv2

from device.config import AnalysisConfig
from device.evaluation.donors import FIRST_UNSEEN_SEED, evaluate_donor, unseen_donors
from device.evaluation.scores import Evaluation
from hal.factory import virtual_microscope
from models.runtime import load_models


@click.command()
@click.option("--donors", type=click.IntRange(1, 500), default=10, show_default=True)
@click.option("--tiles", type=click.IntRange(1, 1000), default=40, show_default=True)
@click.option(
    "--seed",
    type=click.IntRange(FIRST_UNSEEN_SEED, 1_000_000),
    default=FIRST_UNSEEN_SEED,
    show_default=True,
    help="Seed of the first donor.",
)
@click.option(
    "--enrichment",
    type=click.FloatRange(1.0, 30.0),
    default=8.0,
    show_default=True,
    help="White cells per tile, times the donor's own; their composition stays.",
)
@click.option(
    "--models",
    "folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of other networks.",
)
@click.option("--json", "json_path", type=click.Path(path_type=Path, dir_okay=False))
def evaluate(
    donors: int,
    tiles: int,
    seed: int,
    enrichment: float,
    folder: Path | None,
    json_path: Path | None,
) -> None:
    """Measure detection, outlines, names and intervals on unseen simulated donors."""
    cv2.setNumThreads(1)
    models = load_models(folder)
    config = AnalysisConfig()
    results = []
    for number, name in enumerate(unseen_donors(donors, seed)):
        microscope = virtual_microscope(name, enrichment)
        results.append(evaluate_donor(name, microscope, models, config, tiles, seed + number))
        click.echo(f"{name:28}{Evaluation((results[-1],)).found}", err=True)
    evaluation = Evaluation(tuple(results))
    click.echo(evaluation.table())
    if json_path is not None:
        document = {**evaluation.as_dict(), "versions": dict(models.versions)}
        json_path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
