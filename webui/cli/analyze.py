"""``leukolux analyze``: the same analysis on images from elsewhere."""

from __future__ import annotations

from pathlib import Path

import click

from device.analysis.external.images import analyze_images
from device.settings.numbers import parse_number
from webui.cli.option_types import Number


class _BlankLevel(click.ParamType[float | None]):
    name = "auto|VALUE"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | None:
        if value == "auto":
            return None
        try:
            level = parse_number(str(value))
        except ValueError as error:
            self.fail(f"Neither 'auto' nor a number: {error}", param, ctx)
        if not level > 0:
            self.fail(f"{level:g} is not above 0.", param, ctx)
        return level


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--pixel-um",
    type=Number(0.02, 2.0),
    help="Size of a pixel in the sample, um; a folder of `simulate` knows its own.",
)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Output folder."
)
@click.option(
    "--background",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Image of blank glass to divide by.",
)
@click.option(
    "--blank-level",
    type=_BlankLevel(),
    default="auto",
    show_default=True,
    help="Gray value of blank glass in images that are already flat.",
)
def analyze(
    paths: tuple[Path, ...],
    pixel_um: float | None,
    out: Path,
    background: Path | None,
    blank_level: float | None,
) -> None:
    """Find, outline and classify the white cells in gray PNG or TIFF images (8 or 16 bit)."""
    outcome = analyze_images(
        paths, pixel_um=pixel_um, out=out, background=background, blank_level=blank_level
    )
    click.echo(outcome.summary())
    if outcome.failed:
        raise SystemExit(1)
