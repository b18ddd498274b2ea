"""Commands that measure the exported networks beyond the scores of their manifest."""

from __future__ import annotations

from pathlib import Path

import click
from pydantic import BaseModel

from models.train.commands.options import PRESENT_FOLDER, seed_option, work_option
from models.train.data.workspace import Workspace
from models.train.evaluation import compare as comparison
from models.train.evaluation import robustness as stress
from models.train.evaluation import transfer as simulation_alone
from models.train.release import card_sections


def _keep(work: Workspace, file: str, result: BaseModel) -> None:
    (work.folder / file).write_text(result.model_dump_json(indent=2) + "\n", encoding="utf-8")


@click.command()
@work_option
@click.option("--cells", type=click.IntRange(1), help="Greatest number of cells of a domain.")
def compare(work: Path, cells: int | None) -> None:
    """Measure what quantization costs each network."""
    space = Workspace(work)
    result = comparison.compared(space, cells)
    _keep(space, card_sections.COMPARE, result)
    click.echo(card_sections.compare_table(result.rows))
    click.echo(f"largest loss {result.largest_points} points, bar {result.largest_allowed_points}")


@click.command()
@work_option
@click.option(
    "--real", type=PRESENT_FOLDER, required=True, help="Folder of stained images (pbc, bccd)."
)
@click.option(
    "--every",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Use every n-th single-cell picture.",
)
def robustness(work: Path, real: Path, every: int) -> None:
    """Measure real morphology under other conversions, blur, absorption and size."""
    space = Workspace(work)
    result = stress.measured(space, real, every)
    _keep(space, card_sections.ROBUSTNESS, result)
    click.echo(card_sections.robustness_table(result, stress.FIGURES))


@click.command()
@work_option
@click.option(
    "--steps",
    type=click.IntRange(1),
    default=simulation_alone.STEPS,
    show_default=True,
    help="Optimiser steps.",
)
@seed_option
def transfer(work: Path, steps: int, seed: int) -> None:
    """Train a classifier on simulation alone and test it on real morphology."""
    space = Workspace(work)
    result = simulation_alone.measured(space, steps, seed)
    _keep(space, card_sections.TRANSFER, result)
    click.echo(card_sections.transfer_tables(result))
