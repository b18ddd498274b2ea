"""The command line: one group, one place where an anticipated failure becomes an exit code."""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from typing import Any

import click

from device.system.version import version
from hal.errors import LeukoluxError

COMMANDS = (
    "scan",
    "simulate",
    "analyze",
    "evaluate",
    "sweep",
    "evidence",
    "bench",
    "camera",
    "control",
    "diagnose",
    "light-supervisor",
    "light-off",
    "models",
    "selftest",
    "settings",
)


def _identifier(name: str) -> str:
    return name.replace("-", "_")


class InstrumentGroup(click.Group):
    """Imports a command when it is asked for, and shows how it failed.

    A :class:`LeukoluxError` becomes code, cause and remedy; a bug keeps its traceback.

    Attributes:
        modules: name of each command and the module that holds it under that name.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.modules = {name: f"device.commands.{_identifier(name)}" for name in COMMANDS}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(self.modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, importing its module on first use."""
        if cmd_name in self.modules and cmd_name not in self.commands:
            self.add_command(self._load(cmd_name))
        return super().get_command(ctx, cmd_name)

    def _load(self, name: str) -> click.Command:
        command: click.Command = getattr(import_module(self.modules[name]), _identifier(name))
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; exit with the error's own code when it failed as anticipated."""
        try:
            return super().invoke(ctx)
        except LeukoluxError as error:
            click.echo(str(error), err=True)
            sys.exit(error.exit_code)


@click.group(cls=InstrumentGroup, context_settings={"help_option_names": ["-h", "--help"]})
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
