"""Calibration in the words of the screen; the command line prints the same."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from device.calibration.effective import expires, valid_days
from device.calibration.service import CalibrationService
from device.calibration.steps.catalogue import STEPS, Need, Step
from device.calibration.steps.quantities import Quantity
from device.records.calibrations import CalibrationRecord
from device.settings.sections import CalibrationConfig
from webui.catalogue import label, text
from webui.views.result import when

TODO = "todo"
MOST_DIGITS = 5
"""After the point; a smaller uncertainty does not matter."""

SHOWN_VALUES = 3
"""Of a calibration in a result: the most important ones, which come first."""


def calibration_view(service: CalibrationService, config: CalibrationConfig) -> dict[str, Any]:
    """Return the whole calibration, JSON-compatible, every text ready to print."""
    session = service.session()
    results = service.results()
    now = service.effective()
    following = service.next_step()
    return {
        "session": None
        if session is None
        else {
            "id": session.id,
            "operator": session.operator,
            "begun": when(session.begun_utc),
            "steps": list(session.steps),
            "marks": {name: list(place) for name, place in session.marks.items()},
        },
        "due": list(service.due()),
        "next": following.id if following is not None else None,
        "steps": [
            _step(
                step,
                results.get(step.id),
                now.used.get(step.id),
                now.validity(step.id),
                config,
                in_session=session is not None and step.id in session.steps,
            )
            for step in STEPS
        ],
    }


def _step(
    step: Step,
    result: CalibrationRecord | None,
    used: CalibrationRecord | None,
    holds: str,
    config: CalibrationConfig,
    *,
    in_session: bool,
) -> dict[str, Any]:
    end = expires(used, config) if used is not None else None
    state = result.state.value if result is not None else TODO
    return {
        "id": step.id,
        "title": label("calibration_title", step.id),
        "text": label("calibration_text", step.id),
        "needs": [label("calibration_need", need.value) for need in step.needs],
        "entries": [
            {
                "name": e.name,
                "label": label("calibration_quantity", e.name),
                "unit": unit_text(e.unit),
            }
            for e in step.entries
            if not e.marked
        ],
        "marked": any(entry.marked for entry in step.entries),
        "pulses": Need.PULSES in step.needs,
        "may_skip": step.may_skip,
        "valid_days": valid_days(step.id, config),
        "in_session": in_session,
        "state": state,
        "state_label": label("calibration_state", state),
        "validity": holds,
        "validity_label": validity_text(holds, end.isoformat() if end is not None else None),
        "result": result_view(result) if result is not None else None,
        "used": result_view(used) if used is not None else None,
    }


def validity_text(holds: str, end_utc: str | None) -> str:
    """Return until when a step is calibrated, or that it is not calibrated."""
    if holds == "valid" and end_utc is not None:
        return text("calibration.valid_until", date=when(end_utc))
    return label("calibration_validity", holds)


def result_view(record: CalibrationRecord) -> dict[str, Any]:
    """Return one stored result, every text ready to print."""
    return {
        "id": record.id,
        "when": when(record.utc),
        "operator": record.operator,
        "software": record.software,
        "rows": quantity_rows(record.quantities),
        "refusal": dict(record.refusal) if record.refusal is not None else None,
    }


def quantity_rows(quantities: Any) -> list[dict[str, Any]]:
    """Return label, value with uncertainty, limits and acceptance of each value."""
    return [_row(_printed(stored)) for stored in quantities]


def unit_text(unit: str) -> str:
    """Return a unit as it is printed."""
    return unit.replace("um", "µm").replace("m2", "m²").replace("deg", "°")


def _printed(stored: Mapping[str, Any]) -> Quantity:
    return replace(Quantity(**stored), unit=unit_text(stored["unit"]))


def _row(quantity: Quantity) -> dict[str, Any]:
    return {
        "name": quantity.name,
        "label": label("calibration_quantity", quantity.name),
        "value": value_text(quantity),
        "limits": quantity.limits,
        "accepted": quantity.accepted,
    }


def value_text(quantity: Quantity) -> str:
    """Return a value with as many digits as its uncertainty justifies."""
    spread = quantity.uncertainty
    if not spread:
        plain = f"{quantity.value:,.0f}" if abs(quantity.value) >= 1e4 else f"{quantity.value:.4g}"
        return f"{plain} {quantity.unit}".rstrip()
    digits = max(0, 1 - math.floor(math.log10(spread)))
    if digits > MOST_DIGITS:
        return f"{quantity.value:.{MOST_DIGITS}f} {quantity.unit}".rstrip()
    return f"{quantity.value:.{digits}f} ± {spread:.{digits}f} {quantity.unit}".rstrip()


def used_rows(document: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Return the calibrations that a result used, one row each."""
    used = (document or {}).get("calibration", [])
    return [
        {
            "title": label("calibration_title", entry["step"]),
            "when": when(entry["utc"]),
            "operator": entry["operator"],
            "values": [
                f"{label('calibration_quantity', q['name'])} {value_text(_printed(q))}"
                for q in entry["quantities"][:SHOWN_VALUES]
            ],
        }
        for entry in used
    ]
