"""``leukolux bench``: what the analysis costs, as shares and ratios of one run."""

from __future__ import annotations

import click
import cv2

from device.config import AnalysisConfig, ScanConfig
from device.evaluation.benchmark import measure
from device.evaluation.virtual_scan import virtual_background, virtual_tiles
from hal.factory import virtual_microscope
from models.runtime import load_models


@click.command()
@click.option("--smear", default="healthy:3000", show_default=True, help="Donor, NAME:SEED.")
@click.option("--tiles", type=click.IntRange(1, 1000), default=40, show_default=True)
def bench(smear: str, tiles: int) -> None:
    """Time every step of the analysis of ordinary tiles on one thread."""
    cv2.setNumThreads(1)
    microscope = virtual_microscope(smear)
    result = measure(
        (tile for tile, _ in virtual_tiles(microscope, tiles + 1, seed=0)),
        virtual_background(microscope),
        load_models(),
        AnalysisConfig(),
        ScanConfig(),
    )
    click.echo(result.table())
