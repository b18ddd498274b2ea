"""The results API: the mosaic of a run, in pieces that a deep-zoom viewer asks for."""

from __future__ import annotations

from typing import Final

from flask import Blueprint, Response, jsonify

from device.mosaic.pictures import Look
from webui.conditional import conditional
from webui.context import context
from webui.errors import NotFoundError
from webui.reading import find_run, open_reader
from webui.views.mosaic import find_piece, mosaic_document

blueprint = Blueprint("mosaic_api", __name__, url_prefix="/api/v1")

LARGEST_STEP: Final = 1 << 20


@blueprint.get("/runs/<int:run_id>/mosaic")
def mosaic(run_id: int) -> Response:
    """Return the canvas of a run, its tiles with what became of them, and its counted cells.

    Places are in pixels of the canvas; the ``step`` in the address of a piece is a power of 2.
    """
    with open_reader() as reader:
        run = find_run(reader, run_id)
        return jsonify(mosaic_document(reader, run, context().mosaics.layout(reader, run)))


@blueprint.get("/runs/<int:run_id>/mosaic/gray/<int:step>/<int:column>/<int:row>.jpg")
def gray_piece(run_id: int, step: int, column: int, row: int) -> Response:
    """Return one piece of a mosaic as taken in ultraviolet, at a ``step``-th of its size."""
    return _piece(run_id, Look.GRAY, step, column, row)


@blueprint.get("/runs/<int:run_id>/mosaic/stained/<int:step>/<int:column>/<int:row>.jpg")
def stained_piece(run_id: int, step: int, column: int, row: int) -> Response:
    """Return the same in the colours of the virtual stain.

    At steps from 4 on, tiles are gray until they have been stained in the background;
    ``stained_tiles`` of the mosaic tells how many are.
    """
    return _piece(run_id, Look.STAINED, step, column, row)


def _piece(run_id: int, look: Look, step: int, column: int, row: int) -> Response:
    if not 1 <= step <= LARGEST_STEP or step & (step - 1):
        raise NotFoundError("WEB-STEP-NOT-FOUND", step=step)
    mosaics = context().mosaics
    with open_reader() as reader:
        run = find_run(reader, run_id)
        piece = find_piece(reader, mosaics.layout(reader, run), run_id, look, step, column, row)
    return conditional(piece.tag, "image/jpeg", lambda: mosaics.jpeg(piece))
