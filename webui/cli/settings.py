"""``leukolux settings``: every setting with its value, unit, range and meaning."""

from __future__ import annotations

from pathlib import Path

import click

from device.settings.file import describe_settings, load_settings


@click.command()
@click.option(
    "--settings",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings file to check and show; the defaults without it.",
)
def settings(path: Path | None) -> None:
    """Print the effective settings as a documented TOML file."""
    click.echo(describe_settings(load_settings(path)), nl=False)
