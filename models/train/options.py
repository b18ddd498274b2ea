"""Options that several training commands share."""

from __future__ import annotations

from pathlib import Path

import click

FOLDER = click.Path(file_okay=False, path_type=Path)
PRESENT_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)

work_option = click.option(
    "--work", type=FOLDER, required=True, help="Folder for samples, checkpoints and exports."
)
seed_option = click.option("--seed", type=int, default=1, show_default=True)
steps_option = click.option("--steps", type=click.IntRange(1), help="Optimiser steps.")
