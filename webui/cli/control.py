"""``leukolux control``: lots of control slides and their targets without a screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import click

from device.assembly import DATABASE_NAME, records_folder
from device.quality.control import ANALYTES, ESTABLISHING_RUNS, lot_targets, parse_targets
from device.records.reader import RecordsReader
from device.records.record_types import LotRecord
from device.records.records import Records
from device.settings.file import load_settings
from hal.errors import InputError

MAX_NAME_LENGTH = 64
_settings = click.option(
    "--settings",
    "settings_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings file.",
)


@click.group()
def control() -> None:
    """Enter, list and close lots of control slides, also while the instrument runs.

    A control run is started on the screen.
    """


@control.command("list")
@_settings
def list_lots(settings_path: Path | None) -> None:
    """List the lots in use with their targets and the verdict on their last run."""
    database = records_folder(load_settings(settings_path)) / DATABASE_NAME
    if not database.exists():
        return
    with RecordsReader(database) as reader:
        for lot in reader.control_lots(open_only=True):
            last = reader.last_control_point(lot.id)
            said = f"{last.verdict} {last.utc}" if last is not None else "no runs"
            click.echo(f"{lot.name}  {lot.level}  {said}")
            for name, target in lot_targets(lot).items():
                unit = ANALYTES[name]
                click.echo(f"  {name:12} mean {target.mean:g}, SD {target.sd:g} {unit}".rstrip())
            if lot.targets is None:
                click.echo(f"  no targets: the first {ESTABLISHING_RUNS} runs establish them")


@control.command()
@click.argument("name")
@click.option("--level", default="normal", show_default=True, help="As on the label.")
@click.option(
    "--target",
    "entered",
    multiple=True,
    metavar="VALUE=MEAN,SD",
    help=f"As on the label, e.g. neutrophil=60,3.5; may be repeated.  {', '.join(ANALYTES)}.",
)
@_settings
def add(name: str, level: str, entered: Sequence[str], settings_path: Path | None) -> None:
    """Enter the lot NAME; without targets its first runs establish them."""
    for text in (name, level):
        if not text.strip() or len(text) > MAX_NAME_LENGTH or not text.isprintable():
            raise InputError("CLI-LOT-NAME", longest=MAX_NAME_LENGTH)
    targets = parse_targets(dict(map(_pair, entered)))
    with _records(settings_path) as records:
        records.quality.add_lot(
            name.strip(), level.strip(), {key: vars(one) for key, one in targets.items()} or None
        )
    click.echo(f"{name.strip()} entered with {len(targets)} targets.")


@control.command()
@click.argument("name")
@_settings
def close(name: str, settings_path: Path | None) -> None:
    """Mark the lot NAME as used up; its runs stay."""
    with _records(settings_path) as records:
        records.quality.close_lot(_lot(records, name).id)
    click.echo(f"{name} closed.")


@contextmanager
def _records(settings_path: Path | None) -> Iterator[Records]:
    settings = load_settings(settings_path)
    with closing(Records(records_folder(settings) / DATABASE_NAME)) as records:
        yield records


def _pair(text: str) -> tuple[str, dict[str, str]]:
    name, _, numbers = text.partition("=")
    mean, _, sd = numbers.partition(",")
    return name.strip(), {"mean": mean, "sd": sd}


def _lot(records: Records, name: str) -> LotRecord:
    with records.reader() as reader:
        found = [lot for lot in reader.control_lots(open_only=True) if lot.name == name]
    if not found:
        raise InputError("CLI-LOT-NOT-FOUND", name=name[:MAX_NAME_LENGTH])
    return found[0]
