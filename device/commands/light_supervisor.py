"""``leukolux light-supervisor``: takes the UV light off when the instrument fails."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from device.service_manager import ServiceManager
from device.settings import load_settings
from hal.factory import build_light_supervisor


@click.command(name="light-supervisor")
@click.option(
    "--settings",
    "settings_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings file, the same as the instrument's.",
)
def light_supervisor(settings_path: Path | None) -> None:
    """Hold the UV line low unless the instrument has a lease; ends with Ctrl-C or SIGTERM."""
    supervisor = build_light_supervisor(load_settings(settings_path))
    supervisor.stop_on(signal.SIGINT, signal.SIGTERM)
    supervisor.open()
    ServiceManager.from_environment().ready()
    try:
        supervisor.serve()
    finally:
        supervisor.close()
