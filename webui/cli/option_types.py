"""Types of numbers and files for the options of all commands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from device.settings.numbers import parse_number, parse_whole_number


class Number(click.FloatRange):
    """A number; both ends of its range are included."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return ``value`` as a number; the command ends with a message if it is not one."""
        if isinstance(value, str):
            try:
                value = parse_number(value)
            except ValueError as error:
                self.fail(str(error), param, ctx)
        return super().convert(value, param, ctx)


class WholeNumber(click.IntRange):
    """A whole number; both ends of its range are included."""

    name = "integer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return ``value`` as a number; the command ends with a message if it is not one."""
        if isinstance(value, str):
            try:
                value = parse_whole_number(value)
            except ValueError as error:
                self.fail(str(error), param, ctx)
        return super().convert(value, param, ctx)


class OutputFile(click.Path):
    """A file to be written; if it cannot be, the command says so before the work, not after it.

    Args:
        dash: whether - stands for standard output.
    """

    def __init__(self, *, dash: bool = False) -> None:
        super().__init__(path_type=Path, dir_okay=False, writable=True, allow_dash=dash)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return ``value`` as a path; the command ends with a message if it cannot be written."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        folder = path.parent
        if not folder.is_dir():
            self.fail(f"There is no folder {folder}.", param, ctx)
        if not os.access(folder, os.W_OK | os.X_OK):
            self.fail(f"Nothing can be written into {folder}.", param, ctx)
        return path
