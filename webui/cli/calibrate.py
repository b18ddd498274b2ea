"""``leukolux calibrate``: the guided steps without a screen."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from device.assembly import DATABASE_NAME, assembled, records_folder, simulated_settings
from device.calibration.order import CalibrationOrder
from device.calibration.service import CalibrationService
from device.calibration.steps.catalogue import STEP_IDS, STEPS, Need, Step
from device.calibration.steps.slide_corners import CORNERS
from device.engine.state.states import State
from device.errors import RequestRefusedError
from device.instrument import Instrument
from device.records.calibrations import CalibrationRecord, CalibrationState
from device.records.records import Records
from device.settings.file import Settings, load_settings
from device.settings.numbers import parse_number, shortened
from hal.errors import InterlockError, LeukoluxError
from hal.factory import simulates
from webui.catalogue import label, text
from webui.cli.option_types import Number, OutputFile
from webui.views.calibration import calibration_view, result_view

EXIT_REFUSED = 6
READY_TIMEOUT_S = 120.0
STEP_TIMEOUT_S = 1800.0
_ENTRIES = tuple(entry.name for step in STEPS for entry in step.entries)
_DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


@click.command()
@click.option("--sim", is_flag=True, help="On the simulated instrument.")
@click.option("--speed", type=Number(0, min_open=True), help="Simulated seconds per real second.")
@click.option(
    "--settings",
    "settings_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings file.",
)
@click.option("--step", "steps", multiple=True, type=click.Choice(STEP_IDS), help="Only this one.")
@click.option("--operator", default="", help="Who calibrates.")
@click.option("--list", "show", is_flag=True, help="Print what is valid, and measure nothing.")
@click.option("--resume", is_flag=True, help="Go on with the session that was begun last.")
@click.option(
    "--set",
    "entered",
    multiple=True,
    metavar="NAME=VALUE",
    help="A number that a step asks for, e.g. power_mw=0.01.",
)
@click.option("--yes", is_flag=True, help="Ask nothing: accept what is inside its limits.")
@click.option(
    "--json",
    "json_path",
    type=OutputFile(dash=True),
    help="Write everything as JSON; - for standard output.",
)
def calibrate(
    sim: bool,
    speed: float | None,
    settings_path: Path | None,
    steps: Sequence[str],
    operator: str,
    show: bool,
    resume: bool,
    entered: Sequence[str],
    yes: bool,
    json_path: Path | None,
) -> None:
    """Calibrate the instrument step by step; every finished step is stored.

    Exit code: 0 all steps accepted or skipped, 6 a step was refused.
    """
    settings = load_settings(settings_path)
    if speed is not None and not sim:
        raise click.UsageError("--speed needs --sim.")
    if sim:
        settings = simulated_settings(settings, speed=speed)
    numbers = _numbers(entered)
    if show:
        document = _stored(settings)
    else:
        with assembled(settings) as assembly:
            guide = _Guide(assembly.instrument, numbers, yes=yes)
            document = guide.walk(settings, operator, steps, resume=resume)
    if json_path is not None:
        with click.open_file(str(json_path), "w", encoding="utf-8") as file:
            file.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    else:
        click.echo("\n".join(_lines(document)))
    refused = any(step["in_session"] and step["state"] == "refused" for step in document["steps"])
    sys.exit(EXIT_REFUSED if refused and not show else 0)


class _Guide:
    """Leads a person, or with ``yes`` nobody, through the steps."""

    def __init__(self, instrument: Instrument, numbers: Mapping[str, float], *, yes: bool) -> None:
        self._instrument = instrument
        self._service: CalibrationService = instrument.calibration
        self._numbers = numbers
        self._yes = yes

    def walk(
        self, settings: Settings, operator: str, steps: Sequence[str], *, resume: bool
    ) -> dict[str, Any]:
        """Do what is left of a session; return the view of the calibration."""
        status = self._instrument.wait_for(State.IDLE, State.FAULT, timeout_s=READY_TIMEOUT_S)
        if status.state == State.FAULT and self._instrument.error is not None:
            raise self._instrument.error
        if not resume:
            name = operator or ("" if self._yes else click.prompt(text("calibration.operator")))
            self._service.begin(name, steps)
        elif self._service.session() is None:
            raise RequestRefusedError("CALIBRATE-NO-SESSION")
        session = self._service.session()
        while (step := self._service.next_step()) is not None:
            if not self._do(step):
                break
        view = calibration_view(self._service, settings.calibration)
        if session is not None:
            for shown in view["steps"]:
                shown["in_session"] = shown["id"] in session.steps
        return view

    def _do(self, step: Step) -> bool:
        """Do one step until it is accepted or skipped; False ends the session for now."""
        click.echo(f"\n{label('calibration_title', step.id)}", err=True)
        click.echo(label("calibration_text", step.id), err=True)
        for need in step.needs:
            click.echo(f"- {label('calibration_need', need.value)}", err=True)
        entries = self._entries(step)
        if entries is None:
            if self._yes:
                wanted = [e.name for e in step.entries if e.required or e.marked]
                missing = [f"--set {name}=NUMBER" for name in wanted if name not in self._numbers]
                click.echo(f"Left out; it takes {', '.join(missing)}.", err=True)
            return self._leave_out(step)
        while True:
            if not self._yes:
                click.confirm(text("calibration.measure"), default=True, abort=True, err=True)
            result = self._measure(step, entries)
            if result.state is CalibrationState.MEASURED:
                accepted = self._yes or click.confirm(
                    text("calibration.accept"), default=True, err=True
                )
                if accepted:
                    self._service.accept(step.id)
                    return True
            if self._yes:
                return False
            again = click.confirm(text("calibration.repeat"), default=True, err=True)
            if not again:
                return self._leave_out(step)

    def _leave_out(self, step: Step) -> bool:
        if not step.may_skip:
            return False
        if not self._yes and not click.confirm(text("calibration.skip"), default=True, err=True):
            return False
        self._service.skip(step.id)
        return True

    def _measure(self, step: Step, entries: Mapping[str, float]) -> CalibrationRecord:
        self._service.measure(step.id, entries)
        self._wait()
        result = self._service.results()[step.id]
        self._tell(result)
        return result

    def _tell(self, result: CalibrationRecord) -> None:
        view = result_view(result)
        for row in view["rows"]:
            click.echo(_row(row), err=True)
        if view["refusal"] is not None:
            refusal = view["refusal"]
            click.echo(f"{refusal['code']}: {refusal['cause']} {refusal['remedy']}", err=True)

    def _wait(self) -> None:
        """Wait for the step to end; Ctrl-C stops it."""
        try:
            self._instrument.wait_for(State.IDLE, State.FAULT, timeout_s=STEP_TIMEOUT_S)
        except KeyboardInterrupt:
            self._instrument.abort()
            self._instrument.wait_for(State.IDLE, State.FAULT, timeout_s=READY_TIMEOUT_S)
            raise
        if self._instrument.error is not None:
            raise self._instrument.error

    def _entries(self, step: Step) -> dict[str, float] | None:
        """Return what the step asks for; None when it is to be left out."""
        known = {e.name: self._numbers[e.name] for e in step.entries if e.name in self._numbers}
        if any(entry.marked for entry in step.entries) and not known:
            return None if self._yes else self._drive()
        asked = [e for e in step.entries if e.required and e.name not in known]
        if asked and Need.PULSES in step.needs and not self._yes and not self._read_pulses(step):
            return None
        for entry in step.entries:
            if entry.name in known or not entry.required:
                continue
            if self._yes:
                return None
            name = label("calibration_quantity", entry.name)
            known[entry.name] = click.prompt(f"{name} ({entry.unit})", type=Number(), err=True)
        return known

    def _read_pulses(self, step: Step) -> bool:
        """Give pulses as often as the person asks for them; False when the step is left out."""
        click.echo(
            "pulses gives the 10 pulses, Ctrl-C ends them and the command; done goes on to the "
            "readings; skip leaves the step out.",
            err=True,
        )
        while (word := click.prompt(">", err=True).strip()) not in ("done", "skip"):
            if word != "pulses":
                click.echo("Not understood.", err=True)
                continue
            try:
                before = self._service.version
                self._service.give_pulses()
                self._wait()
                if self._service.version != before:
                    self._tell(self._service.results()[step.id])
            except (RequestRefusedError, InterlockError) as error:
                click.echo(str(error), err=True)
        return word == "done"

    def _drive(self) -> dict[str, float] | None:
        """Let the person drive to the corners and mark them."""
        click.echo(
            "go first or go second drives to a corner; left, right, up or down with a distance in "
            "um moves; first and second mark where the stage is; done when both are marked; skip "
            "leaves the step out.",
            err=True,
        )
        while True:
            words = click.prompt(">", err=True).split()
            try:
                if words == ["skip"]:
                    return None
                session = self._service.session()
                if words == ["done"] and session is not None and set(CORNERS) <= set(session.marks):
                    return {}
                self._obey(words)
            except (LeukoluxError, ValueError, IndexError) as error:
                click.echo(str(error), err=True)

    def _obey(self, words: Sequence[str]) -> None:
        if words and words[0] in _DIRECTIONS:
            x, y = _DIRECTIONS[words[0]]
            length_um = parse_number(words[1])
            self._service.jog(x * length_um, y * length_um)
            self._wait()
        elif words[:1] == ["go"]:
            self._service.visit(words[1])
            self._wait()
        elif words and words[0] in CORNERS:
            self._service.mark(words[0])
            self._wait()
        else:
            raise ValueError("Not understood, or a corner is not marked yet.")


def _numbers(entered: Sequence[str]) -> dict[str, float]:
    numbers = {}
    for item in entered:
        name, equals, typed = item.partition("=")
        if not (name.strip() and equals):
            raise click.UsageError(f"--set {shortened(item)}: write NAME=VALUE.")
        if name.strip() not in _ENTRIES:
            raise click.UsageError(
                f"--set {shortened(name.strip())}: no step asks for it, only for "
                f"{', '.join(_ENTRIES)}."
            )
        try:
            numbers[name.strip()] = parse_number(typed)
        except ValueError as error:
            raise click.UsageError(f"--set {shortened(name.strip())}: {error}") from error
    return numbers


def _stored(settings: Settings) -> dict[str, Any]:
    """Return the view of what the records hold, without opening the instrument."""

    def nothing(order: CalibrationOrder) -> None:
        raise RequestRefusedError("CALIBRATE-LIST-ONLY")

    with closing(Records(records_folder(settings) / DATABASE_NAME)) as records:
        device = "simulated" if simulates(settings) else "instrument"
        service = CalibrationService(settings, records.calibrations, device, nothing)
        return calibration_view(service, settings.calibration)


def _lines(document: Mapping[str, Any]) -> list[str]:
    lines = []
    for step in document["steps"]:
        days = step["valid_days"]
        holds = f"holds {days} days" if days else "holds for ever"
        lines.append(f"{step['id']:16} {step['title']:24} {holds:15} {step['validity_label']}")
        if step["used"]:
            lines += [_row(row) for row in step["used"]["rows"]]
    return lines


def _row(row: Mapping[str, Any]) -> str:
    limits = f"   accepted: {row['limits']}" if row["limits"] else ""
    mark = " " if row["accepted"] else "!"
    return f"  {mark} {row['label']:38} {row['value']}{limits}"
