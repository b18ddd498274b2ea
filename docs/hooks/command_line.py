"""Every command of the program with its options, as its own ``--help`` tells them."""

from __future__ import annotations

from collections.abc import Iterator

import click

from webui.cli.main import cli


def command_line() -> str:
    """Return one section a command."""
    context = click.Context(cli, info_name="leukolux", **cli.context_settings)
    return "\n\n".join(_sections(cli, context))


def _sections(group: click.Group, context: click.Context) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None:
            raise LookupError(name)
        inner = click.Context(command, info_name=name, parent=context)
        # The group of a missing extra has no commands to list.
        if isinstance(command, click.Group) and command.list_commands(inner):
            yield from _sections(command, inner)
        else:
            usage = command.get_help(inner)
            yield f"## {inner.command_path}\n\n```text\n{usage}\n```"
