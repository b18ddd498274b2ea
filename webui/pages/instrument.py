"""The touchscreen pages."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from flask import Blueprint, Response, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from device.results.cell import FIVE_TYPES, THUMBNAIL_PX, CellKind
from webui.catalogue import label
from webui.context import context
from webui.errors import NotFoundError
from webui.exports import EXPORTS
from webui.parameters import LARGEST_ID, choice, whole_number
from webui.reading import find_cell, find_run, open_reader
from webui.views import result as result_view
from webui.views.calibration import used_rows
from webui.views.field_picture import field_picture_png
from webui.views.outline import outlines
from webui.views.palette import style_sheet
from webui.views.status import OUTSIDE_KINDS, screen_path, status_view_of
from webui.views.tables import all_cells

if TYPE_CHECKING:
    from device.records.reader import RecordsReader
    from device.records.record_types import RunRecord
    from device.status import Status

LAST_RESULTS: Final = 3
HISTORY_ROWS: Final = 5
LATEST_CELLS: Final = 4
CELLS_ON_A_PAGE: Final = 24
LOOKS: Final = ("stained", "gray")

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
def home() -> ResponseReturnValue:
    """Sample id and Start, or the page of the state when a run or a fault has the screen."""
    status = context().instrument.status()
    path = screen_path(status)
    if path != "/":
        return redirect(path)
    with open_reader() as reader:
        newest = reader.list_runs(limit=LAST_RESULTS, newest_first=True)
        last = _rows(reader, newest)
        lots = reader.control_lots(open_only=True)
    return _render("home.html", status, last=last, lots=lots)


@blueprint.get("/classes.css")
def class_colours() -> Response:
    """The colours of the classes."""
    return Response(style_sheet(), mimetype="text/css")


@blueprint.get("/live")
def live() -> ResponseReturnValue:
    """The run in progress."""
    status = context().instrument.status()
    path = screen_path(status)
    if path != "/live":
        return redirect(path)
    return _render(
        "live.html", status, five=[kind.value for kind in FIVE_TYPES], outside=OUTSIDE_KINDS
    )


@blueprint.get("/screen/field.png")
def latest_field() -> ResponseReturnValue:
    """The field that was analysed last, with its white cells boxed."""
    analysis = context().instrument.latest_tile()
    if analysis is None:
        raise NotFoundError("WEB-SCREEN-FIELD")
    return Response(field_picture_png(analysis), mimetype="image/png")


@blueprint.get("/screen/cells")
def latest_cells() -> ResponseReturnValue:
    """The last counted cells of the present run, newest first."""
    run_id = context().instrument.status().run_id
    with open_reader() as reader:
        last = deque(all_cells(reader, run_id) if run_id is not None else (), LATEST_CELLS)
    return jsonify(
        [
            {
                "id": cell.id,
                "group": result_view.group_of(cell),
                "label": label("kind_short", result_view.group_of(cell)),
                "picture": url_for("api.cell_picture", cell_id=cell.id),
            }
            for cell in reversed(last)
        ]
    )


@blueprint.get("/fault")
def fault() -> ResponseReturnValue:
    """What stopped the instrument, until it is acknowledged."""
    status = context().instrument.status()
    path = screen_path(status)
    if path != "/fault":
        return redirect(path)
    return _render("fault.html", status)


@blueprint.get("/runs")
def history() -> ResponseReturnValue:
    """Past runs, newest first."""
    before = whole_number(request, "before", default=0, low=0, high=LARGEST_ID)
    with open_reader() as reader:
        found = reader.list_runs(after=before, limit=HISTORY_ROWS + 1, newest_first=True)
        rows = _rows(reader, found[:HISTORY_ROWS])
    older = rows[-1]["run"].id if len(found) > HISTORY_ROWS else None
    return _render("history.html", rows=rows, older=older, at_newest=before == 0)


@blueprint.get("/runs/<int:run_id>")
def result(run_id: int) -> ResponseReturnValue:
    """The differential of one run."""
    with open_reader() as reader:
        run = find_run(reader, run_id)
        document = reader.result(run_id)
    shares = result_view.share_rows(document) if document else []
    return _render_run(
        "result.html",
        run,
        document=document,
        rows=shares,
        axis_end=result_view.axis_end_percent(shares),
        tab="differential",
    )


@blueprint.get("/runs/<int:run_id>/cells")
def cells(run_id: int) -> ResponseReturnValue:
    """The cells of one run, class by class."""
    with open_reader() as reader:
        run = find_run(reader, run_id)
        groups = result_view.grouped(all_cells(reader, run_id))
    fullest = next((name for name, members in groups.items() if members), result_view.GROUPS[0])
    shown = choice(request, "kind", result_view.GROUPS, fullest)
    last_page = max(1, -(-len(groups[shown]) // CELLS_ON_A_PAGE))
    number = whole_number(request, "page", default=1, low=1, high=last_page)
    begin = (number - 1) * CELLS_ON_A_PAGE
    return _render_run(
        "cells.html",
        run,
        groups=groups,
        shown=shown,
        cells=groups[shown][begin : begin + CELLS_ON_A_PAGE],
        page=number,
        last_page=last_page,
        tab="cells",
        **_look(),
    )


@blueprint.get("/runs/<int:run_id>/mosaic")
def mosaic(run_id: int) -> ResponseReturnValue:
    """The whole blood that was scanned, to zoom into, with every counted cell boxed."""
    marked = whole_number(request, "cell", default=0, low=0, high=LARGEST_ID)
    with open_reader() as reader:
        run = find_run(reader, run_id)
    return _render_run(
        "mosaic.html",
        run,
        groups=result_view.GROUPS,
        kept=bool(context().records.tile_pictures.kept(run_id)),
        marked=marked,
        tab="mosaic",
        **_look(),
    )


@blueprint.get("/runs/<int:run_id>/details")
def details(run_id: int) -> ResponseReturnValue:
    """Where the numbers of one run come from."""
    with open_reader() as reader:
        run = find_run(reader, run_id)
        document = reader.result(run_id)
    return _render_run(
        "details.html",
        run,
        document=document,
        calibrations=used_rows(document),
        exports=EXPORTS,
        tab="details",
    )


@blueprint.get("/cells/<int:cell_id>")
def cell(cell_id: int) -> ResponseReturnValue:
    """One cell, large, with its outlines and probabilities."""
    with open_reader() as reader:
        found = find_cell(reader, cell_id)
        run = find_run(reader, found.run_id)
        mask = reader.cell_mask(cell_id)
        members = result_view.grouped(all_cells(reader, run.id))[result_view.group_of(found)]
    ids = [member.id for member in members]
    previous, following = result_view.neighbours(ids, cell_id)
    return _render_run(
        "cell.html",
        run,
        cell=found,
        group=result_view.group_of(found),
        outlines=outlines(mask) if mask else None,
        picture_px=THUMBNAIL_PX,
        kinds=[(kind.value, found.probabilities[kind]) for kind in CellKind],
        previous=previous,
        following=following,
        place=ids.index(cell_id) + 1,
        group_size=len(members),
        **_look(),
    )


def _look() -> dict[str, Any]:
    """Return whether pictures are shown stained or gray, and why they cannot be stained."""
    look = choice(request, "look", LOOKS, LOOKS[0])
    problem = context().stain.problem() if look == "stained" else None
    return {"look": "gray" if problem else look, "stain_problem_found": problem}


def _rows(reader: RecordsReader, runs: list[RunRecord]) -> list[dict[str, Any]]:
    return [{"run": run, "document": reader.result(run.id)} for run in runs]


def _render(template: str, status: Status | None = None, **values: object) -> str:
    status = status or context().instrument.status()
    view = status_view_of(context(), status)
    return render_template(template, view=view, status=status, rv=result_view, **values)


def _render_run(template: str, run: RunRecord, **values: object) -> str:
    donor = run.settings.get("simulation", {}).get("smear")
    status = context().instrument.status()
    current = screen_path(status) == f"/runs/{run.id}"
    return _render(template, status, run=run, donor=donor, current=current, **values)
