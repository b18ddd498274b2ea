"""The scout: looks at a whole tile and says where nuclei, red cells and platelets are."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.layout import space_to_depth
from models.manifest import NetworkEntry
from models.session import Network

FloatMap = NDArray[np.float32]

MULTIPLE_PX = 32
"""The network halves its 8 px grid twice, so images are padded to this multiple."""

PEAK_WINDOW = {"nucleus": 7, "red_cell": 5, "platelet": 3}
"""Cells of the map's grid in which only one centre can lie: smaller than two touching cells."""

_TIE_BREAK = np.float32(5e-6)
_NEIGHBOURHOOD = np.ones((9, 9), np.uint8)


@dataclass(frozen=True)
class Maps:
    """Logits of an image, float32.

    Attributes:
        nucleus: (h / 8, w / 8), rounded up.
        usability: (h / 8, w / 8), rounded up.
        red_cell: (h / 4, w / 4), rounded up to a multiple of two.
        platelet: (h / 4, w / 4), rounded up to a multiple of two.
    """

    nucleus: FloatMap
    usability: FloatMap
    red_cell: FloatMap
    platelet: FloatMap


@dataclass(frozen=True)
class Detections:
    """What the scout saw in an image.

    Attributes:
        nuclei: float32 (N, 3): x_px, y_px, score 0..1 of white-cell candidates, best first.
        red_cells: the same of red cells, (M, 3).
        platelets: the same of platelets, (K, 3).
        usability: 0..1, how sharp the surroundings of the detections are; 1 without detections.
    """

    nuclei: FloatMap
    red_cells: FloatMap
    platelets: FloatMap
    usability: float


def sigmoid(logits: FloatMap) -> FloatMap:
    """Return 1 / (1 + exp(-logits)), float32."""
    return np.asarray(1.0 / (1.0 + np.exp(-logits)), np.float32)


def logit(probability: float) -> float:
    """Return the logit of a probability in (0, 1)."""
    return float(np.log(probability / (1.0 - probability)))


def peaks(logits: FloatMap, threshold: float, window: int, grid_px: int) -> FloatMap:
    """Return the local maxima of a map as float32 (N, 3): x_px, y_px, score, best first.

    Args:
        logits: float32 (h, w), one value per grid cell.
        threshold: least score, 0..1.
        window: odd number of grid cells; no two maxima share a window.
        grid_px: side of a grid cell.

    A maximum lies at the centroid of the scores of its 3x3 neighbours, in pixel coordinates of
    the image (centre of the first pixel = 0).
    """
    height, width = logits.shape
    # Quantised maps have equal neighbours: an offset far below one step, different for all grid
    # cells of a window, singles one out.
    rank = np.arange(height)[:, None] % window * window + np.arange(width) % window
    unique = logits + rank.astype(np.float32) * _TIE_BREAK
    highest = cv2.dilate(unique, np.ones((window, window), np.uint8))
    rows, columns = np.nonzero((unique >= highest) & (logits >= logit(threshold)))
    padded = cv2.copyMakeBorder(logits, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=-20.0)
    steps = np.arange(-1, 2)
    around = sigmoid(
        padded[
            rows[:, None, None] + 1 + steps[None, :, None],
            columns[:, None, None] + 1 + steps[None, None, :],
        ]
    )
    weight = around.sum((1, 2))
    x_grid = columns + (around.sum(1) @ steps) / weight
    y_grid = rows + (around.sum(2) @ steps) / weight
    found = np.stack(
        [(x_grid + 0.5) * grid_px - 0.5, (y_grid + 0.5) * grid_px - 0.5, around[:, 1, 1]], 1
    ).astype(np.float32)
    return found[np.argsort(-found[:, 2], kind="stable")]


class Scout:
    """Whole-image detector."""

    def __init__(self, network: Network, entry: NetworkEntry) -> None:
        self._network = network
        self._block_px = entry.block_px
        self.thresholds = {name: entry.parameters[f"threshold_{name}"] for name in PEAK_WINDOW}
        self._shadow_px2 = {
            name: entry.parameters[f"shadow_{name}_px2"] for name in ("red_cell", "platelet")
        }

    def maps(self, image: NDArray[np.uint8]) -> Maps:
        """Return the logits of an image, uint8 (h, w)."""
        if image.dtype != np.uint8 or image.ndim != 2:
            raise TypeError(f"the scout takes uint8 (h, w), not {image.dtype} {image.shape}")
        height, width = image.shape
        below, right = -height % MULTIPLE_PX, -width % MULTIPLE_PX
        padded = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE)
        logits = self._network.run(
            space_to_depth(np.asarray(padded, np.uint8)[None], self._block_px)
        )
        coarse_px = 2 * self._block_px
        rows, columns = -(-height // coarse_px), -(-width // coarse_px)
        planes = logits[0, :, :rows, :columns]
        return Maps(planes[0], planes[1], _spread(planes[2:6]), _spread(planes[6:10]))

    def counts(self, red_cells: int, platelets: int, area_px: int) -> tuple[int, int]:
        """Correct numbers of centres found for those that lie hidden, as any counter must.

        A centre is missed when it comes to lie too near another cell, so the share of the missed
        grows with the red cells per area (coincidence loss, as in Coulter counting).

        Args:
            red_cells: found.
            platelets: found.
            area_px: of the image, pixels.

        Returns:
            Red cells and platelets, rounded.
        """
        red = red_cells * (1.0 + self._shadow_px2["red_cell"] * red_cells / area_px)
        seen = platelets * (1.0 + self._shadow_px2["platelet"] * red_cells / area_px)
        return round(red), round(seen)

    def find(self, image: NDArray[np.uint8], threshold: float | None = None) -> Detections:
        """Return the centres of everything in a normalised image.

        Args:
            image: uint8 (h, w), at the networks' pixel size.
            threshold: least score of a white-cell candidate; None takes the network's own.
        """
        maps = self.maps(image)
        thresholds = dict(self.thresholds)
        if threshold is not None:
            thresholds["nucleus"] = threshold
        nuclei, red_cells, platelets = (
            peaks(plane, thresholds[name], PEAK_WINDOW[name], grid_px)
            for name, plane, grid_px in (
                ("nucleus", maps.nucleus, 2 * self._block_px),
                ("red_cell", maps.red_cell, self._block_px),
                ("platelet", maps.platelet, self._block_px),
            )
        )
        return Detections(nuclei, red_cells, platelets, self._usability(maps, red_cells))

    def _usability(self, maps: Maps, red_cells: FloatMap) -> float:
        """Average the usability over the grid cells near a nucleus or a red cell."""
        seen = (maps.nucleus >= logit(self.thresholds["nucleus"])).astype(np.uint8)
        columns, rows = (red_cells[:, :2] / (2 * self._block_px)).astype(int).T
        seen[rows, columns] = 1
        near = cv2.dilate(seen, _NEIGHBOURHOOD) > 0
        return float(sigmoid(maps.usability[near]).mean()) if near.any() else 1.0


def _spread(planes: FloatMap) -> FloatMap:
    """Arrange the four sub-cells of each grid cell: (4, h, w) to (2 h, 2 w)."""
    _, height, width = planes.shape
    split = planes.reshape(2, 2, height, width).transpose(2, 0, 3, 1)
    return np.ascontiguousarray(split).reshape(2 * height, 2 * width)
