"""The console script: the commands of the instrument, and ``run`` with its screen."""

from __future__ import annotations

from device.cli import cli

cli.modules["run"] = "webui.run"


def main() -> None:
    """Entry point of the console script."""
    cli()
