"""Calibration over the API: what is valid, all results, and the requests of a session."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue

from device.settings.numbers import parse_number
from webui.context import context
from webui.errors import NotFoundError, ParameterError
from webui.parameters import LARGEST_ID, json_body, whole_number
from webui.views.calibration import calibration_view

if TYPE_CHECKING:
    from device.calibration.service import CalibrationService

MAX_LIMIT: Final = 500
LARGEST: Final = sys.float_info.max
_PREVIEW_SHARE: Final = 0.5

blueprint = Blueprint("calibration_api", __name__, url_prefix="/api/v1")

_STEP_REQUESTS: Final[Mapping[str, Callable[[CalibrationService, str, dict[str, float]], None]]] = {
    "measure": lambda service, step, entries: service.measure(step, entries),
    "accept": lambda service, step, entries: service.accept(step),
    "skip": lambda service, step, entries: service.skip(step),
}


@blueprint.get("/calibration")
def calibration() -> Response:
    """Return the steps, what is valid of them, and the open session."""
    parts = context()
    return jsonify(calibration_view(parts.instrument.calibration, parts.settings.calibration))


@blueprint.get("/calibrations")
def calibrations() -> Response:
    """List all results of calibrations, oldest first."""
    after = whole_number(request, "after", default=0, low=0, high=LARGEST_ID)
    limit = whole_number(request, "limit", default=50, low=1, high=MAX_LIMIT)
    found = context().instrument.calibration.page(after, limit + 1)
    shown = found[:limit]
    return jsonify(
        calibrations=[record.as_dict() for record in shown],
        next_after=shown[-1].id if shown else after,
        more=len(found) > limit,
    )


@blueprint.post("/calibration/session")
def begin() -> ResponseReturnValue:
    """Begin a session: ``{"operator": "...", "steps": [...]}``; no steps mean all of them."""
    body = _body()
    operator, steps = body.get("operator"), body.get("steps", [])
    if not isinstance(operator, str) or not _texts(steps):
        raise ParameterError("WEB-CALIBRATION-BEGIN")
    context().instrument.calibration.begin(operator, steps)
    return jsonify(requested="session"), HTTPStatus.CREATED


@blueprint.post("/calibration/end")
def end() -> ResponseReturnValue:
    """End the open session; what was accepted stays in use."""
    context().instrument.calibration.end()
    return jsonify(requested="end")


@blueprint.post("/calibration/steps/<step>/<name>")
def step_request(step: str, name: str) -> ResponseReturnValue:
    """Request ``measure``, with the entered numbers as body, ``accept`` or ``skip`` of a step."""
    if name not in _STEP_REQUESTS:
        raise NotFoundError("WEB-CALIBRATION-REQUEST", name=name[:40])
    _STEP_REQUESTS[name](context().instrument.calibration, step, _numbers())
    return jsonify(requested=name, step=step), HTTPStatus.ACCEPTED


@blueprint.post("/calibration/jog")
def jog() -> ResponseReturnValue:
    """Move the stage a little: ``{"dx_um": 100, "dy_um": 0}``."""
    numbers = _numbers()
    if not set(numbers) <= {"dx_um", "dy_um"}:
        raise ParameterError("WEB-CALIBRATION-JOG")
    context().instrument.calibration.jog(numbers.get("dx_um", 0.0), numbers.get("dy_um", 0.0))
    return jsonify(requested="jog"), HTTPStatus.ACCEPTED


@blueprint.post("/calibration/visit/<corner>")
def visit(corner: str) -> ResponseReturnValue:
    """Drive to a corner of the smear."""
    context().instrument.calibration.visit(corner)
    return jsonify(requested="visit"), HTTPStatus.ACCEPTED


@blueprint.post("/calibration/mark/<corner>")
def mark(corner: str) -> ResponseReturnValue:
    """Mark the position of the stage as a corner of the smear."""
    context().instrument.calibration.mark(corner)
    return jsonify(requested="mark"), HTTPStatus.ACCEPTED


@blueprint.post("/calibration/pulses")
def pulses() -> ResponseReturnValue:
    """Give the pulses that a power meter reads."""
    context().instrument.calibration.give_pulses()
    return jsonify(requested="pulses"), HTTPStatus.ACCEPTED


@blueprint.get("/calibration/picture.png")
def picture() -> Response:
    """Return the last frame of a jog at half its size."""
    found = context().instrument.calibration.picture
    if found is None:
        raise NotFoundError("WEB-JOG-PICTURE")
    scale = 255.0 / max(float(np.percentile(found, 99.5)), 1.0)
    gray = cv2.convertScaleAbs(found, alpha=scale)
    small = cv2.resize(gray, None, fx=_PREVIEW_SHARE, fy=_PREVIEW_SHARE)
    return Response(bytes(cv2.imencode(".png", small)[1]), mimetype="image/png")


def _body() -> dict[str, Any]:
    return json_body(request) if request.data else {}


def _numbers() -> dict[str, float]:
    """Return the numbers of a body; they may be texts, as a person types them."""
    return {name: _number(name, value) for name, value in _body().items()}


def _number(name: str, value: object) -> float:
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return parse_number(value)
    elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST:
        return float(value)
    raise ParameterError("WEB-CALIBRATION-NUMBER", name=name[:40].replace("_", " "))


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
