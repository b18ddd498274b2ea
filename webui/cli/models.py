"""``leukolux models``: what the networks are, and whether they still answer as they did."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import cast, get_args

import click
import cv2

from models.errors import AnswerError
from models.providers import WantedProvider
from models.verify import NetworkReport, verify
from webui.cli.option_types import OutputFile


@click.group()
def models() -> None:
    """Look after the networks."""


@models.command("verify")
@click.option(
    "--directory",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of other networks.",
)
@click.option(
    "--provider",
    type=click.Choice(get_args(WantedProvider)),
    default="auto",
    show_default=True,
    help="What runs them.",
)
@click.option(
    "--json",
    "json_path",
    type=OutputFile(dash=True),
    help="Write the report as JSON; - for standard output.",
)
def verify_networks(directory: Path | None, provider: str, json_path: Path | None) -> None:
    """Check the hash of every network and ask it questions whose answers are known.

    Exit code: 0 all is well, 4 a network is damaged, missing or answers otherwise.
    """
    cv2.setNumThreads(1)
    reports = verify(directory, cast(WantedProvider, provider))
    if json_path is None:
        click.echo(_table(reports))
    else:
        text = json.dumps([asdict(report) for report in reports], indent=2) + "\n"
        with click.open_file(str(json_path), "w", encoding="utf-8") as file:
            file.write(text)
    bad = [report for report in reports if not report.verdict.ok]
    if bad:
        raise AnswerError(
            "MODEL-VERIFY-FAILED",
            problems=" ".join(
                f"{report.name}: {report.verdict.detail.rstrip('.')}." for report in bad
            ),
        )


def _table(reports: tuple[NetworkReport, ...]) -> str:
    lines = [
        f"{'network':12}{'file':18}{'hash':14}{'kB':>6}  {'provider':10}{'answers':8}{'ms':>7}  "
        "compared"
    ]
    for report in reports:
        verdict = report.verdict
        lines.append(
            f"{report.name:12}{report.file:18}{report.version:14}{report.size_bytes / 1000:6.0f}"
            f"  {report.provider:10}{'ok' if verdict.ok else 'bad':8}{verdict.time_ms:7.0f}"
            f"  {verdict.detail}"
        )
    return "\n".join(lines)
