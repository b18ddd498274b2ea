"""``leukolux scan``: one sample without a screen."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from device.assembly import Assembly, assembled, simulated_settings
from device.engine.state.states import State
from device.errors import SampleRefusedError
from device.instrument import Instrument
from device.laboratory.truth import compare_with_truth
from device.records.reader import RecordsReader
from device.settings.file import changed_settings, load_settings
from webui.cli.option_types import Number, OutputFile, WholeNumber

EXIT_BY_STATE = {"complete": 0, "aborted": 7, "failed": 3, "interrupted": 3}
_POLL_S = 0.5
_FOUND = ("found", "missed", "false_finds")


@click.command()
@click.option("--sim", is_flag=True, help="On the simulated instrument, with the truth next to it.")
@click.option("--sim-wire", is_flag=True, help="With the camera behind a GenTL producer.")
@click.option("--smear", help="Simulated donor, NAME:SEED.")
@click.option("--speed", type=Number(0, min_open=True), help="Simulated seconds per real second.")
@click.option(
    "--target-cells", type=WholeNumber(1), help="Classified white cells that end the scan."
)
@click.option("--sample-id", default="scan", show_default=True, help="Name of the sample.")
@click.option(
    "--control-lot",
    type=WholeNumber(1),
    help="Lot of the control slide that is loaded; the run is no result of a person.",
)
@click.option("--operator", default="", help="Who starts the run.")
@click.option(
    "--settings",
    "settings_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings file.",
)
@click.option(
    "--keep",
    is_flag=True,
    help="Store a simulated run in the records of the settings, and use their calibrations; a real "
    "run always does.",
)
@click.option(
    "--json",
    "json_path",
    type=OutputFile(dash=True),
    help="Write the result as JSON; - for standard output.",
)
def scan(
    sim: bool,
    sim_wire: bool,
    smear: str | None,
    speed: float | None,
    target_cells: int | None,
    sample_id: str,
    control_lot: int | None,
    operator: str,
    settings_path: Path | None,
    keep: bool,
    json_path: Path | None,
) -> None:
    """Scan one sample and print its differential.

    Exit code: 0 complete, 3 failed, 6 refused (for example too few cells), 7 aborted; 2, 4 and 5 if
    there is no run: wrong options or settings, records or networks that fail, a start that is
    refused.
    """
    settings = load_settings(settings_path)
    if (smear or speed is not None or sim_wire) and not sim:
        raise click.UsageError("--smear, --speed and --sim-wire need --sim.")
    if sim:
        settings = simulated_settings(settings, smear=smear, speed=speed, wire=sim_wire)
    if target_cells is not None:
        settings = changed_settings(settings, scan__target_cells=target_cells)
    with tempfile.TemporaryDirectory(prefix="leukolux-") as folder:
        if sim and not keep:
            settings = changed_settings(settings, records__directory=folder)
        with assembled(settings) as assembly:
            assembly.instrument.sample.enter(
                sample_id=sample_id, control_lot=control_lot, operator=operator
            )
            document = _scan(assembly)
    if json_path is not None:
        text = json.dumps(document, indent=2) + "\n"
        if str(json_path) == "-":
            click.echo(text, nl=False)
        else:
            json_path.write_text(text, encoding="utf-8")
    else:
        click.echo(_table(document))
    sys.exit(
        SampleRefusedError.exit_code if document["refusal"] else EXIT_BY_STATE[document["state"]]
    )


def _scan(assembly: Assembly) -> dict[str, Any]:
    instrument = assembly.instrument
    instrument.wait_for(State.IDLE, State.FAULT, timeout_s=120.0)
    if instrument.error is not None:
        raise instrument.error
    run_id = instrument.start()
    try:
        _follow(instrument)
    except KeyboardInterrupt:
        instrument.abort()
        instrument.wait_for(State.COMPLETE, State.FAULT, timeout_s=60.0)
    with assembly.records.reader() as reader:
        return _document(reader, run_id, assembly)


def _follow(instrument: Instrument) -> None:
    """Show progress on a terminal until the run has ended."""
    with (
        instrument.events.subscribe() as events,
        click.progressbar(length=100, label="scan", file=sys.stderr) as bar,
    ):
        while (status := instrument.status()).state not in (State.COMPLETE, State.FAULT):
            share = status.classified / max(1, status.target_cells)
            share = max(share, status.tiles_analysed / max(1, status.tiles_planned))
            bar.update(int(100 * share) - bar.pos)
            events.next(timeout_s=_POLL_S)


def _document(reader: RecordsReader, run_id: int, assembly: Assembly) -> dict[str, Any]:
    document = reader.result(run_id)
    if document is None:
        run = reader.run(run_id)
        raise RuntimeError(f"run {run_id} ended without a result: {run}")
    world = assembly.hardware.simulation
    if world is not None:
        document["truth"] = compare_with_truth(reader, run_id, world.microscope).as_dict()
    return document


def _table(document: dict[str, Any]) -> str:
    truth = document.get("truth", {})
    lines = [f"{document['state']} ({document['reason']}), {document['classified']} cells"]
    for kind, share in document["differential"].items():
        interval = (
            ""
            if share["percent"] is None
            else f"{share['percent']:5.1f} % ({share['low']:.1f}-{share['high']:.1f})"
        )
        row = f"{kind:12} {share['n']:4d} {interval:22}"
        if kind in truth:
            true = truth[kind]
            row += f" truth {true['n']:4d} {true['percent']:5.1f} %"
        lines.append(row.rstrip())
    if truth:
        found = (f"{name.replace('_', ' ')} {truth[name]}" for name in _FOUND)
        lines.append("white cells imaged: " + ", ".join(found))
    lines += [f"{name:12} {document[name]:4d}" for name in ("dead", "other", "unidentified")]
    lines += [f"{flag['level']}: {flag['text']} {flag['remedy']}" for flag in document["flags"]]
    return "\n".join([*lines, "Research use only."])
