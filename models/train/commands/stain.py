"""Commands of ``leukolux train`` that make the virtual stain."""

from __future__ import annotations

from pathlib import Path

import click

from models.manifest import NetworkEntry
from models.runtime import PACKAGE_DIRECTORY
from models.stainer import NAME
from models.train.commands.options import precision_option
from models.train.data.workspace import Workspace
from models.train.networks.loop import Schedule
from models.train.networks.precision import Precision
from models.train.networks.shipped import initial_file
from models.train.stain.release import (
    evaluate_stainer,
    export_stainer,
    fields_folder,
    publish_stainer,
)
from models.train.stain.samples import read_split, write_split
from models.train.stain.training import ADVERSARY_SHARE, train

ENRICHED_FIELDS = {"train": 3, "val": 1, "test": 1}
DONORS = {"train": 80, "val": 6, "test": 32}
STEPS = 3000
LEARNING_RATE = 2e-3

_FOLDER = click.Path(file_okay=False, path_type=Path)
_work_option = click.option(
    "--work", type=_FOLDER, required=True, help="Folder for samples, checkpoints and exports."
)


@click.command("stain-data")
@_work_option
@click.option(
    "--donors",
    type=click.IntRange(1, 1000),
    default=DONORS["train"],
    show_default=True,
    help="Simulated donors to train on.",
)
def stain_data(work: Path, donors: int) -> None:
    """Make fields with their pseudo-colour; donors that are there already stay."""
    for split, count in (DONORS | {"train": donors}).items():
        write_split(fields_folder(Workspace(work)), split, count, ENRICHED_FIELDS[split], 1)


@click.command("stain-train")
@_work_option
@click.option("--steps", type=click.IntRange(1), default=STEPS, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option(
    "--start-from",
    type=click.Path(exists=True, path_type=Path),
    help="Checkpoint of an earlier training to start from, or folder with it or the shipped one.",
)
@precision_option
@click.option(
    "--adversary-share",
    type=click.FloatRange(0, 1),
    default=ADVERSARY_SHARE,
    show_default=True,
    help="Share of the steps, the last ones, in which the discriminator takes part.",
)
def stain_train(
    work: Path,
    steps: int,
    seed: int,
    start_from: Path | None,
    precision: Precision,
    adversary_share: float,
) -> None:
    """Train the virtual stain, resuming its checkpoint."""
    space = Workspace(work)
    if start_from is not None and start_from.is_dir():
        start_from = initial_file(start_from, NAME)
    checkpoint = space.checkpoint(NAME)
    schedule = Schedule(steps, LEARNING_RATE, checkpoint, seed, start_from, precision)
    train(read_split(fields_folder(space), "train"), schedule, adversary_share)


@click.command("stain-export")
@_work_option
def stain_export(work: Path) -> None:
    """Write the INT8 file of the trained stain."""
    export_stainer(Workspace(work))


@click.command("stain-evaluate")
@_work_option
@click.option(
    "--out",
    type=_FOLDER,
    default=PACKAGE_DIRECTORY,
    show_default="the package",
    help="Folder with the manifest that takes the network in.",
)
def stain_evaluate(work: Path, out: Path) -> None:
    """Measure the exported stain; add file, entry and model card to --out."""
    _echo(evaluate_stainer(Workspace(work)))
    publish_stainer(work, out)


def _echo(entry: NetworkEntry) -> None:
    for figure, score in entry.scores.items():
        click.echo(f"{NAME}: {figure} {score.value} (n = {score.n})")


STAIN_COMMANDS = (stain_data, stain_train, stain_export, stain_evaluate)
