"""``leukolux train``: makes the networks; needs the extra ``train``."""

from __future__ import annotations

from importlib import import_module
from typing import cast

import click

from hal.errors import InputError

_EXTRA = ("torch", "onnx", "onnxscript", "tqdm", "matplotlib")


class _TrainGroup(click.Group):
    """Hands on the commands of :mod:`models.train`, whose libraries may not be installed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands; of no command if the extra is not installed."""
        try:
            return _commands().list_commands(ctx)
        except InputError:
            return []

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command."""
        return _commands().get_command(ctx, cmd_name)


@click.group(cls=_TrainGroup)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
def train(threads: int) -> None:
    """Make data, train, export and evaluate the networks (needs leukolux[train])."""
    import_module("models.train.commands.main").prepare(threads)


def _commands() -> click.Group:
    """Return the commands of training.

    Raises:
        InputError: the libraries of the extra are not installed.
    """
    try:
        return cast("click.Group", import_module("models.train.commands.main").commands)
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        raise InputError("TRAIN-EXTRA-MISSING", library=error.name) from error
