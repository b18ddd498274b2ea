"""Types of numbers for the options of all commands."""

from __future__ import annotations

from typing import Any

import click

from device.numbers import parse_number, parse_whole_number


class Number(click.FloatRange):
    """A number, with both ends of its range included where they are given."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return ``value`` as a number; the command ends with a message when it is none."""
        if isinstance(value, str):
            try:
                value = parse_number(value)
            except ValueError as error:
                self.fail(str(error), param, ctx)
        return super().convert(value, param, ctx)


class WholeNumber(click.IntRange):
    """A whole number, with both ends of its range included where they are given."""

    name = "integer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return ``value`` as a number; the command ends with a message when it is none."""
        if isinstance(value, str):
            try:
                value = parse_whole_number(value)
            except ValueError as error:
                self.fail(str(error), param, ctx)
        return super().convert(value, param, ctx)
