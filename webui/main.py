"""The console script: all commands, also those that need the screen's pages or texts."""

from __future__ import annotations

from device.cli import cli

cli.modules["run"] = "webui.run"
cli.modules["calibrate"] = "webui.calibrate"


def main() -> None:
    """Entry point of the console script."""
    cli()
