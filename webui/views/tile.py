"""One tile of a run as screen and API show it: its picture and the counted cells in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from device.analysis.staining import CellView
from device.analysis.tile_analyzer import centre_px
from device.mosaic.layout import TileGeometry
from webui.catalogue import label
from webui.context import context
from webui.errors import NotFoundError
from webui.parameters import record_id
from webui.reading import find_cell_mask
from webui.views.boxes import Box
from webui.views.result import group_of

if TYPE_CHECKING:
    from device.records.reader import RecordsReader
    from device.records.record_types import CellRecord, RunRecord, TileRecord


@dataclass(frozen=True)
class ListedTile:
    """A tile of the journal with what can be looked at.

    Attributes:
        record: the tile.
        counted: number of counted cells per sequence number.
        kept: sequence numbers of the tiles whose pictures are kept.
    """

    record: TileRecord
    counted: Mapping[int, int]
    kept: frozenset[int]

    @property
    def id(self) -> int:
        """Number of the journal's entry."""
        return self.record.id

    def as_dict(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        sequence = self.record.sequence
        return {
            **self.record.as_dict(),
            "counted_cells": 0 if sequence is None else self.counted.get(sequence, 0),
            "picture_kept": sequence in self.kept,
        }


@dataclass(frozen=True)
class SeenCell:
    """A counted cell in the pixels of the picture of a tile that shows it.

    Attributes:
        record: the cell.
        bbox_px: x0, y0, x1, y1 in this picture.
        here: whether it was measured in this tile; otherwise a neighbour shows it better, and the
            box is derived from the stage positions of both tiles.
    """

    record: CellRecord
    bbox_px: tuple[float, float, float, float]
    here: bool

    @property
    def group(self) -> str:
        """Its class, or unidentified."""
        return group_of(self.record)

    def as_dict(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        return {
            "id": self.record.id,
            "kind": self.record.kind,
            "identified": self.record.identified,
            "letter": label("kind_letter", self.group),
            "bbox_px": [round(side, 1) for side in self.bbox_px],
            "measured_here": self.here,
        }


def find_tile(reader: RecordsReader, run_id: int, sequence: int) -> TileRecord:
    """Return the tile that was taken as number ``sequence``.  Raises NotFoundError."""
    tile = reader.tile(run_id, record_id(sequence))
    if tile is None:
        raise NotFoundError("WEB-TILE-NOT-FOUND", run_id=run_id, sequence=sequence)
    return tile


def tile_picture(tile: TileRecord) -> bytes:
    """Return the gray JPEG of a tile.

    Raises:
        NotFoundError: it is not kept.
        RecordsError: the disk fails.
    """
    sequence = tile.sequence if tile.sequence is not None else -1
    picture = context().records.tile_pictures.read(tile.run_id, sequence)
    if picture is None:
        raise NotFoundError("WEB-TILE-NOT-KEPT", run_id=tile.run_id, sequence=sequence)
    return picture


def seen_cells(reader: RecordsReader, run: RunRecord, tile: TileRecord) -> list[SeenCell]:
    """Return the counted cells of the run whose centres lie in the tile."""
    picture = TileGeometry.of(run)
    pixel_um = picture.pixel_um
    middle_x_px, middle_y_px = centre_px((picture.height_px, picture.width_px))
    half_x_um, half_y_um = middle_x_px * pixel_um, middle_y_px * pixel_um
    x_um, y_um = tile.centre_um
    found = reader.cells_within(
        run.id, x_um - half_x_um, y_um - half_y_um, x_um + half_x_um, y_um + half_y_um
    )
    seen = []
    for cell in found:
        here = cell.tile_sequence == tile.sequence
        x0, y0, x1, y1 = cell.bbox_px
        right_px = down_px = 0.0
        if not here:
            right_px = middle_x_px + (cell.x_um - x_um) / pixel_um - cell.x_px
            down_px = middle_y_px + (cell.y_um - y_um) / pixel_um - cell.y_px
        bbox_px = (x0 + right_px, y0 + down_px, x1 + right_px, y1 + down_px)
        seen.append(SeenCell(cell, bbox_px, here))
    return seen


def cell_view(reader: RecordsReader, cell: CellRecord, x_px: float, y_px: float) -> CellView:
    """Return what re-tints a cell whose centre is at a place of a picture."""
    mask = find_cell_mask(reader, cell.id)
    return CellView(x_px, y_px, mask, cell.kind if cell.identified else None)


def boxes(cells: Sequence[SeenCell]) -> list[Box]:
    """Return the boxes of cells, those counted in the tile last, so that they lie on top."""
    ordered = sorted(cells, key=lambda cell: cell.here)
    return [Box(cell.bbox_px, cell.group, cell.here) for cell in ordered]
