"""``leukolux bench``: the cost of the analysis next to that of the paper's networks."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import click
import cv2

from device.laboratory.benchmark.run import Effort, run_benchmark
from webui.cli.option_types import OutputFile, WholeNumber


@click.command()
@click.option("--smear", default="healthy:3002", show_default=True, help="Donor, NAME:SEED.")
@click.option(
    "--tiles",
    type=WholeNumber(1, 1000),
    default=Effort.tiles,
    show_default=True,
    help="Tiles to analyse.",
)
@click.option(
    "--patches",
    type=WholeNumber(1, 100),
    default=Effort.patches,
    show_default=True,
    help="Patches each of the paper's networks is timed on.",
)
@click.option("--json", "json_path", type=OutputFile(), help="All figures.")
def bench(smear: str, tiles: int, patches: int, json_path: Path | None) -> None:
    """Measure the analysis of ordinary tiles, and the paper's networks, in one run.

    Ratios carry over to other machines, seconds do not.
    """
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        result = run_benchmark(
            Effort(smear, tiles, patches), Path(folder), lambda step: click.echo(step, err=True)
        )
    click.echo(result.table())
    if json_path is not None:
        json_path.write_text(json.dumps(result.as_dict(), indent=2) + "\n", encoding="utf-8")
