"""The console script: all commands, also those that need the screen's pages or texts."""

from __future__ import annotations

from webui.cli.group import cli

cli.modules["run"] = "webui.cli.run"
cli.modules["calibrate"] = "webui.cli.calibrate"


def main() -> None:
    """Entry point of the console script."""
    cli()
