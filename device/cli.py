"""The command line: one group, one place where an anticipated failure becomes an exit code."""

from __future__ import annotations

import logging
import sys
from typing import Any

import click

from device.commands.analyze import analyze
from device.commands.bench import bench
from device.commands.evaluate import evaluate
from device.commands.scan import scan
from device.commands.settings import settings
from device.commands.simulate import simulate
from device.version import version
from hal.errors import LeukoluxError


class ErrorReportingGroup(click.Group):
    """Shows a :class:`LeukoluxError` as code, cause and remedy; a bug keeps its traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; exit with the error's own code when it failed as anticipated."""
        try:
            return super().invoke(ctx)
        except LeukoluxError as error:
            click.echo(str(error), err=True)
            sys.exit(error.exit_code)


@click.group(cls=ErrorReportingGroup, context_settings={"help_option_names": ["-h", "--help"]})
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


for command in (scan, simulate, analyze, evaluate, bench, settings):
    cli.add_command(command)
