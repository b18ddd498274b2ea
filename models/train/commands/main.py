"""Make the networks: ``leukolux train all --work DIR [--real PATH]``."""

from __future__ import annotations

import logging
from pathlib import Path

import click
import cv2
import torch

from models.runtime import PACKAGE_DIRECTORY
from models.train.commands.evidence import compare, robustness, transfer
from models.train.commands.options import (
    FOLDER,
    PRESENT_FOLDER,
    precision_option,
    seed_option,
    steps_option,
    work_option,
)
from models.train.commands.stain import STAIN_COMMANDS
from models.train.data.workspace import Plan, Workspace, make_data
from models.train.networks import stages
from models.train.networks.precision import Precision
from models.train.release import release
from models.train.release.card_sections import keep_evidence

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
real_option = click.option(
    "--real", type=PRESENT_FOLDER, help="Folder of stained images (pbc, bccd, rbc_fields)."
)
lab_option = click.option(
    "--lab",
    type=PRESENT_FOLDER,
    multiple=True,
    help="Folder of annotated scans, in the layout of `leukolux simulate`; may be repeated.",
)
donors_option = click.option(
    "--donors",
    type=click.IntRange(0, 1000),
    default=Plan.train_donors,
    show_default=True,
    help="Simulated donors to train on.",
)
val_donors_option = click.option(
    "--val-donors",
    type=click.IntRange(0, 1000),
    show_default=f"{Plan.val_donors}; 0 with --donors 0",
    help="Simulated donors to choose thresholds on.",
)
test_donors_option = click.option(
    "--test-donors",
    type=click.IntRange(0, 1000),
    show_default=f"{Plan.test_donors}; 0 with --donors 0",
    help="Simulated donors to report on.",
)
tiles_option = click.option(
    "--tiles",
    type=click.IntRange(1, 200),
    default=Plan.tiles,
    show_default=True,
    help="Fields per donor.",
)
start_option = click.option(
    "--start-from",
    type=PRESENT_FOLDER,
    help="Folder to start from: checkpoints of an earlier training, or networks that ship.",
)
out_option = click.option(
    "--out",
    type=FOLDER,
    default=PACKAGE_DIRECTORY,
    show_default="the package",
    help="Where networks, manifest and cards go.",
)
evidence_option = click.option(
    "--evidence",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON file {network: Markdown}, added to the cards.",
)


commands = click.Group("train")


def prepare(threads: int) -> None:
    """Show progress in the log, and compute on ``threads`` threads."""
    logging.getLogger().setLevel(logging.INFO)
    torch.set_num_threads(threads)
    cv2.setNumThreads(1)


@commands.command()
@work_option
@real_option
@lab_option
@donors_option
@val_donors_option
@test_donors_option
@tiles_option
@seed_option
def data(
    work: Path,
    real: Path | None,
    lab: tuple[Path, ...],
    donors: int,
    val_donors: int | None,
    test_donors: int | None,
    tiles: int,
    seed: int,
) -> None:
    """Make the samples; simulated donors that are there already stay."""
    plan = Plan(
        train_donors=donors,
        val_donors=_or_default(val_donors, Plan.val_donors, donors),
        test_donors=_or_default(test_donors, Plan.test_donors, donors),
        tiles=tiles,
        seed=seed,
        labs=lab,
    )
    make_data(Workspace(work), plan, real)


def _or_default(wanted: int | None, usual: int, train_donors: int) -> int:
    """Return what was asked for, else the usual number, or 0 if nothing is simulated."""
    if wanted is not None:
        return wanted
    return usual if train_donors else 0


@commands.command()
@click.argument("network", type=click.Choice(NETWORKS))
@work_option
@steps_option
@seed_option
@start_option
@precision_option
def fit(
    network: str,
    work: Path,
    steps: int | None,
    seed: int,
    start_from: Path | None,
    precision: Precision,
) -> None:
    """Train a network, resuming its checkpoint; the classifier needs the other two exported."""
    TRAIN[network](Workspace(work), stages.Effort(steps, seed, start_from, precision))


@commands.command()
@click.argument("network", type=click.Choice(NETWORKS))
@work_option
def export(network: str, work: Path) -> None:
    """Write the INT8 file of a trained network and choose its thresholds."""
    EXPORT[network](Workspace(work))


@commands.command()
@work_option
@out_option
@evidence_option
def evaluate(work: Path, out: Path, evidence: Path | None) -> None:
    """Measure the exported networks; write files, manifest and model cards to --out."""
    workspace = Workspace(work)
    if evidence is not None:
        keep_evidence(workspace.folder, evidence)
    manifest = release.publish(workspace, out)
    for name, entry in manifest.networks.items():
        for figure, score in entry.scores.items():
            click.echo(f"{name}: {figure} {score.value} (n = {score.n})")


@commands.command("all")
@work_option
@real_option
@lab_option
@donors_option
@val_donors_option
@test_donors_option
@tiles_option
@steps_option
@seed_option
@precision_option
@out_option
@click.pass_context
def everything(
    ctx: click.Context,
    /,
    work: Path,
    real: Path | None,
    steps: int | None,
    seed: int,
    precision: Precision,
    out: Path,
    **amounts: object,
) -> None:
    """Data, training, export, comparison, robustness and evaluation in order."""
    ctx.invoke(data, work=work, real=real, seed=seed, **amounts)
    for network in NETWORKS:
        effort = {"steps": steps, "seed": seed, "start_from": None, "precision": precision}
        ctx.invoke(fit, network=network, work=work, **effort)
        ctx.invoke(export, network=network, work=work)
    ctx.invoke(compare, work=work)
    if real is not None:
        ctx.invoke(robustness, work=work, real=real)
    ctx.invoke(evaluate, work=work, out=out, evidence=None)


for command in (*STAIN_COMMANDS, compare, robustness, transfer):
    commands.add_command(command)
