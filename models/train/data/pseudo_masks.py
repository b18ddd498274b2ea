"""Masks of stained single-cell crops that come with a class but without an outline.

The nucleus is a threshold on the unmixed nuclear stain (Otsu 1979); the cell is grown from it by
GrabCut (Rother et al. 2004), whose colour models tell cytoplasm from red cells.  Masks that cannot
be right for the class are marked unknown instead of being trained on.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from models.train.data.conversions import StainMaps, optical_density
from models.train.data.samples import CELL_KNOWN, NUCLEUS_KNOWN

PIXEL_UM = 0.165
PIXEL_AREA_UM2 = PIXEL_UM**2
SCANT_CYTOPLASM = frozenset({"lymphocyte", "basophil"})
Mask = NDArray[np.bool_]


def _ellipse(size_px: int) -> NDArray[np.uint8]:
    kernel: NDArray[np.uint8] = cv2.getStructuringElement(
        cv2.MORPH_ELLIPSE, (size_px, size_px)
    ).astype(np.uint8)
    return kernel


def _morph(mask: Mask, operation: int, size_px: int) -> Mask:
    return np.asarray(cv2.morphologyEx(mask.astype(np.uint8), operation, _ellipse(size_px)) > 0)


def _radius_um(shape: tuple[int, int]) -> NDArray[np.float64]:
    y, x = np.mgrid[: shape[0], : shape[1]]
    radius_px = np.hypot(y - (shape[0] - 1) / 2, x - (shape[1] - 1) / 2)
    return np.asarray(radius_px * PIXEL_UM, np.float64)


def nucleus_mask(maps: StainMaps) -> Mask:
    """Return the nucleus, all lobes, of the cell in the middle of a crop."""
    radius_um = _radius_um(maps.nuclear.shape)
    smooth = np.clip(cv2.GaussianBlur(maps.nuclear, (0, 0), 1.0) * 150, 0, 255).astype(np.uint8)
    otsu, _ = cv2.threshold(
        smooth[radius_um < 9].reshape(-1, 1), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU
    )
    dark = _morph((smooth > max(otsu, 60.0)) & (radius_um < 11), cv2.MORPH_OPEN, 3)
    count, label, stats, centroids = cv2.connectedComponentsWithStats(dark.astype(np.uint8))
    if count < 2:
        return np.zeros(dark.shape, bool)
    centre = (np.array(dark.shape[::-1]) - 1) / 2
    from_centre_um = np.linalg.norm(centroids - centre, axis=1) * PIXEL_UM
    weight = stats[:, cv2.CC_STAT_AREA] * np.exp(-((from_centre_um / 5) ** 2))
    weight[0] = 0
    main = int(np.argmax(weight))
    from_main_um = np.linalg.norm(centroids - centroids[main], axis=1) * PIXEL_UM
    keep = (stats[:, cv2.CC_STAT_AREA] * PIXEL_AREA_UM2 > 1.5) & (from_main_um < 8)
    keep[0] = False
    nucleus = _morph(keep[label], cv2.MORPH_CLOSE, 5)
    _, label, stats, _ = cv2.connectedComponentsWithStats((~nucleus).astype(np.uint8))
    chromatin_gap = stats[label, cv2.CC_STAT_AREA] * PIXEL_AREA_UM2 < 1.2
    return np.asarray(nucleus | chromatin_gap, bool)


def cell_mask(image_bgr: NDArray[np.uint8], maps: StainMaps, nucleus: Mask) -> Mask:
    """Return the whole cell around ``nucleus``, holes filled."""
    radius_um = _radius_um(nucleus.shape)
    near = (cv2.dilate(nucleus.astype(np.uint8), _ellipse(61)) > 0) & (radius_um < 13)
    density = cv2.GaussianBlur(optical_density(image_bgr).sum(2), (0, 0), 1.2)
    nuclear = cv2.GaussianBlur(maps.nuclear, (0, 0), 1.2)
    red_cell = cv2.GaussianBlur(maps.red_cell, (0, 0), 1.2)
    bluish = nuclear / (nuclear + 0.6 * red_cell + 1e-3) > 0.25
    seeds = np.full(nucleus.shape, cv2.GC_BGD, np.uint8)
    seeds[near] = cv2.GC_PR_BGD
    seeds[_morph(near & (density > 0.06) & bluish, cv2.MORPH_OPEN, 7)] = cv2.GC_PR_FGD
    closed = _morph(nucleus, cv2.MORPH_CLOSE, 25)
    seeds[cv2.dilate(closed.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0] = cv2.GC_PR_FGD
    seeds[nucleus] = cv2.GC_FGD
    cv2.setRNGSeed(1)
    lab = cv2.cvtColor(image_bgr, cv2.COLOR_BGR2Lab)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(lab, seeds, (0, 0, 1, 1), *models, 3, cv2.GC_INIT_WITH_MASK)
    cell = np.isin(seeds, (cv2.GC_FGD, cv2.GC_PR_FGD))
    cell = _morph(cell, cv2.MORPH_OPEN, 9) | nucleus
    _, label = cv2.connectedComponents(cell.astype(np.uint8))
    filled = np.isin(label, np.unique(label[nucleus])).astype(np.uint8)
    contours, _ = cv2.findContours(filled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(filled, contours, -1, 1, -1)
    return filled > 0


def pseudo_labels(
    image_bgr: NDArray[np.uint8], maps: StainMaps, kind: str
) -> tuple[NDArray[np.uint8], int]:
    """Return labels 0/1/2 of the central cell and which of them can be trusted (bits)."""
    nucleus = nucleus_mask(maps)
    nucleus_um2 = float(nucleus.sum()) * PIXEL_AREA_UM2
    if not 12 < nucleus_um2 < 300:
        return np.zeros(nucleus.shape, np.uint8), 0
    cell = cell_mask(image_bgr, maps, nucleus)
    cell_um2 = float(cell.sum()) * PIXEL_AREA_UM2
    touches_frame = bool(cell[0].any() or cell[-1].any() or cell[:, 0].any() or cell[:, -1].any())
    ratio = cell_um2 / nucleus_um2
    least = 1.02 if kind in SCANT_CYTOPLASM else 1.4
    known = 0 if kind == "basophil" else NUCLEUS_KNOWN  # its granules stain as dark as the nucleus
    if least < ratio < 5 and 30 < cell_um2 < 420 and not touches_frame:
        known |= CELL_KNOWN
    return cell.astype(np.uint8) + nucleus.astype(np.uint8), known
