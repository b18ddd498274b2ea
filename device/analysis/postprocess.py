"""Joint post-processing of cell and nucleus masks (Kaza et al., BME Frontiers 2022, 9853606).

Opening, pairing of cell and nucleus, and limits on area, solidity, intensity and Euler number, as
in the paper; here for one candidate at a time, whose cell lies at the centre of the crop.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from device.analysis.flatfield import Image
from models.layout import BLANK_LEVEL

Mask = NDArray[np.uint8]

_PROBABILITY = 0.5
_CELL_OPENING_PX = 5
_NUCLEUS_OPENING_PX = 3
_REACH_UM = 4.0
_CELL_AREA_UM2 = (18.0, 600.0)
_NUCLEUS_AREA_UM2 = (6.0, 500.0)
_LOBE_AREA_UM2 = 1.0
_HOLE_AREA_UM2 = 0.5
_MIN_SOLIDITY = 0.70
# Where two red cells overlap the optical density doubles; over a nucleus it more than doubles.
_MIN_DENSITY_RATIO = 2.6
# Cytoplasm at least this clear is no red cell.
_CLEAR_CYTOPLASM = 0.88
# A thinner rim says nothing about the cytoplasm: it holds the blurred edge of the nucleus.
_MIN_CYTOPLASM_SHARE = 0.12
# Clearer than the cytoplasm of any live cell; that of dead ones can be, their nuclei are paler.
_GLASS = 0.95
_PALEST_LIVE_NUCLEUS = 0.71
_DARKEST_NUCLEUS = 0.12


class Rejection(StrEnum):
    """Why a candidate is no white cell."""

    NO_CELL = "no cell region at the candidate"
    NO_NUCLEUS = "cell region without a nucleus"
    AREA = "area of the cell out of limits"
    NUCLEUS_AREA = "area of the nucleus out of limits"
    SOLIDITY = "ragged outline"
    OPAQUE = "darker than any nucleus, as dust"


@dataclass(frozen=True)
class CellShape:
    """The cell at the centre of a crop.

    Attributes:
        mask: uint8, the crop's shape: 0 background, 1 cytoplasm, 2 nucleus.
        bbox_px: x0, y0, x1, y1 of the cell region in the crop, end exclusive.
        x_px: centroid of the cell region in the crop, from the left.
        y_px: the same, from the top.
        area_px: area of the cell.
        nucleus_area_px: area of the nucleus.
        solidity: area over the area of the convex hull.
        euler_number: parts of the nucleus minus its holes.
        cytoplasm_transmission: mean over the cell without its nucleus, blank glass = 1.
        nucleus_transmission: mean over the nucleus.
    """

    mask: Mask
    bbox_px: tuple[int, int, int, int]
    x_px: float
    y_px: float
    area_px: int
    nucleus_area_px: int
    solidity: float
    euler_number: int
    cytoplasm_transmission: float
    nucleus_transmission: float

    @property
    def like_red_cells(self) -> bool:
        """Whether cytoplasm and nucleus may be red cells upon each other or glass between them."""
        if self.area_px - self.nucleus_area_px < _MIN_CYTOPLASM_SHARE * self.area_px:
            return False
        if self.cytoplasm_transmission > _GLASS:
            return self.nucleus_transmission < _PALEST_LIVE_NUCLEUS
        return self.cytoplasm_transmission < _CLEAR_CYTOPLASM and (
            _optical_density(self.nucleus_transmission)
            < _MIN_DENSITY_RATIO * _optical_density(self.cytoplasm_transmission)
        )


def central_cell(
    probabilities: NDArray[np.float32], crop: Image, visible: Mask, pixel_um: float
) -> CellShape | Rejection:
    """Outline the cell at the centre of a crop.

    Args:
        probabilities: of cell and of nucleus, float32 (2, S, S).
        crop: normalised image, (S, S).
        visible: 1 where the crop shows the image, 0 beyond its border.
        pixel_um: size of a pixel.
    """
    cells = _opened(probabilities[0], visible, _CELL_OPENING_PX)
    region = _filled(_central_region(cells, _REACH_UM / pixel_um))
    if region is None:
        return Rejection.NO_CELL
    pixel_um2 = pixel_um * pixel_um
    nucleus = _without_specks(
        _opened(probabilities[1], region, _NUCLEUS_OPENING_PX), _LOBE_AREA_UM2 / pixel_um2
    )
    shape = _measure(region, nucleus, crop, _HOLE_AREA_UM2 / pixel_um2)
    rejection = _rejection(shape, pixel_um2)
    return shape if rejection is None else rejection


def _opened(probability: NDArray[np.float32], within: Mask, size_px: int) -> Mask:
    binary = (probability > _PROBABILITY).astype(np.uint8) & within
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size_px, size_px))
    return np.asarray(cv2.morphologyEx(binary, cv2.MORPH_OPEN, element), dtype=np.uint8)


def _central_region(mask: Mask, reach_px: float) -> Mask | None:
    """Return the connected region at the crop's centre, or the nearest within reach, or None."""
    _, labels = cv2.connectedComponents(mask, connectivity=4, ltype=cv2.CV_16U)
    middle = mask.shape[0] // 2
    label = labels[middle, middle]
    if label == 0:
        ys, xs = np.nonzero(mask)
        if len(xs) == 0:
            return None
        distance = np.hypot(xs - middle, ys - middle)
        nearest = int(distance.argmin())
        if distance[nearest] > reach_px:
            return None
        label = labels[ys[nearest], xs[nearest]]
    region: Mask = (labels == label).astype(np.uint8)
    return region


def _filled(region: Mask | None) -> Mask | None:
    if region is None:
        return None
    outlines, _ = cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros_like(region), outlines, -1, 1, cv2.FILLED).astype(np.uint8)


def _without_specks(mask: Mask, min_area_px: float) -> Mask:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    keep = np.zeros(count, np.uint8)
    keep[1:] = stats[1:, cv2.CC_STAT_AREA] >= min_area_px
    kept: Mask = keep[labels]
    return kept


def _measure(region: Mask, nucleus: Mask, crop: Image, min_hole_px: float) -> CellShape:
    moments = cv2.moments(region, binaryImage=True)
    area = int(moments["m00"])
    outlines, _ = cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.drawContours(
        np.zeros_like(region), [cv2.convexHull(np.vstack(outlines))], -1, 1, cv2.FILLED
    )
    x0, y0, width, height = cv2.boundingRect(region)
    return CellShape(
        mask=region + nucleus,
        bbox_px=(x0, y0, x0 + width, y0 + height),
        x_px=moments["m10"] / area,
        y_px=moments["m01"] / area,
        area_px=area,
        nucleus_area_px=cv2.countNonZero(nucleus),
        solidity=area / cv2.countNonZero(hull),
        euler_number=_euler_number(nucleus, min_hole_px),
        cytoplasm_transmission=_transmission(crop, region - nucleus),
        nucleus_transmission=_transmission(crop, nucleus),
    )


def _transmission(crop: Image, mask: Mask) -> float:
    """Return the mean transmission over a mask; 1, that of blank glass, for an empty one."""
    return cv2.mean(crop, mask)[0] / BLANK_LEVEL if mask.any() else 1.0


def _euler_number(mask: Mask, min_hole_px: float) -> int:
    """Return parts minus holes; holes smaller than ``min_hole_px`` are chromatin, not holes."""
    outlines, tree = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if tree is None:
        return 0
    is_hole = tree[0][:, 3] >= 0
    holes = sum(
        cv2.contourArea(outline) >= min_hole_px
        for outline, hole in zip(outlines, is_hole, strict=True)
        if hole
    )
    return int(np.count_nonzero(~is_hole)) - holes


def _rejection(shape: CellShape, pixel_um2: float) -> Rejection | None:
    if shape.nucleus_area_px == 0:
        return Rejection.NO_NUCLEUS
    if not _CELL_AREA_UM2[0] <= shape.area_px * pixel_um2 <= _CELL_AREA_UM2[1]:
        return Rejection.AREA
    if not _NUCLEUS_AREA_UM2[0] <= shape.nucleus_area_px * pixel_um2 <= _NUCLEUS_AREA_UM2[1]:
        return Rejection.NUCLEUS_AREA
    if shape.solidity < _MIN_SOLIDITY:
        return Rejection.SOLIDITY
    if shape.nucleus_transmission < _DARKEST_NUCLEUS:
        return Rejection.OPAQUE
    return None


def _optical_density(transmission: float) -> float:
    return -math.log10(max(transmission, 1.0 / 255))
