"""``leukolux light-supervisor``: owns the UV line and drives it for the instrument."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from device.settings.file import load_settings
from device.system.service_manager import ServiceManager
from hal.factory import build_light_supervisor


@click.command(name="light-supervisor")
@click.option(
    "--settings",
    "settings_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings file, the same as the instrument's.",
)
def light_supervisor(settings_path: Path | None) -> None:
    """Own the UV line, high for the instrument's pulses only; ends with Ctrl-C or SIGTERM."""
    supervisor = build_light_supervisor(load_settings(settings_path))
    supervisor.stop_on(signal.SIGINT, signal.SIGTERM)
    supervisor.open()
    manager = ServiceManager.from_environment()
    manager.ready()
    try:
        supervisor.serve(manager.heartbeat)
    finally:
        supervisor.close()
