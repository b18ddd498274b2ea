"""``leukolux light-supervisor``: takes the UV light off when the instrument fails."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from device.settings import load_settings
from hal.factory import build_light_supervisor


@click.command(name="light-supervisor")
@click.option(
    "--settings",
    "settings_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings file, the same as the instrument's.",
)
@click.option("--off", is_flag=True, help="Only take the UV line low, then end.")
def light_supervisor(settings_path: Path | None, off: bool) -> None:
    """Hold the UV line low unless the instrument has a lease; ends with Ctrl-C or SIGTERM."""
    supervisor = build_light_supervisor(load_settings(settings_path))
    if off:
        try:
            supervisor.take_low()
        finally:
            supervisor.close()
        return
    supervisor.stop_on(signal.SIGINT, signal.SIGTERM)
    supervisor.open()
    try:
        supervisor.serve()
    finally:
        supervisor.close()
