"""``leukolux records``: what to do if the database of the records is lost or damaged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from device.assembly import DATABASE_NAME, records_folder
from device.records.folder.owner import owned
from device.records.rescue import begin_new
from device.records.rescue import recover as recover_rows
from device.settings.file import load_settings

_settings = click.option(
    "--settings",
    "settings_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings file.",
)


@click.group()
def records() -> None:
    """Continue after the database of the records was lost or damaged.

    Nothing is deleted: the former files move to a folder of their own.  A backup is better than
    either command: copy it to the place of the database.
    """


@records.command()
@_settings
def recover(settings_path: Path | None) -> None:
    """Save every row of a damaged database that can be read."""
    with _database(settings_path) as database:
        found = recover_rows(database)
    for table, rows in found.rows.items():
        note = "  some rows could not be read" if table in found.incomplete else ""
        click.echo(f"{table:20} {rows:8d} rows saved{note}")
    click.echo(f"The damaged database is in {found.set_aside}.")


@records.command()
@_settings
def new(settings_path: Path | None) -> None:
    """Begin new records; run numbers continue, doses of samples and life of the LED begin at 0."""
    with _database(settings_path) as database:
        set_aside = begin_new(database)
    click.echo(f"New records are in {database}. The former files are in {set_aside}.")


@contextmanager
def _database(settings_path: Path | None) -> Iterator[Path]:
    folder = records_folder(load_settings(settings_path))
    with owned(folder):
        yield folder / DATABASE_NAME
