"""A tile: one camera frame at one stage position, as acquisition hands it to analysis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Tile:
    """One frame with the place and the conditions it was taken at.

    Attributes:
        sequence: number in order of acquisition within the run, from 0.
        row: row of the plan.
        column: column of the plan.
        x_um: stage frame, centre of the image.
        y_um: stage frame, centre of the image.
        z_um: stage frame.
        pixels: raw counts, uint16, shape (height, width).
        full_scale: largest count the pixel format can hold.
        pixel_um: size of a pixel in the sample.
        exposure_ms: exposure time.
    """

    sequence: int
    row: int
    column: int
    x_um: float
    y_um: float
    z_um: float
    pixels: NDArray[np.uint16]
    full_scale: int
    pixel_um: float
    exposure_ms: float
