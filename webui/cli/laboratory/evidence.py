"""``leukolux lab evidence``: what was measured, as text for the model cards."""

from __future__ import annotations

import json
from pathlib import Path

import click

from device.laboratory.evidence import read_documents, sections
from device.laboratory.output_files import write_text


@click.command()
@click.argument(
    "results",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a JSON file that holds the Markdown of each network by its name.",
)
@click.option(
    "--pictures",
    default="",
    help="Prefix of the pictures of `evaluate --pictures`, such as evidence/.",
)
def evidence(results: tuple[Path, ...], out: Path | None, pictures: str) -> None:
    """Turn RESULTS of evaluate and sweep (--json) into Markdown.

    Prints the section about the whole analysis.
    """
    found = sections(*read_documents(results), pictures)
    click.echo(found["all"], nl=False)
    if out is not None:
        write_text(out, json.dumps(found, indent=2) + "\n")
