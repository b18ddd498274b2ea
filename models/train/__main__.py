"""Make the networks: ``python -m models.train all --work DIR [--real PATH]``."""

from __future__ import annotations

import logging
from pathlib import Path

import click
import cv2
import torch

from hal.errors import LeukoluxError
from models.runtime import PACKAGE_DIRECTORY
from models.train import release, stages
from models.train.workspace import Plan, Workspace, make_data

NETWORKS = ("scout", "segmenter", "classifier")
TRAIN = {
    "scout": stages.train_scout,
    "segmenter": stages.train_segmenter,
    "classifier": stages.train_classifier,
}
EXPORT = {
    "scout": release.export_scout,
    "segmenter": release.export_segmenter,
    "classifier": release.export_classifier,
}
FOLDER = click.Path(file_okay=False, path_type=Path)
work_option = click.option(
    "--work", type=FOLDER, required=True, help="Folder for samples, checkpoints and exports."
)
real_option = click.option(
    "--real",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of stained images (pbc, bccd, rbc_fields).",
)
donors_option = click.option(
    "--donors",
    type=click.IntRange(1, 1000),
    default=Plan.train_donors,
    show_default=True,
    help="Simulated donors to train on.",
)
tiles_option = click.option(
    "--tiles",
    type=click.IntRange(1, 200),
    default=Plan.tiles,
    show_default=True,
    help="Fields per donor.",
)
steps_option = click.option("--steps", type=click.IntRange(1), help="Optimiser steps.")
seed_option = click.option("--seed", type=int, default=1, show_default=True)
start_option = click.option(
    "--start-from",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with checkpoints of an earlier training to start from.",
)
out_option = click.option(
    "--out",
    type=FOLDER,
    default=PACKAGE_DIRECTORY,
    show_default="the package",
    help="Where networks, manifest and cards go.",
)


class _Group(click.Group):
    """Turns anticipated failures into a message and an exit code."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except LeukoluxError as error:
            click.echo(str(error), err=True)
            ctx.exit(error.exit_code)


@click.group(cls=_Group)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
def main(threads: int) -> None:
    """Make data, train, export and evaluate the networks."""
    logging.basicConfig(level=logging.INFO)
    torch.set_num_threads(threads)
    cv2.setNumThreads(1)


@main.command()
@work_option
@real_option
@donors_option
@tiles_option
@seed_option
def data(work: Path, real: Path | None, donors: int, tiles: int, seed: int) -> None:
    """Make the samples; simulated donors that are there already stay."""
    make_data(Workspace(work), Plan(train_donors=donors, tiles=tiles, seed=seed), real)


@main.command()
@click.argument("network", type=click.Choice(NETWORKS))
@work_option
@steps_option
@seed_option
@start_option
def train(network: str, work: Path, steps: int | None, seed: int, start_from: Path | None) -> None:
    """Train a network, resuming its checkpoint; the classifier needs the other two exported."""
    TRAIN[network](Workspace(work), stages.Effort(steps, seed, start_from))


@main.command()
@click.argument("network", type=click.Choice(NETWORKS))
@work_option
def export(network: str, work: Path) -> None:
    """Write the INT8 file of a trained network and choose its thresholds."""
    EXPORT[network](Workspace(work))


@main.command()
@work_option
@out_option
def evaluate(work: Path, out: Path) -> None:
    """Measure the exported networks; write files, manifest and model cards to --out."""
    manifest = release.publish(Workspace(work), out)
    for name, entry in manifest.networks.items():
        for figure, score in entry.scores.items():
            click.echo(f"{name}: {figure} {score.value} (n = {score.n})")


@main.command("all")
@work_option
@real_option
@donors_option
@tiles_option
@seed_option
@out_option
@click.pass_context
def everything(
    ctx: click.Context, work: Path, real: Path | None, donors: int, tiles: int, seed: int, out: Path
) -> None:
    """Data, training, export and evaluation in order."""
    ctx.invoke(data, work=work, real=real, donors=donors, tiles=tiles, seed=seed)
    for network in NETWORKS:
        ctx.invoke(train, network=network, work=work, steps=None, seed=seed, start_from=None)
        ctx.invoke(export, network=network, work=work)
    ctx.invoke(evaluate, work=work, out=out)


if __name__ == "__main__":
    main()
