"""Cells as rows of the database."""

from __future__ import annotations

import json
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from device.results.cell import Cell


def cell_row(run_id: int, cell: Cell) -> dict[str, Any]:
    """Return a counted cell with its pictures as PNG."""
    probabilities = {kind.value: float(value) for kind, value in cell.probabilities.items()}
    return {
        "run_id": run_id,
        "tile_sequence": cell.tile_sequence,
        "x_um": float(cell.x_um),
        "y_um": float(cell.y_um),
        "x_px": float(cell.x_px),
        "y_px": float(cell.y_px),
        "bbox_px": json.dumps([int(value) for value in cell.bbox_px]),
        "kind": cell.kind,
        "identified": bool(cell.identified),
        "probabilities": json.dumps(probabilities),
        "area_um2": float(cell.area_um2),
        "nucleus_area_um2": float(cell.nucleus_area_um2),
        "picture": _png(cell.thumbnail),
        "mask": _png(cell.mask),
    }


def _png(image: NDArray[np.uint8]) -> bytes:
    return bytes(cv2.imencode(".png", image)[1])
