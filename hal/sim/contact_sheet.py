"""A picture of simulated cells, one row per kind, as the camera sees them at 260 nm."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hal.sim.blood.donors import KINDS, make_donor
from hal.sim.blood.masses import Float32Array
from hal.sim.blood.smear import Smear
from hal.sim.optics.microscope import CellTruth, VirtualMicroscope

CELLS_PER_ROW = 8
CROP_PX = 124
_LABEL_WIDTH_PX = 150
_ENRICHMENT = 60.0
_FIELD_PX = 560
_DONORS = ("healthy", "sickle", "neutropenia-mild", "eosinophilia")
_BRIGHTNESS = 215.0


def contact_sheet(out: Path) -> None:
    """Write the contact sheet to the PNG file ``out``, 8-bit gray."""
    rows = [_row(kind) for kind in KINDS]
    if not cv2.imwrite(str(out), np.vstack(rows), [cv2.IMWRITE_PNG_COMPRESSION, 9]):
        raise OSError(f"cannot write {out}")


def _row(kind: str) -> NDArray[np.uint8]:
    crops: list[Float32Array] = []
    number = 0
    while len(crops) < CELLS_PER_ROW:
        number += 1
        donor = make_donor(f"{_DONORS[number % len(_DONORS)]}:{900 + number}")
        smear = Smear(donor, white_cell_enrichment=_ENRICHMENT, composition={kind: 1.0})
        microscope = VirtualMicroscope(smear, width_px=_FIELD_PX, height_px=_FIELD_PX)
        crops += _crops(microscope, 36_000.0 + 200.0 * number, 44_000.0)[:2]
    label = np.full((CROP_PX, _LABEL_WIDTH_PX), 255, np.uint8)
    for line, word in enumerate(kind.split("_")):
        cv2.putText(
            label,
            word,
            (6, CROP_PX // 2 + 22 * line),
            cv2.FONT_HERSHEY_SIMPLEX,
            0.6,
            0,
            1,
            cv2.LINE_AA,
        )
    pictures = np.hstack(crops[:CELLS_PER_ROW]) * _BRIGHTNESS
    return np.hstack([label, np.clip(np.rint(pictures), 0, 255).astype(np.uint8)])


def _crops(microscope: VirtualMicroscope, x_um: float, y_um: float) -> list[Float32Array]:
    z_um = microscope.smear.focus_z_um(x_um, y_um)
    image = microscope.transmission(x_um, y_um, z_um)
    crops = []
    for cell in microscope.truth(x_um, y_um).cells:
        left, top = _corner(cell)
        crop = image[max(top, 0) : top + CROP_PX, max(left, 0) : left + CROP_PX]
        if crop.shape == (CROP_PX, CROP_PX):
            crops.append(crop)
    return crops


def _corner(cell: CellTruth) -> tuple[int, int]:
    x0, y0, x1, y1 = cell.bbox_px
    return (x0 + x1 - CROP_PX) // 2, (y0 + y1 - CROP_PX) // 2
