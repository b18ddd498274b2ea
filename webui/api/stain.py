"""The results API: pictures of tiles and of the virtual stain, made on request.

A stained picture is computed from the ultraviolet image; no dye has touched the sample.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from flask import Blueprint, Response, jsonify, request, url_for

from device.results.cell import THUMBNAIL_PX
from webui.conditional import conditional
from webui.context import context
from webui.parameters import choice
from webui.reading import find_cell, find_cell_picture, find_run, open_reader
from webui.views.boxes import Box, draw
from webui.views.tile import boxes, cell_view, find_tile, seen_cells, tile_picture

blueprint = Blueprint("stain_api", __name__, url_prefix="/api/v1")

_YES_NO: Final = ("no", "yes")
_QUALITY: Final = (cv2.IMWRITE_JPEG_QUALITY, 92)


@blueprint.get("/runs/<int:run_id>/tiles/<int:sequence>")
def tile(run_id: int, sequence: int) -> Response:
    """Return one tile with the counted cells that it shows and the addresses of its pictures."""
    with open_reader() as reader:
        run = find_run(reader, run_id)
        found = find_tile(reader, run_id, sequence)
        cells = seen_cells(reader, run, found)
    kept = sequence in context().records.tile_pictures.kept(run_id)
    links = {
        name: url_for(f"stain_api.{name}_tile", run_id=run_id, sequence=sequence)
        for name in ("gray", "stained")
    }
    return jsonify(
        tile=found.as_dict(),
        kept=kept,
        pictures=links if kept else {},
        cells=[cell.as_dict() for cell in cells],
    )


@blueprint.get("/runs/<int:run_id>/tiles/<int:sequence>/gray.jpg")
def gray_tile(run_id: int, sequence: int) -> Response:
    """Return a tile as taken in ultraviolet, flat-fielded; ``boxes=yes`` marks its cells."""
    boxed = choice(request, "boxes", _YES_NO, "no") == "yes"
    with open_reader() as reader:
        run = find_run(reader, run_id)
        found = find_tile(reader, run_id, sequence)
        marks = boxes(seen_cells(reader, run, found)) if boxed else []
    picture = tile_picture(found)
    tag = context().stain.tag(picture + repr(marks).encode(), [])
    return conditional(tag, "image/jpeg", lambda: _boxed(picture, marks) if boxed else picture)


@blueprint.get("/runs/<int:run_id>/tiles/<int:sequence>/stained.jpg")
def stained_tile(run_id: int, sequence: int) -> Response:
    """Return a tile in the colours of the virtual stain; ``boxes=yes`` marks its cells."""
    boxed = choice(request, "boxes", _YES_NO, "no") == "yes"
    with open_reader() as reader:
        run = find_run(reader, run_id)
        found = find_tile(reader, run_id, sequence)
        cells = seen_cells(reader, run, found)
        views = [
            cell_view(reader, cell.record, cell.record.x_px, cell.record.y_px)
            for cell in cells
            if cell.here
        ]
    marks = boxes(cells) if boxed else []
    picture = tile_picture(found)
    stain = context().stain

    def make() -> bytes:
        stained = stain.tile_jpeg(picture, views)
        return _boxed(stained, marks) if boxed else stained

    return conditional(stain.tag(picture + repr(marks).encode(), views), "image/jpeg", make)


@blueprint.get("/cells/<int:cell_id>/stained.png")
def stained_cell(cell_id: int) -> Response:
    """Return the picture of one cell in the colours of the virtual stain."""
    with open_reader() as reader:
        cell = find_cell(reader, cell_id)
        picture = find_cell_picture(reader, cell_id)
        view = cell_view(reader, cell, THUMBNAIL_PX // 2, THUMBNAIL_PX // 2)
    stain = context().stain
    return conditional(
        stain.tag(picture, [view]), "image/png", lambda: stain.cell_png(picture, view)
    )


def _boxed(picture: bytes, marks: list[Box]) -> bytes:
    image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError("not a picture")
    colours = np.asarray(image, np.uint8)
    draw(colours, marks)
    return bytes(cv2.imencode(".jpg", colours, _QUALITY)[1])
