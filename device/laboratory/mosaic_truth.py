"""The mosaic against the truth: where its tiles lie, and what happened at their borders."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from device.laboratory.figures import Proportion
from device.laboratory.virtual_scan import OutlinedCell

_Vector = NDArray[np.float64]

_RIM_POINTS: Final = 24
_RIM: Final = 1.25
"""Distance of the rim of a cell from its centre, in radii of a disc of the same area."""


@dataclass(frozen=True)
class MosaicScore:
    """How true the mosaic of one donor is.

    Attributes:
        errors_px: distance of each tile from its true place, after the shift of the whole mosaic
            that fits best; in pixels of the camera.
        counted: counted cells.
        counted_twice: counted cells that had been counted before.
        border_cells: true cells that lie whole in the mosaic and are cut by the border of a tile.
        border_lost: those of them that were not counted.
    """

    errors_px: tuple[float, ...]
    counted: int
    counted_twice: int
    border_cells: int
    border_lost: int

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return vars(self) | {"errors_px": [round(error, 3) for error in self.errors_px]}


def pooled(scores: Iterable[MosaicScore]) -> MosaicScore:
    """Return the scores of some donors as one."""
    all_scores = list(scores)
    return MosaicScore(
        errors_px=tuple(error for one in all_scores for error in one.errors_px),
        counted=sum(one.counted for one in all_scores),
        counted_twice=sum(one.counted_twice for one in all_scores),
        border_cells=sum(one.border_cells for one in all_scores),
        border_lost=sum(one.border_lost for one in all_scores),
    )


def position_errors_px(
    centres_um: _Vector, true_um: _Vector, camera_axes: _Vector, pixel_um: float
) -> tuple[float, ...]:
    """Return how far tiles lie from their true places, after the shift that fits best.

    Args:
        centres_um: in the mosaic, (N, 2).
        true_um: in the stage frame, (N, 2).
        camera_axes: from steps of the stage to steps in the image, (2, 2).
        pixel_um: size of a pixel.
    """
    off_um = centres_um - true_um @ camera_axes.T
    off_um = off_um - off_um.mean(axis=0)
    return tuple(float(error) for error in np.hypot(*off_um.T) / pixel_um)


@dataclass
class BorderCells:
    """Collects the true cells of all usable tiles.

    Args:
        half_um: half the size of a tile, x and y.
    """

    half_um: tuple[float, float]
    _places_um: list[tuple[float, float]] = field(default_factory=list)
    _cells: dict[str, OutlinedCell] = field(default_factory=dict)
    _cut: set[str] = field(default_factory=set)

    def add(self, true_um: tuple[float, float], cells: Sequence[OutlinedCell]) -> None:
        """Take in one tile with where it truly lies and what it shows."""
        self._places_um.append(true_um)
        self._cells.update((cell.id, cell) for cell in cells)
        self._cut.update(cell.id for cell in cells if cell.cut)

    def lost(self, found: Collection[str]) -> Proportion:
        """Return how many cells that a border cuts and the mosaic shows whole are not ``found``."""
        whole = [self._cells[name] for name in self._cut if self._shown(self._cells[name])]
        return Proportion(sum(cell.id not in found for cell in whole), len(whole))

    def _shown(self, cell: OutlinedCell) -> bool:
        """Whether every part of a cell lies in some tile."""
        radius_um = _RIM * math.sqrt(cell.area_um2 / math.pi)
        angles = np.linspace(0.0, 2.0 * math.pi, _RIM_POINTS, endpoint=False)
        rim_um = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius_um
        rim_um += (cell.x_um, cell.y_um)
        apart_um = np.abs(rim_um[:, None, :] - np.array(self._places_um)[None, :, :])
        return bool((apart_um <= self.half_um).all(axis=2).any(axis=1).all())
