"""Each cell counted once, however many overlapping tiles show it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from device.analysis.quality import PREVIEW_STEP
from device.analysis.registration.links import STAGE_ERROR_UM, Link, TileLinker
from device.analysis.registration.placement import Placement, place_tiles
from device.analysis.tile_analyzer import TileAnalysis
from device.results.cell import Cell

_Vector = NDArray[np.float64]

_RIM_PX: Final = 12
"""Nearer to the border of a tile, a cell that it cuts may be taken for a whole, smaller one."""


@dataclass
class _View:
    """A cell as one tile shows it.

    Attributes:
        offset_um: of the cell from the centre of the tile, (2,).
        box_um: left, top, right and bottom of the cell from the centre of the tile, (4,).
        margin_px: distance of the cell from the border of the tile.
        index: its place among the counted cells, negative before it has one.
    """

    cell: Cell
    offset_um: _Vector
    box_um: _Vector
    margin_px: int
    index: int


@dataclass
class _Placed:
    """A tile with its place as the stage reported it and as the links say so far.

    Tiles that hang together by links share a ``frame``; places in different frames may differ by
    stage errors.
    """

    reported_um: _Vector
    placed_um: _Vector
    frame: int
    neighbours: tuple[int, ...]
    views: list[_View] = field(default_factory=list)


@dataclass(frozen=True)
class Counted:
    """What one tile changes in the count.

    Attributes:
        centre_um: of the tile, along columns and rows of the camera, as far as is known, (2,).
        new: cells that no earlier tile has counted.
        better: index of a counted cell to its better view in this tile.
        links: of this tile with earlier ones.
    """

    centre_um: _Vector
    new: tuple[Cell, ...]
    better: Mapping[int, Cell]
    links: tuple[Link, ...]


@dataclass(frozen=True)
class Settled:
    """The count on the final positions.

    Attributes:
        placement: of the tiles, in the order in which they were added.
        cells: each once, in its best view, at its place in the mosaic.
        former: for each of them, the indices that its views had in the count so far.
    """

    placement: Placement
    cells: tuple[Cell, ...]
    former: tuple[frozenset[int], ...]


class CellRegistry:
    """Registers tiles against their neighbours and counts each cell once.

    Two views from different tiles are one cell when they lie within ``merge_distance_um`` of each
    other after registration, or when the middle of one that lies at the border of its tile, and
    may be drawn too small there, is inside the other.  Each view is paired with at most one view
    of another tile, and views of the same tile are never merged, so that two touching cells stay
    two.  The time that a tile takes does not depend on how many came before.  Not thread-safe.

    Args:
        pixel_um: size of a pixel of the tiles' pictures.
        merge_distance_um: largest distance of two views of one cell after registration.
    """

    def __init__(self, pixel_um: float, merge_distance_um: float) -> None:
        self._pixel_um = pixel_um
        self._merge_distance_um = merge_distance_um
        self._linker = TileLinker(pixel_um * PREVIEW_STEP)
        self._tiles: list[_Placed] = []
        self._links: list[Link] = []
        self._best: list[_View] = []

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All counted cells in the order in which :meth:`add` gave them.

        Each in its best view: the one farthest from the border of its tile, which may have come
        in a later tile than the one that counted it.
        """
        return tuple(view.cell for view in self._best)

    def add(self, analysis: TileAnalysis, tile_x_um: float, tile_y_um: float) -> Counted:
        """Place one tile and return what it changes.

        Args:
            analysis: of the tile; its cells must be whole in it.
            tile_x_um: x of the centre of the tile as the stage reported it.
            tile_y_um: y of the same.

        Returns:
            The change, with positions in the frame of the first tile.
        """
        neighbours, links = self._linker.add(analysis.preview, tile_x_um, tile_y_um)
        reported_um = np.array([tile_x_um, tile_y_um])
        tile = _Placed(reported_um, reported_um, len(self._tiles), neighbours)
        self._place(tile, links)
        tile.views = [
            _moved(view, tile.placed_um) for view in _views(analysis, reported_um, self._pixel_um)
        ]
        steps_um = {link.fixed: link.step_um for link in links}
        better: dict[int, Cell] = {}
        for index in neighbours:
            other = self._tiles[index]
            # What the pair itself shows is more exact than the mean over all neighbours.
            step_um = steps_um.get(index)
            apart = step_um is None and tile.frame != other.frame
            if step_um is None:
                step_um = self._step_um(other, tile)
            for view in _recognise(tile.views, other.views, step_um, self._limit_um(apart)):
                if _improves(self._best, view):
                    better[view.index] = view.cell
        new = _number(tile.views, self._best)
        self._tiles.append(tile)
        self._links += links
        return Counted(tile.placed_um, tuple(view.cell for view in new), better, links)

    def settle(self) -> Settled:
        """Return the positions that fit all links, and the count that follows from them.

        May be called at any time; what was counted so far stays.
        """
        reported_um = np.array([tile.reported_um for tile in self._tiles]).reshape(-1, 2)
        placement = place_tiles(reported_um, self._links)
        best: list[_View] = []
        former: list[set[int]] = []
        settled: list[list[_View]] = []
        for i, tile in enumerate(self._tiles):
            centre_um = placement.centres_um[i]
            views = [replace(_moved(view, centre_um), index=-1) for view in tile.views]
            for j in tile.neighbours:
                limit_um = self._limit_um(apart=placement.groups[i] != placement.groups[j])
                step_um = centre_um - placement.centres_um[j]
                for view in _recognise(views, settled[j], step_um, limit_um):
                    _improves(best, view)
            former += [set() for _ in _number(views, best)]
            for view, live in zip(views, tile.views, strict=True):
                former[view.index].add(live.index)
            settled.append(views)
        return Settled(
            placement, tuple(view.cell for view in best), tuple(frozenset(one) for one in former)
        )

    def _limit_um(self, apart: bool) -> float:
        return self._merge_distance_um + (STAGE_ERROR_UM if apart else 0.0)

    def _place(self, tile: _Placed, links: Sequence[Link]) -> None:
        """Place a tile by what the neighbours of its oldest frame tell."""
        if not links:
            return
        tile.frame = min(self._tiles[link.fixed].frame for link in links)
        used = [link for link in links if self._tiles[link.fixed].frame == tile.frame]
        places_um = [self._tiles[link.fixed].placed_um + link.step_um for link in used]
        weights = [link.sigma_um**-2 for link in used]
        tile.placed_um = np.average(places_um, axis=0, weights=weights)

    def _step_um(self, fixed: _Placed, moving: _Placed) -> _Vector:
        """Return the step between tiles that no link joins."""
        if fixed.frame == moving.frame:
            return moving.placed_um - fixed.placed_um
        return self._linker.axes.seen_um(moving.reported_um - fixed.reported_um)


def _views(analysis: TileAnalysis, reported_um: _Vector, pixel_um: float) -> Iterator[_View]:
    rows, columns = analysis.preview.shape
    for cell in analysis.cells:
        offset_um = np.array([cell.x_um, cell.y_um]) - reported_um
        box_px = np.subtract(cell.bbox_px, (cell.x_px, cell.y_px) * 2)
        margin_px = _margin_px(cell, columns * PREVIEW_STEP, rows * PREVIEW_STEP)
        yield _View(cell, offset_um, np.tile(offset_um, 2) + box_px * pixel_um, margin_px, -1)


def _moved(view: _View, centre_um: _Vector) -> _View:
    """Return a view of a tile that lies at ``centre_um``."""
    x_um, y_um = centre_um + view.offset_um
    cell = replace(view.cell, x_um=float(x_um), y_um=float(y_um))
    return replace(view, cell=cell)


def _margin_px(cell: Cell, width_px: int, height_px: int) -> int:
    x0, y0, x1, y1 = cell.bbox_px
    return min(x0, y0, width_px - x1, height_px - y1)


def _recognise(
    views: Sequence[_View], others: Sequence[_View], step_um: _Vector, limit_um: float
) -> Iterable[_View]:
    """Pair views with those of an earlier tile, closest first, each once; yield the paired ones.

    Args:
        views: of the later tile.
        others: of the earlier tile, all counted.
        step_um: from the centre of the earlier tile to that of the later one.
        limit_um: largest distance of two views of one cell.
    """
    pairs = sorted(
        (apart_um, i, j)
        for i, view in enumerate(views)
        for j, other in enumerate(others)
        if (apart_um := _apart_um(view, other, step_um)) <= limit_um
        or _at_border_inside(view, other, step_um)
        or _at_border_inside(other, view, -step_um)
    )
    taken = {view.index for view in views}
    for _, i, j in pairs:
        view, index = views[i], others[j].index
        if view.index >= 0 or index in taken:
            continue
        taken.add(index)
        view.index = index
        yield view


def _apart_um(view: _View, other: _View, step_um: _Vector) -> float:
    return float(np.hypot(*(step_um + view.offset_um - other.offset_um)))


def _at_border_inside(view: _View, other: _View, step_um: _Vector) -> bool:
    """Return whether a view at the border of its tile has its middle inside another one."""
    if view.margin_px >= _RIM_PX:
        return False
    middle_um = step_um + view.offset_um
    return bool((middle_um > other.box_um[:2]).all() and (middle_um < other.box_um[2:]).all())


def _improves(best: list[_View], view: _View) -> bool:
    """Let a view stand for its cell if it is farther from the border than the one so far."""
    if view.margin_px <= best[view.index].margin_px:
        return False
    best[view.index] = view
    return True


def _number(views: Iterable[_View], best: list[_View]) -> list[_View]:
    """Count the views that were not recognised; return them."""
    new = [view for view in views if view.index < 0]
    for view in new:
        view.index = len(best)
        best.append(view)
    return new
