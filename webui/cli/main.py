"""The command line: one group, one place where an anticipated failure becomes an exit code."""

from __future__ import annotations

import logging
import sys
from typing import Any

import click

from device.system.version import version
from hal.errors import LeukoluxError
from webui.cli.lazy_group import LazyGroup

COMMANDS = {
    name: f"webui.cli.{name}"
    for name in (
        "run",
        "scan",
        "calibrate",
        "selftest",
        "control",
        "analyze",
        "simulate",
        "camera",
        "models",
        "settings",
        "diagnose",
        "records",
    )
} | {
    "light-off": "webui.cli.light.off",
    "light-supervisor": "webui.cli.light.supervisor",
    **{name: f"webui.cli.laboratory.{name}" for name in ("bench", "lab", "train")},
}


class InstrumentGroup(LazyGroup):
    """Shows how a command failed.

    A :class:`LeukoluxError` becomes code, cause and remedy; a bug keeps its traceback.
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; exit with the error's own code if it failed as anticipated."""
        try:
            return super().invoke(ctx)
        except LeukoluxError as error:
            click.echo(str(error), err=True)
            sys.exit(error.exit_code)


@click.group(
    cls=InstrumentGroup,
    modules=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(version(), prog_name="leukolux")
@click.option("-v", "--verbose", count=True, help="More log lines; twice for all of them.")
def cli(verbose: int) -> None:
    """Leukolux: white blood cell differential from unstained blood.  Research use only."""
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    logging.basicConfig(
        level=level,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )


def main() -> None:
    """Entry point of the console script."""
    cli()
