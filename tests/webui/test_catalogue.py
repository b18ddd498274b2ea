from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

import webui
from device.calibration.steps.catalogue import STEP_IDS, STEPS, Need
from device.calibration.steps.slide_corners import CORNERS
from device.checks.catalogue import CATALOGUE
from device.checks.report import Level, Verdict
from device.engine.state.states import State
from device.quality.control import ANALYTES, ControlVerdict
from device.records.calibrations import CalibrationState
from device.records.record_types import RunState
from device.results.cell import CellKind
from device.results.differential import FlagLevel
from device.status import StopReason
from webui.catalogue import catalogue, duration, label, text
from webui.exports import EXPORTS
from webui.pages.instrument import LOOKS
from webui.pages.quality import LEVELS, REMARKS

SOURCES = Path(webui.__file__).parent
VALUES: list[tuple[str, Iterable[str]]] = [
    ("state", State),
    ("state_short", State),
    ("kind", [*CellKind, "unidentified"]),
    ("kind_one", [*CellKind, "unidentified"]),
    ("kind_short", [*CellKind, "unidentified"]),
    ("kind_letter", [*CellKind, "unidentified"]),
    ("stain.look", LOOKS),
    ("export", [name.replace(".", "_") for name in EXPORTS]),
    ("check.title", [check.id for check in CATALOGUE]),
    ("check.level", Level),
    ("check.verdict", [*Verdict, "waiting", "now"]),
    ("control.verdict", ControlVerdict),
    ("control.analyte", ANALYTES),
    ("control.source", ["entered", "established"]),
    ("control.remark", REMARKS),
    ("control.levels", LEVELS),
    ("result.reason", [*StopReason, RunState.RUNNING]),
    ("result.level", FlagLevel),
    ("calibration_title", STEP_IDS),
    ("calibration_text", STEP_IDS),
    ("calibration_need", Need),
    ("calibration_state", [*CalibrationState, "todo"]),
    ("calibration_validity", ["valid", "expired", "missing"]),
    ("calibration_mark", CORNERS),
    ("calibration_visit", CORNERS),
    ("calibration_quantity", [e.name for s in STEPS for e in s.entries if not e.marked]),
]


def test_every_text_the_templates_ask_for_exists() -> None:
    templates = sorted((SOURCES / "templates").glob("*.html"))
    asked = {
        key
        for template in templates
        for key in re.findall(r'\bt\(["\']([a-z0-9_.]+)["\']', template.read_text("utf-8"))
    }
    assert len(asked) > 50
    assert asked <= set(catalogue())


def test_every_text_is_used() -> None:
    sources = [*SOURCES.glob("templates/*.html"), *SOURCES.rglob("*.py")]
    code = "\n".join(source.read_text("utf-8") for source in sources)
    groups = {group for group, _ in VALUES}
    unused = [
        key
        for key in catalogue()
        if f'"{key}"' not in code
        and f"'{key}'" not in code
        and key.rpartition(".")[0] not in groups
    ]
    assert unused == []


@pytest.mark.parametrize(("group", "names"), VALUES)
def test_every_value_of_the_instrument_has_a_text(group: str, names: Iterable[str]) -> None:
    assert all(f"{group}.{name}" in catalogue() for name in names)


def test_unknown_value_is_shown_as_itself() -> None:
    assert label("kind", "plasma_cell") == "Plasma cell"


def test_unknown_key_is_an_error() -> None:
    with pytest.raises(KeyError):
        text("home.nothing")


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.2, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (125, "2 min 5 s"), (4320, "1 h 12 min")],
)
def test_durations_read_naturally(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


def test_the_titles_of_checks_are_those_of_the_catalogue_of_checks() -> None:
    assert all(text(f"check.title.{check.id}") == check.title for check in CATALOGUE)
