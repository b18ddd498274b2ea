"""The touchscreen pages of checks and control slides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from device.engine.state.states import State
from device.quality.control import ANALYTES, ESTABLISHING_RUNS, lot_targets
from webui.catalogue import text
from webui.context import context
from webui.parameters import LARGEST_ID, choice, whole_number
from webui.reading import find_check, find_lot, open_reader
from webui.views import levey_jennings
from webui.views import result as result_view
from webui.views.calibration import unit_text
from webui.views.status import status_view_of

if TYPE_CHECKING:
    from device.status import Status

HISTORY_ROWS: Final = 4
SHOWN_POINTS: Final = 5
REMARKS: Final = ("repeated", "cleaned", "serviced", "new_slide", "no_cause")

LEVELS: Final = ("normal", "low", "high")

blueprint = Blueprint("quality", __name__)


@blueprint.get("/checks")
def checks() -> ResponseReturnValue:
    """Start a check, watch it, and read past checks."""
    status = context().instrument.status()
    if status.state == State.CHECKING:
        return _render("checking.html", status)
    before = whole_number(request, "before", default=0, low=0, high=LARGEST_ID)
    with open_reader() as reader:
        found = reader.checks(after=before, limit=HISTORY_ROWS + 1, newest_first=True)
    older = found[HISTORY_ROWS - 1].id if len(found) > HISTORY_ROWS else None
    return _render("checks.html", checks=found[:HISTORY_ROWS], older=older, at_newest=before == 0)


@blueprint.get("/checks/<int:check_id>")
def check(check_id: int) -> ResponseReturnValue:
    """What one check found, the worst first."""
    with open_reader() as reader:
        found = find_check(reader, check_id)
    order = ("fail", "warn", "skipped", "pass")
    printed = ({**one, "limit": unit_text(one["limit"])} for one in found.report["results"])
    results = sorted(printed, key=lambda result: order.index(result["verdict"]))
    return _render("check.html", check=found, results=results)


@blueprint.get("/controls")
def controls() -> ResponseReturnValue:
    """The lots of control slides."""
    with open_reader() as reader:
        lots = reader.control_lots(open_only=True)
        last = {lot.id: reader.last_control_point(lot.id) for lot in lots}
    return _render("controls.html", lots=lots, last=last)


@blueprint.get("/controls/new")
def new_lot() -> ResponseReturnValue:
    """Enter a lot of control slides, with the targets on its label if there are any."""
    units = {name: unit_text(unit) for name, unit in ANALYTES.items()}
    levels = [text(f"control.levels.{name}") for name in LEVELS]
    return _render("control_new.html", analytes=units, levels=levels, needed=ESTABLISHING_RUNS)


@blueprint.get("/controls/<int:lot_id>")
def control(lot_id: int) -> ResponseReturnValue:
    """The Levey-Jennings chart of one analyte of a lot."""
    analyte = choice(request, "analyte", tuple(ANALYTES), next(iter(ANALYTES)))
    with open_reader() as reader:
        lot = find_lot(reader, lot_id)
        points = list(reader.every_control_point(lot_id))
    return _render(
        "control.html",
        lot=lot,
        analytes=ANALYTES,
        analyte=analyte,
        chart=levey_jennings.chart(lot_targets(lot), points, analyte),
        size=(levey_jennings.WIDTH, levey_jennings.HEIGHT),
        newest=points[: -SHOWN_POINTS - 1 : -1],
        runs=sum(bool(point.values) for point in points),
        needed=ESTABLISHING_RUNS,
        remarks=[text(f"control.remark.{name}") for name in REMARKS],
    )


def _render(template: str, status: Status | None = None, **values: object) -> str:
    status = status or context().instrument.status()
    view = status_view_of(context(), status)
    return render_template(template, view=view, status=status, rv=result_view, **values)
