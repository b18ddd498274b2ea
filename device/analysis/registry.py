"""Each cell counted once, however many overlapping tiles show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from device.analysis.flatfield import Image
from device.analysis.quality import PREVIEW_STEP
from device.analysis.registration import measure_shift_px
from device.analysis.tile_analyzer import TileAnalysis
from device.results.cell import Cell

_Vector = NDArray[np.float64]

# Relative error of two stage positions that registration can take out.
STAGE_ERROR_UM = 6.0
# Previews of about five rows of a scan; older tiles have no neighbours still to come.
_PREVIEWS_KEPT = 512


@dataclass
class _View:
    """A cell as one tile shows it; ``index`` is its place among the counted cells."""

    cell: Cell
    margin_px: int
    index: int


@dataclass
class _Placed:
    """A tile with its place as the stage reported it and as registered.

    Tiles that hang together by registration share a ``frame``; places in different frames may
    differ by stage errors.
    """

    reported_um: tuple[float, float]
    placed_um: tuple[float, float]
    preview: Image | None
    half_um: tuple[float, float]
    frame: int
    views: list[_View] = field(default_factory=list)


class CellRegistry:
    """Registers tiles against their neighbours and counts each cell once.

    Two views from different tiles are one cell when they lie within ``merge_distance_um`` of each
    other after registration; each view is paired with at most one view of another tile, and views
    of the same tile are never merged, so that two touching cells stay two.  Not thread-safe.

    Args:
        pixel_um: size of a pixel of the tiles' pictures.
        merge_distance_um: largest distance of two views of one cell after registration.
    """

    def __init__(self, pixel_um: float, merge_distance_um: float) -> None:
        self._preview_um = pixel_um * PREVIEW_STEP
        self._merge_distance_um = merge_distance_um
        self._tiles: list[_Placed] = []
        self._reported_um = np.empty((0, 2))
        self._best: list[_View] = []

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All counted cells in the order in which :meth:`add` gave them.

        Each in its best view: the one farthest from the border of its tile, which may have come
        in a later tile than the one that counted it.
        """
        return tuple(view.cell for view in self._best)

    def add(self, analysis: TileAnalysis, tile_x_um: float, tile_y_um: float) -> tuple[Cell, ...]:
        """Place one tile and return the cells no earlier tile has counted.

        Args:
            analysis: of the tile; its cells must be whole in it.
            tile_x_um: x of the centre of the tile as the stage reported it.
            tile_y_um: y of the same.

        Returns:
            The new cells, with positions in the registered frame.
        """
        rows, columns = analysis.preview.shape
        tile = _Placed(
            reported_um=(tile_x_um, tile_y_um),
            placed_um=(tile_x_um, tile_y_um),
            preview=analysis.preview,
            half_um=(columns * self._preview_um / 2, rows * self._preview_um / 2),
            frame=len(self._tiles),
        )
        neighbours = self._neighbours(tile)
        shifts_um = [self._shift_um(neighbour, tile) for neighbour in neighbours]
        _place(tile, neighbours, shifts_um)
        dx_um, dy_um = tile.placed_um[0] - tile_x_um, tile.placed_um[1] - tile_y_um
        tile.views = [
            _View(
                replace(cell, x_um=cell.x_um + dx_um, y_um=cell.y_um + dy_um),
                _margin_px(cell, columns * PREVIEW_STEP, rows * PREVIEW_STEP),
                index=-1,
            )
            for cell in analysis.cells
        ]
        for neighbour, shift_um in zip(neighbours, shifts_um, strict=True):
            self._recognise(tile, neighbour, shift_um)
        new = [view for view in tile.views if view.index < 0]
        for view in new:
            view.index = len(self._best)
            self._best.append(view)
        self._keep(tile)
        return tuple(view.cell for view in new)

    def _neighbours(self, tile: _Placed) -> list[_Placed]:
        """Return the tiles that may overlap this one, nearest first."""
        apart_um = np.abs(self._reported_um - tile.reported_um)
        reach_um = 2 * np.array(tile.half_um) + STAGE_ERROR_UM
        near = np.flatnonzero((apart_um < reach_um).all(axis=1))
        order = np.argsort(np.hypot(*apart_um[near].T), kind="stable")
        return [self._tiles[i] for i in near[order]]

    def _shift_um(self, fixed: _Placed, moving: _Placed) -> _Vector | None:
        """Return by how much the stage misreported the step from one tile to the other."""
        if fixed.preview is None or moving.preview is None:
            return None
        fixed_corner_um = np.subtract(fixed.reported_um, fixed.half_um)
        moving_corner_um = np.subtract(moving.reported_um, moving.half_um)
        x_px, y_px = (moving_corner_um - fixed_corner_um) / self._preview_um
        search_px = round(STAGE_ERROR_UM / self._preview_um)
        shift_px = measure_shift_px(fixed.preview, moving.preview, (x_px, y_px), search_px)
        if shift_px is None:
            return None
        return np.multiply(shift_px, self._preview_um)

    def _recognise(self, tile: _Placed, neighbour: _Placed, shift_um: _Vector | None) -> None:
        """Pair the tile's views with those of a neighbour, closest first, each once."""
        limit_um = self._merge_distance_um
        offset_um = np.zeros(2)
        if shift_um is not None:
            # What the pair itself shows is more exact than the mean over all neighbours.
            offset_um = shift_um - (_error_um(tile) - _error_um(neighbour))
        elif tile.frame != neighbour.frame:
            limit_um += STAGE_ERROR_UM
        pairs = sorted(
            (apart_um, i, j)
            for i, view in enumerate(tile.views)
            for j, other in enumerate(neighbour.views)
            if (apart_um := _apart_um(view.cell, other.cell, offset_um)) <= limit_um
        )
        taken = {view.index for view in tile.views}
        for _, i, j in pairs:
            view, index = tile.views[i], neighbour.views[j].index
            if view.index >= 0 or index in taken:
                continue
            taken.add(index)
            view.index = index
            if view.margin_px > self._best[index].margin_px:
                self._best[index] = view

    def _keep(self, tile: _Placed) -> None:
        self._tiles.append(tile)
        self._reported_um = np.vstack([self._reported_um, tile.reported_um])
        if len(self._tiles) > _PREVIEWS_KEPT:
            self._tiles[-_PREVIEWS_KEPT - 1].preview = None


def _margin_px(cell: Cell, width_px: int, height_px: int) -> int:
    x0, y0, x1, y1 = cell.bbox_px
    return min(x0, y0, width_px - x1, height_px - y1)


def _place(
    tile: _Placed, neighbours: Sequence[_Placed], shifts_um: Sequence[_Vector | None]
) -> None:
    """Place a tile by the mean of what the neighbours of its oldest frame tell."""
    linked = [
        (other, shift)
        for other, shift in zip(neighbours, shifts_um, strict=True)
        if shift is not None
    ]
    if not linked:
        return
    tile.frame = min(other.frame for other, _ in linked)
    errors_um = [_error_um(other) + shift for other, shift in linked if other.frame == tile.frame]
    x_um, y_um = tile.reported_um + np.mean(errors_um, axis=0)
    tile.placed_um = (float(x_um), float(y_um))


def _error_um(tile: _Placed) -> _Vector:
    return np.subtract(tile.placed_um, tile.reported_um)


def _apart_um(one: Cell, other: Cell, offset_um: _Vector) -> float:
    x_um, y_um = offset_um
    return float(np.hypot(one.x_um + x_um - other.x_um, one.y_um + y_um - other.y_um))
