"""What neighbouring tiles show in common, measured as the tiles come."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from device.analysis.flatfield import Image
from device.analysis.registration.pair import measure_shift

STAGE_ERROR_UM: Final = 6.0
"""Relative error of two stage positions that registration is expected to take out."""

STAGE_SIGMA_UM: Final = STAGE_ERROR_UM / 2.0
"""Standard error of a step of the stage, before any is measured."""

_PREVIEWS_KEPT: Final = 512
"""Previews of about five rows of a scan; older tiles have no neighbours still to come."""

_TRUSTED_DEVIATION: Final = 0.02
"""Standard deviation of what pixel size, rotation and axes may be off, before any is measured."""

_SQUARE_UM: Final = 100.0
"""Side of the squares by which neighbours are looked up."""

_Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Link:
    """The measured step between the centres of two tiles, along columns and rows of the camera.

    Attributes:
        fixed: index of the earlier tile.
        moving: index of the later tile.
        x_um: from the earlier to the later one.
        y_um: from the earlier to the later one.
        sigma_um: standard error, comparable between links.
        correlation: of what both show, -1 to 1.
    """

    fixed: int
    moving: int
    x_um: float
    y_um: float
    sigma_um: float
    correlation: float

    @property
    def step_um(self) -> _Vector:
        """The step as a vector, (2,)."""
        return np.array([self.x_um, self.y_um])


class StageAxes:
    """How steps of the stage appear to the camera: learned from the links, linear.

    A camera that is turned by 0.2 degrees sees every step to the next column also as one along its
    rows, and a pixel that is larger than configured makes every step shorter.
    """

    def __init__(self) -> None:
        # Least squares with a prior of the straight camera; a step of a tile has the weight of one
        # measurement that is as exact as the stage.
        self._normal = np.eye(2) * (STAGE_SIGMA_UM / _TRUSTED_DEVIATION) ** 2
        self._moment = self._normal.copy()

    def learn(self, reported_um: _Vector, seen_um: _Vector) -> None:
        """Take in steps as the stage reported and the camera saw them, (N, 2) or (2,)."""
        reported_um, seen_um = np.atleast_2d(reported_um), np.atleast_2d(seen_um)
        self._normal += reported_um.T @ reported_um
        self._moment += seen_um.T @ reported_um

    def seen_um(self, reported_um: _Vector) -> _Vector:
        """Return what the camera should see of a step."""
        return self.matrix @ reported_um

    @property
    def matrix(self) -> _Vector:
        """From steps of the stage to steps in the image, (2, 2)."""
        return np.asarray(np.linalg.solve(self._normal, self._moment.T).T, dtype=np.float64)


@dataclass
class _Shown:
    """A tile; without its preview if that was long ago."""

    index: int
    reported_um: _Vector
    half_um: _Vector
    preview: Image | None


class TileLinker:
    """Measures the links of each new tile to the tiles before it that it may overlap.

    Time and memory per tile do not depend on how many tiles there are.  Not thread-safe.

    Attributes:
        axes: how steps of the stage appear, as far as the links show.

    Args:
        pixel_um: size of a pixel of the previews.
    """

    def __init__(self, pixel_um: float) -> None:
        self._pixel_um = pixel_um
        self._by_square: dict[tuple[int, int], list[_Shown]] = {}
        self._with_preview: deque[_Shown] = deque()
        self.axes = StageAxes()
        self._tiles = 0

    def add(
        self, preview: Image, x_um: float, y_um: float
    ) -> tuple[tuple[int, ...], tuple[Link, ...]]:
        """Take in one tile; return which tiles it may overlap, nearest first, and the links.

        Args:
            preview: of the tile, (h, w).
            x_um: centre as the stage reported it.
            y_um: centre as the stage reported it.

        Returns:
            Indices of tiles in the order in which they were added, and the links to those that
            show the same.
        """
        rows, columns = preview.shape
        half_um = np.array([columns, rows]) * self._pixel_um / 2.0
        tile = _Shown(self._tiles, np.array([x_um, y_um]), half_um, preview)
        near = self._near(tile)
        found = [(other, link) for other in near if (link := self._link(other, tile)) is not None]
        for other, link in found:
            self.axes.learn(tile.reported_um - other.reported_um, link.step_um)
        self._keep(tile)
        return tuple(other.index for other in near), tuple(link for _, link in found)

    def _near(self, tile: _Shown) -> list[_Shown]:
        reach_um = 2.0 * tile.half_um + STAGE_ERROR_UM
        (left, top), (right, bottom) = (
            _square(tile.reported_um - reach_um),
            _square(tile.reported_um + reach_um),
        )
        squares = product(range(left, right + 1), range(top, bottom + 1))
        near = [
            other
            for square in squares
            for other in self._by_square.get(square, ())
            if (np.abs(other.reported_um - tile.reported_um) < reach_um).all()
        ]
        return sorted(near, key=lambda o: (math.dist(o.reported_um, tile.reported_um), o.index))

    def _keep(self, tile: _Shown) -> None:
        self._by_square.setdefault(_square(tile.reported_um), []).append(tile)
        self._tiles += 1
        self._with_preview.append(tile)
        if len(self._with_preview) > _PREVIEWS_KEPT:
            self._with_preview.popleft().preview = None

    def _link(self, fixed: _Shown, moving: _Shown) -> Link | None:
        if fixed.preview is None or moving.preview is None:
            return None
        step_um = self.axes.seen_um(moving.reported_um - fixed.reported_um)
        x_px, y_px = (step_um - moving.half_um + fixed.half_um) / self._pixel_um
        search_px = round(STAGE_ERROR_UM / self._pixel_um)
        shift = measure_shift(fixed.preview, moving.preview, (x_px, y_px), search_px)
        if shift is None:
            return None
        x_um, y_um = step_um + np.array([shift.x_px, shift.y_px]) * self._pixel_um
        return Link(
            fixed.index,
            moving.index,
            float(x_um),
            float(y_um),
            shift.sigma_px * self._pixel_um,
            shift.correlation,
        )


def _square(place_um: _Vector) -> tuple[int, int]:
    x, y = np.floor(place_um / _SQUARE_UM)
    return int(x), int(y)
