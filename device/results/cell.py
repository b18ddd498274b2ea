"""A white cell as the analysis sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.cell_kind import FIVE_TYPES, TRAITS, UNIDENTIFIED, CellKind

__all__ = ["FIVE_TYPES", "THUMBNAIL_PX", "TRAITS", "UNIDENTIFIED", "Cell", "CellKind"]

THUMBNAIL_PX = 160


@dataclass(frozen=True)
class Cell:
    """One segmented and classified candidate.

    Attributes:
        tile_sequence: tile it was measured in.
        x_um: centre of the cell region, stage frame (image frame for an image without a stage).
        y_um: centre of the cell region, as ``x_um``.
        x_px: centre in the tile's picture: see :mod:`device.analysis.picture`.
        y_px: centre in the tile's picture, as ``x_px``.
        bbox_px: x0, y0, x1, y1 of the cell region in the picture, end exclusive.
        kind: the class of highest probability.
        probabilities: calibrated, one per :class:`CellKind`, sum 1.
        identified: False when the highest probability is below the confidence threshold.
        area_um2: area of the whole cell.
        nucleus_area_um2: area of the nucleus.
        thumbnail: uint8 (THUMBNAIL_PX, THUMBNAIL_PX) flat-fielded gray around the centre.
        mask: uint8, same shape: 0 background, 1 cytoplasm, 2 nucleus of this cell.
    """

    tile_sequence: int
    x_um: float
    y_um: float
    x_px: float
    y_px: float
    bbox_px: tuple[int, int, int, int]
    kind: CellKind
    probabilities: Mapping[CellKind, float]
    identified: bool
    area_um2: float
    nucleus_area_um2: float
    thumbnail: NDArray[np.uint8]
    mask: NDArray[np.uint8]
