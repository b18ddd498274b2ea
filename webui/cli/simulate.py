"""``leukolux simulate``: images of a virtual smear with their truth."""

from __future__ import annotations

from pathlib import Path

import click

from hal.sim.dataset import write_dataset
from webui.cli.option_types import WholeNumber


@click.command()
@click.option("--smear", default="healthy:42", show_default=True, help="Donor, NAME:SEED.")
@click.option("--tiles", type=WholeNumber(1, 10_000), default=24, show_default=True, help="Tiles.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="New or empty folder.",
)
def simulate(smear: str, tiles: int, out: Path) -> None:
    """Write raw tiles of a virtual smear, the blank background, and the truth."""
    write_dataset(smear, tiles, out)
    click.echo(f"{tiles} tiles of {smear} are in {out}.")
