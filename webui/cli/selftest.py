"""``leukolux selftest``: the checks of the instrument without a screen."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, Final

import click
import cv2

from device.assembly import DATABASE_NAME, records_folder, simulated_settings
from device.calibration.effective import Effective, effective_now, uncalibrated
from device.checks.catalogue import CATALOGUE
from device.checks.context import CheckContext
from device.checks.report import Check, CheckReport, CheckResult, Level, Verdict
from device.checks.runner import choose, run_checks
from device.records.folder.owner import owned
from device.records.records import Records
from device.settings.file import Settings, changed_settings, load_settings
from device.system.signals import setter
from device.system.version import version
from hal.errors import LeukoluxError
from hal.factory import build_clock, build_hardware
from models.verify import load_tested_models
from webui.cli.option_types import OutputFile

EXIT_FAILED: Final = 3
EXIT_CANCELLED: Final = 4
_IDS: Final = tuple(check.id for check in CATALOGUE)


@click.command()
@click.option("--sim", is_flag=True, help="On the simulated instrument.")
@click.option(
    "--level",
    type=click.Choice([level.value for level in Level]),
    default=Level.STARTUP.value,
    show_default=True,
    help="startup: no light, no motion; daily: also blank glass; full: everything.",
)
@click.option(
    "--only",
    multiple=True,
    metavar="ID",
    type=click.Choice(_IDS),
    help="This check and those it needs; may be repeated.",
)
@click.option("--list", "list_only", is_flag=True, help="Show the catalogue and do nothing.")
@click.option(
    "--settings",
    "settings_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings file.",
)
@click.option(
    "--json",
    "json_path",
    type=OutputFile(dash=True),
    help="Write the report as JSON; - for standard output.",
)
def selftest(
    sim: bool,
    level: str,
    only: tuple[str, ...],
    list_only: bool,
    settings_path: Path | None,
    json_path: Path | None,
) -> None:
    """Check the instrument, and print what each check measured and what it may be.

    Levels daily and full switch the UV light on, with the lid closed only, and move the stage.
    Exit code: 0 nothing failed, 3 a check failed, 4 ended early.
    """
    settings = load_settings(settings_path)
    if sim:
        settings = simulated_settings(settings)
    wanted = Level(level)
    if list_only:
        click.echo(_catalogue(choose(CATALOGUE, wanted, only), uncalibrated(settings)))
        return
    # One thread per analysis worker is faster than OpenCV's own pool on two cores.
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory(prefix="leukolux-") as folder:
        if sim:
            settings = changed_settings(settings, records__directory=folder)
        report = _check(settings, wanted, only)
    if json_path is None:
        click.echo(_table(report))
    else:
        document: dict[str, Any] = {"software": version(), "simulated": sim, **report.as_dict()}
        with click.open_file(str(json_path), "w", encoding="utf-8") as file:
            file.write(json.dumps(document, indent=2) + "\n")
    if report.cancelled:
        sys.exit(EXIT_CANCELLED)
    sys.exit(EXIT_FAILED if report.verdict is Verdict.FAIL else 0)


def _check(settings: Settings, level: Level, only: Sequence[str]) -> CheckReport:
    clock = build_clock(settings)
    folder = records_folder(settings)
    with owned(folder), closing(Records(folder / DATABASE_NAME, clock)) as records:
        with (
            closing(build_hardware(settings, clock)) as hardware,
            _cancelled_by_ctrl_c() as cancel,
        ):
            context = CheckContext(
                effective_now(settings, records.calibrations, hardware),
                hardware,
                records,
                clock,
                load_models=partial(load_tested_models, settings.analysis.provider),
                cancel=cancel,
            )
            report = run_checks(choose(CATALOGUE, level, only), level, context, _tell)
        if not only:
            _keep(records, report)
    return report


def _keep(records: Records, report: CheckReport) -> None:
    try:
        records.quality.add_check("", report.as_dict(), {"software": version()})
    except LeukoluxError as error:
        click.echo(f"The report is not in the records: {error}", err=True)


@contextmanager
def _cancelled_by_ctrl_c() -> Iterator[Event]:
    """Let Ctrl-C end the check in progress as a person on the screen would."""
    cancel = Event()
    former = signal.signal(signal.SIGINT, setter(cancel))
    try:
        yield cancel
    finally:
        signal.signal(signal.SIGINT, former)


def _tell(done: Sequence[CheckResult], now: Check | None) -> None:
    if now is not None and sys.stderr.isatty():
        click.echo(f"{now.title} ...", err=True)


def _catalogue(checks: Sequence[Check], used: Effective) -> str:
    return "\n".join(
        f"{check.id:26}{check.level:9}{check.limit(used).text:28}{check.what}" for check in checks
    )


def _table(report: CheckReport) -> str:
    lines = [f"{'check':26}{'verdict':9}{'measured':>10}  {'limit':28}{'ms':>7}"]
    for result in report.results:
        measured = "" if result.measured is None else f"{result.measured:.4g}"
        lines.append(
            f"{result.id:26}{result.verdict:9}{measured:>10}  {result.limit:28}"
            f"{result.duration_ms:7.0f}"
        )
        if result.verdict is not Verdict.PASS:
            said = " ".join(part for part in (result.cause, result.remedy) if part)
            lines.append(f"    {result.code + ': ' if result.code else ''}{said}")
    counts = ", ".join(f"{n} {verdict}" for verdict, n in report.counts.items() if n)
    return "\n".join([*lines, f"{report.level}: {counts}"])
