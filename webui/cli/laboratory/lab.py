"""``leukolux lab``: measurements that take minutes to hours, not meant for the bedside."""

from __future__ import annotations

import click

from webui.cli.lazy_group import LazyGroup

_MODULES = {name: f"webui.cli.laboratory.{name}" for name in ("evaluate", "sweep", "evidence")}


@click.group(cls=LazyGroup, modules=_MODULES)
def lab() -> None:
    """Measure the whole analysis on simulated donors: scores, sweeps, evidence."""
