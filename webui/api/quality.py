"""Checks and control slides in the API: lists with a cursor, and requests of the screen."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from flask import Blueprint, Response, jsonify, request, url_for
from flask.typing import ResponseReturnValue

from device.checks.report import Level
from device.quality.control import ANALYTES, parse_targets
from webui.api.results import cursor, page
from webui.context import context
from webui.errors import NotFoundError, ParameterError
from webui.exports import attachment
from webui.parameters import choice, field, json_body, record_id
from webui.reading import find_check, find_lot, open_reader
from webui.views.tables import points_csv

LONGEST_COMMENT: Final = 500

blueprint = Blueprint("quality_api", __name__, url_prefix="/api/v1")


@blueprint.get("/checks")
def checks() -> Response:
    """List the checks of the instrument, oldest first."""
    after, limit = cursor(50)
    with open_reader() as reader:
        found = reader.checks(after=after, limit=limit + 1)
    return page("checks", found, after, limit)


@blueprint.get("/checks/<int:check_id>")
def check(check_id: int) -> Response:
    """Return one check with its whole report."""
    with open_reader() as reader:
        return jsonify(find_check(reader, check_id).as_dict())


@blueprint.post("/checks")
def start_check() -> ResponseReturnValue:
    """Start a check of the instrument: ``{"level": "daily", "operator": "AB"}``.

    202: it is requested; the status shows its progress.  409 if the instrument is not idle.
    """
    body = json_body(request)
    levels = (Level.DAILY.value, Level.FULL.value)
    level = body.get("level", levels[0])
    if level not in levels:
        raise ParameterError("WEB-CHECK-LEVEL", level=str(level)[:40], levels=" or ".join(levels))
    context().instrument.check(Level(level), field(body, "operator", longest=64))
    return jsonify(requested=level, status=url_for("api.status")), HTTPStatus.ACCEPTED


@blueprint.get("/quality/lots")
def lots() -> Response:
    """List the lots of control slides, oldest first."""
    with open_reader() as reader:
        found = reader.control_lots()
    return jsonify(lots=[lot.as_dict() for lot in found], units=dict(ANALYTES))


@blueprint.post("/quality/lots")
def add_lot() -> ResponseReturnValue:
    """Enter a lot: ``{"name": "Q7", "level": "normal", "targets": {"neutrophil": {...}}}``.

    Without targets they are established from its first runs.
    """
    body = json_body(request)
    name = field(body, "name", longest=64)
    if not name:
        raise ParameterError("WEB-LOT-NAME")
    entered = body.get("targets")
    targets = parse_targets({} if entered is None else entered)
    lot_id = context().records.quality.add_lot(
        name,
        field(body, "level", longest=32) or "normal",
        {key: vars(target) for key, target in targets.items()} if targets else None,
    )
    link = url_for("quality_api.lot", lot_id=lot_id)
    return jsonify(lot_id=lot_id, link=link), HTTPStatus.CREATED


@blueprint.get("/quality/lots/<int:lot_id>")
def lot(lot_id: int) -> Response:
    """Return one lot."""
    with open_reader() as reader:
        return jsonify(find_lot(reader, lot_id).as_dict())


@blueprint.post("/quality/lots/<int:lot_id>/close")
def close_lot(lot_id: int) -> ResponseReturnValue:
    """Mark a lot as used up."""
    with open_reader() as reader:
        find_lot(reader, lot_id)
    context().records.quality.close_lot(lot_id)
    context().instrument.sample.recheck()
    return jsonify(closed=lot_id)


@blueprint.get("/quality/lots/<int:lot_id>/points")
def points(lot_id: int) -> Response:
    """List the control runs of a lot; ``format=csv`` gives all as a table."""
    if choice(request, "format", ("json", "csv"), "json") == "csv":
        return points_table(lot_id)
    after, limit = cursor(200)
    with open_reader() as reader:
        find_lot(reader, lot_id)
        found = reader.control_points(lot_id, after=after, limit=limit + 1)
    return page("points", found, after, limit)


@blueprint.get("/quality/lots/<int:lot_id>/points.csv")
def points_table(lot_id: int) -> Response:
    """Return all control runs of a lot as a table."""
    with open_reader() as reader:
        name = find_lot(reader, lot_id).name
        table = points_csv(name, reader.every_control_point(lot_id))
    return attachment(table, "text/csv", f"lot-{lot_id}.csv")


@blueprint.post("/quality/points/<int:point_id>/comments")
def comment(point_id: int) -> ResponseReturnValue:
    """Add a comment to a control run: ``{"operator": "AB", "text": "..."}``."""
    body = json_body(request)
    text = field(body, "text", longest=LONGEST_COMMENT)
    if not text:
        raise ParameterError("WEB-COMMENT-EMPTY")
    with open_reader() as reader:
        if reader.control_point(record_id(point_id)) is None:
            raise NotFoundError("WEB-CONTROL-RUN-NOT-FOUND", point_id=point_id)
    operator = field(body, "operator", longest=64)
    comment_id = context().records.quality.comment(point_id, operator, text)
    return jsonify(comment_id=comment_id), HTTPStatus.CREATED
