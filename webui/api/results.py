"""The results API, version 1: everything that can be read.  Numbers carry their unit in the key.

Lists have a cursor: ``after`` is the number that the last answer gave as ``next_after``, ``limit``
is the largest number of entries, and ``more`` says whether there are further ones.  They are
ordered by number, not by time, because the clock of the instrument can be wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final, Protocol

from flask import Blueprint, Response, jsonify, request

from device.results.cell import CellKind
from webui.context import context
from webui.errors import NotFoundError
from webui.exports import EXPORTS
from webui.parameters import LARGEST_ID, choice, whole_number
from webui.reading import (
    find_cell,
    find_cell_mask,
    find_cell_picture,
    find_result,
    find_run,
    open_reader,
)
from webui.views.tile import ListedTile

MAX_LIMIT: Final = 1000
_KINDS: Final = ("", *(kind.value for kind in CellKind))


blueprint = Blueprint("api", __name__, url_prefix="/api/v1")


class _Record(Protocol):
    @property
    def id(self) -> int: ...

    def as_dict(self) -> dict[str, Any]: ...


@blueprint.get("/status")
def status() -> Response:
    """Return the snapshot of the instrument."""
    return jsonify(asdict(context().instrument.status()))


@blueprint.get("/runs")
def runs() -> Response:
    """List runs, oldest first."""
    after, limit = cursor(50)
    with open_reader() as reader:
        found = reader.list_runs(after=after, limit=limit + 1)
    return page("runs", found, after, limit)


@blueprint.get("/runs/<int:run_id>")
def run(run_id: int) -> Response:
    """Return one run with its settings, versions and, when it has ended, its result."""
    with open_reader() as reader:
        record = find_run(reader, run_id)
        return jsonify(run=_public(record.as_dict()), result=reader.result(run_id))


@blueprint.get("/runs/<int:run_id>/result")
def result(run_id: int) -> Response:
    """Return the result document of one run; ``format=csv`` gives the differential as a table."""
    if choice(request, "format", ("json", "csv"), "json") == "csv":
        return EXPORTS["result.csv"].download(run_id)
    with open_reader() as reader:
        return jsonify(find_result(reader, find_run(reader, run_id)))


@blueprint.get(f"/runs/<int:run_id>/<any({','.join(EXPORTS)}):name>")
def export(run_id: int, name: str) -> Response:
    """Return one run as a file to download."""
    return EXPORTS[name].download(run_id)


@blueprint.get("/runs/<int:run_id>/cells")
def cells(run_id: int) -> Response:
    """List the cells of one run; ``kind`` selects a class; ``format=csv`` gives all as a table."""
    if choice(request, "format", ("json", "csv"), "json") == "csv":
        return EXPORTS["cells.csv"].download(run_id)
    after, limit = cursor(200)
    kind = choice(request, "kind", _KINDS, "")
    with open_reader() as reader:
        find_run(reader, run_id)
        found = reader.cells(
            run_id, after=after, limit=limit + 1, kind=CellKind(kind) if kind else None
        )
    return page("cells", found, after, limit)


@blueprint.get("/runs/<int:run_id>/tiles")
def tiles(run_id: int) -> Response:
    """List the journal of the tiles of one run; ``cells=counted`` those with counted cells."""
    after, limit = cursor(200)
    counted_only = choice(request, "cells", ("any", "counted"), "any") == "counted"
    with open_reader() as reader:
        find_run(reader, run_id)
        counted = reader.counted_cells(run_id)
        kept = context().records.tile_pictures.kept(run_id)
        found = reader.tiles(run_id, after=after, limit=limit + 1, counted_only=counted_only)
    return page("tiles", [ListedTile(tile, counted, kept) for tile in found], after, limit)


@blueprint.get("/runs/<int:run_id>/events")
def events(run_id: int) -> Response:
    """List what happened during one run."""
    after, limit = cursor(200)
    with open_reader() as reader:
        find_run(reader, run_id)
        found = reader.events(run_id, after=after, limit=limit + 1)
    return page("events", found, after, limit)


@blueprint.get("/cells/<int:cell_id>")
def cell(cell_id: int) -> Response:
    """Return one cell."""
    with open_reader() as reader:
        return jsonify(find_cell(reader, cell_id).as_dict())


@blueprint.get("/cells/<int:cell_id>/picture.png")
def cell_picture(cell_id: int) -> Response:
    """Return the flat-fielded gray picture of one cell."""
    with open_reader() as reader:
        return _png(find_cell_picture(reader, cell_id))


@blueprint.get("/cells/<int:cell_id>/mask.png")
def cell_mask(cell_id: int) -> Response:
    """Return the mask of one cell: 0 background, 1 cytoplasm, 2 nucleus."""
    with open_reader() as reader:
        return _png(find_cell_mask(reader, cell_id))


@blueprint.get("/tiles/latest.png")
def latest_tile() -> Response:
    """Return the picture of the tile that was analysed last."""
    picture = context().instrument.latest_tile_png()
    if picture is None:
        raise NotFoundError("WEB-TILE-LATEST")
    return _png(picture)


def cursor(limit: int) -> tuple[int, int]:
    """Return ``after`` and ``limit`` of a list's request; ``limit`` here is the default."""
    return (
        whole_number(request, "after", default=0, low=0, high=LARGEST_ID),
        whole_number(request, "limit", default=limit, low=1, high=MAX_LIMIT),
    )


def page(name: str, found: Sequence[_Record], after: int, limit: int) -> Response:
    """Return a page of a list, of which one entry too many was read."""
    shown = found[:limit]
    return jsonify(
        {
            name: [_public(record.as_dict()) for record in shown],
            "next_after": shown[-1].id if shown else after,
            "more": len(found) > limit,
        }
    )


def _public(record: dict[str, Any]) -> dict[str, Any]:
    """Return ``record`` without the network token that its settings may hold."""
    settings = record.get("settings")
    if not isinstance(settings, dict) or not isinstance(settings.get("web"), dict):
        return record
    web = {name: value for name, value in settings["web"].items() if name != "lan_token"}
    return {**record, "settings": {**settings, "web": web}}


def _png(data: bytes) -> Response:
    return Response(data, mimetype="image/png")
