"""The mosaic of a run as screen and API show it: canvas, tiles, counted cells."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from device.analysis.staining import CellView
from device.mosaic.drawing import PIECE_PX
from device.mosaic.pictures import CONTEXT_PX, Look, Piece
from device.records.tile_pictures import STAINED_STEP
from webui.context import context
from webui.errors import NotFoundError
from webui.views.result import group_of
from webui.views.tile import cell_view

if TYPE_CHECKING:
    from device.mosaic.layout import MosaicLayout
    from device.records.reader import RecordsReader
    from device.records.record_types import CellRecord, RunRecord


def mosaic_document(reader: RecordsReader, run: RunRecord, layout: MosaicLayout) -> dict[str, Any]:
    """Return the mosaic as JSON; places are pixels of the canvas.  Raises RecordsError."""
    kept = context().records.tile_pictures.kept(run.id)
    tiles, placed_um = reader.mosaic_revision(run.id)
    reasons = {tile.sequence: tile.reason for tile in reader.every_tile(run.id) if not tile.usable}
    return {
        "run_id": run.id,
        "revision": f"{tiles}-{placed_um:.2f}",
        "pixel_um": layout.picture.pixel_um,
        "left_um": layout.left_um,
        "top_um": layout.top_um,
        "width_px": layout.width_px,
        "height_px": layout.height_px,
        "piece_px": PIECE_PX,
        "seen_px": list(layout.seen_px),
        "tile_px": [layout.picture.width_px, layout.picture.height_px],
        "stained_tiles": len(context().records.tile_pictures.stained(run.id)),
        "tiles": [
            {
                "sequence": sequence,
                "corner_px": corner,
                "refused": reasons.get(sequence),
                "kept": sequence in kept,
            }
            for sequence, corner in zip(
                layout.sequences.tolist(), layout.corners_px.tolist(), strict=True
            )
        ],
        "cells": [_cell(layout, cell) for cell in reader.every_cell(run.id)],
    }


def find_piece(
    reader: RecordsReader,
    layout: MosaicLayout,
    run_id: int,
    look: Look,
    step: int,
    column: int,
    row: int,
) -> Piece:
    """Return a piece as it is to be drawn now; have tiles stained that it shows gray instead.

    Raises:
        NotFoundError: it lies outside the canvas.
        RecordsError: the disk fails.
    """
    tiles = context().records.tile_pictures
    kept = tiles.kept(run_id)
    piece = Piece(run_id, layout, look, step, column, row, kept)
    left, top, right, bottom = piece.rectangle_px
    if left >= right or top >= bottom:
        raise NotFoundError("WEB-PIECE-NOT-FOUND", run_id=run_id, column=column, row=row)
    if look is Look.GRAY:
        return piece
    if step < STAINED_STEP:
        return replace(piece, cells=_cells_near(reader, layout, run_id, piece.rectangle_px))
    stained = tiles.stained(run_id)
    shown = layout.sequences[layout.within(*piece.rectangle_px)].tolist()
    context().stainer.want(run_id, (kept - stained).intersection(shown))
    return replace(piece, stained=stained)


def _cells_near(
    reader: RecordsReader,
    layout: MosaicLayout,
    run_id: int,
    rectangle_px: tuple[int, int, int, int],
) -> tuple[CellView, ...]:
    """Return the cells in a rectangle of the canvas and closely around it."""
    pixel_um = layout.picture.pixel_um
    left, top, right, bottom = rectangle_px
    found = reader.cells_within(
        run_id,
        layout.left_um + (left - CONTEXT_PX) * pixel_um,
        layout.top_um + (top - CONTEXT_PX) * pixel_um,
        layout.left_um + (right + CONTEXT_PX) * pixel_um,
        layout.top_um + (bottom + CONTEXT_PX) * pixel_um,
    )
    return tuple(cell_view(reader, cell, *layout.place_px(cell.x_um, cell.y_um)) for cell in found)


def _cell(layout: MosaicLayout, cell: CellRecord) -> dict[str, Any]:
    x_px, y_px = layout.place_px(cell.x_um, cell.y_um)
    x0, y0, x1, y1 = cell.bbox_px
    left, top = x_px - cell.x_px, y_px - cell.y_px
    box_px = (left + x0, top + y0, left + x1, top + y1)
    return {
        "id": cell.id,
        "group": group_of(cell),
        "box_px": [round(side, 1) for side in box_px],
    }
