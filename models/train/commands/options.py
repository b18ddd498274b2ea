"""Options that several training commands share."""

from __future__ import annotations

from pathlib import Path

import click

from models.train.networks.precision import Precision

FOLDER = click.Path(file_okay=False, path_type=Path)
PRESENT_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)

work_option = click.option(
    "--work", type=FOLDER, required=True, help="Folder for samples, checkpoints and exports."
)
seed_option = click.option("--seed", type=int, default=1, show_default=True)
precision_option = click.option(
    "--precision",
    type=click.Choice(Precision, case_sensitive=False),
    default=Precision.AUTO.value,
    show_default=True,
    help="Number format of the network's passes; auto takes bfloat16 where the processor has it.",
)
steps_option = click.option("--steps", type=click.IntRange(1), help="Optimiser steps.")
