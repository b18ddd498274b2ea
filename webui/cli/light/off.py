"""``leukolux light-off``: what the service manager runs when the instrument has ended."""

from __future__ import annotations

from pathlib import Path

import click

from device.settings.file import load_light
from hal.clock import SystemClock
from hal.factory import take_light_off
from hal.light.switch_off import supervisor_listens
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
    help="Socket of the light supervisor: where one listens, the line is left to it.",
)
@click.option(
    "--patience-s",
    type=Number(0, 60),
    default=2.0,
    show_default=True,
    help="How long to try when somebody else holds the line.",
)
def light_off(settings_path: Path | None, supervisor: Path | None, patience_s: float) -> None:
    """Drive the UV line low and release it; ends with 3 when that failed."""
    light, simulation = load_light(settings_path)
    if supervisor is not None and supervisor_listens(supervisor):
        click.echo("The light supervisor holds the UV line.")
    elif take_light_off(light, simulation, SystemClock(), patience_s):
        click.echo(f"The UV line (pin {light.pin}) is low.")
    else:
        click.echo("The UV light is simulated: it ended with its process.")
