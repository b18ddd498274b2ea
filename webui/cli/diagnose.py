"""``leukolux diagnose``: one archive for the person who looks for the cause of a failure."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from device.assembly import simulated_settings
from device.diagnosis.collect import Diagnosis
from device.diagnosis.self_test import self_test
from device.settings.file import Settings, load_settings
from hal.errors import SettingsError
from hal.factory import step_through

EXIT_INCOMPLETE = 3
STEP_SPEED = 10.0
"""Factor by which a replay waits less than the controller did."""


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("leukolux-diagnosis.tar.gz"),
    show_default=True,
    help="The archive.",
)
@click.option(
    "--settings",
    "settings_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings file, the same as the instrument's.",
)
@click.option("--sim", is_flag=True, help="Test the simulated instrument.")
@click.option("--self-test/--no-self-test", "wants_test", default=True, help="Open the devices.")
@click.option(
    "--replay",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Step the stage's driver through a recording instead.",
)
def diagnose(
    out: Path, settings_path: Path | None, sim: bool, wants_test: bool, replay: Path | None
) -> None:
    """Gather versions, settings, last events, recordings and system state in one archive.

    It holds no sample ids and no names.  While the instrument runs, everything except the
    self-test is gathered.

    Exit code: 0 the archive is complete, 2 it could not be written, 3 parts of it are missing or
    the self-test failed.
    """
    if replay is not None:
        for outcome in step_through(replay, STEP_SPEED):
            click.echo(outcome)
        return
    error: SettingsError | None = None
    settings = Settings()
    try:
        settings = load_settings(settings_path)
        if sim:
            settings = simulated_settings(settings)
    except SettingsError as broken:
        error = broken
        settings = simulated_settings(settings) if sim else settings
    passed = True

    def tested() -> dict[str, object]:
        nonlocal passed
        if not wants_test:
            return {"skipped": "It was not wanted."}
        if error is not None and not sim:
            raise error
        found = self_test(settings, simulated=sim)
        passed = found.get("passed") is not False
        return found

    failed = Diagnosis(settings, error, tested).write(out)
    click.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB, without sample ids and names")
    for name in failed:
        click.echo(f"missing: {name}, see {name}.failed.txt in the archive", err=True)
    if not passed:
        click.echo("The self-test has failed, see self-test.json in the archive.", err=True)
    if failed or not passed:
        sys.exit(EXIT_INCOMPLETE)
