"""``leukolux lab sweep``: how the analysis falls as conditions get worse."""

from __future__ import annotations

import json
from pathlib import Path

import click
import cv2

from device.laboratory.donors import unseen_donors
from device.laboratory.output_files import write_text
from device.laboratory.sweeps import SWEEPS, points, run_sweep, text
from device.system.version import versions_with
from models.runtime import load_models
from webui.cli.laboratory.evaluate import cohort_options


@click.command()
@click.argument("name", type=click.Choice(sorted(SWEEPS)))
@cohort_options(donors=6, tiles=8, enrichment=20.0)
@click.option(
    "--picture",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw the curves, PNG (needs leukolux[lab]).",
)
def sweep(
    name: str,
    donors: int,
    tiles: int,
    seed: int,
    enrichment: float,
    folder: Path | None,
    json_path: Path | None,
    picture: Path | None,
) -> None:
    """Measure unseen simulated donors while one thing gets worse.

    defocus: focal plane off, both ways.  noise: less light.  density: from thin to thick blood.
    overlap: kinds of white cells drawn more and more alike.
    """
    if picture is not None:  # a missing extra is told before the work
        from device.laboratory.pictures import sweep_chart, write_picture
    cv2.setNumThreads(1)
    models = load_models(folder)
    chosen = SWEEPS[name]
    results = run_sweep(
        chosen,
        unseen_donors(donors, seed),
        models,
        tiles=tiles,
        seed=seed,
        enrichment=enrichment,
        progress=lambda donor, value: click.echo(f"{donor:28}{value:g}", err=True),
    )
    found = points(results)
    click.echo(text(chosen.axis, found))
    if json_path is not None:
        document = {
            "sweep": name,
            "axis": chosen.axis,
            "donors": donors,
            "points": found,
            "versions": versions_with(models.versions),
        }
        write_text(json_path, json.dumps(document, indent=2) + "\n")
    if picture is not None:
        write_picture(picture, sweep_chart(chosen.axis, found))
