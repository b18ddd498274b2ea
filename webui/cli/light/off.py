"""``leukolux light-off``: what the service manager runs when the instrument has ended."""

from __future__ import annotations

from pathlib import Path

import click

from device.settings.file import load_light
from hal.clock import SystemClock
from hal.factory import LineIs, take_light_off
from webui.cli.option_types import Number


@click.command(name="light-off")
@click.option(
    "--settings",
    "settings_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings file, the same as the instrument's.",
)
@click.option(
    "--supervisor",
    type=click.Path(path_type=Path),
    help="Socket of the light supervisor, which drives its line low; a supervisor that does not "
    "answer is killed.",
)
@click.option(
    "--patience-s",
    type=Number(0, 60),
    default=2.0,
    show_default=True,
    help="How long to try if another program holds the line.",
)
def light_off(settings_path: Path | None, supervisor: Path | None, patience_s: float) -> None:
    """Drive the UV line low, read it back and release it; ends with 3 if that failed."""
    light, simulation = load_light(settings_path)
    match take_light_off(light, simulation, SystemClock(), patience_s, supervisor):
        case LineIs.FREE:
            click.echo(f"The UV line (pin {light.pin}) is low.")
        case LineIs.SUPERVISED:
            click.echo(f"The UV line (pin {light.pin}) is low; the light supervisor holds it.")
        case LineIs.SIMULATED:
            click.echo("The UV light is simulated: it ended with its process.")
