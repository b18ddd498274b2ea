"""Drawing a piece of the mosaic from the tiles that show it, blended where they overlap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from device.mosaic.layout import MosaicLayout

Image = NDArray[np.uint8]
Read = Callable[[int, int], Image | None]
"""Returns the picture of a tile, by sequence number and step, at a step-th of its size; uint8
(h, w) or (h, w, 3); None if it is not kept."""

PIECE_PX: Final = 512
NOT_SEEN: Final = 40
"""Gray of what no tile shows: far darker than blood."""


def piece_px(layout: MosaicLayout, step: int, column: int, row: int) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of a piece on the canvas."""
    side = PIECE_PX * step
    left, top = column * side, row * side
    return left, top, min(left + side, layout.width_px), min(top + side, layout.height_px)


def draw_piece(
    layout: MosaicLayout, step: int, column: int, row: int, read: Read, channels: int = 1
) -> Image:
    """Return one piece at a step-th of its size; step is 1, 2, 4 or 8.

    Where tiles overlap, each counts in proportion to the distance from its border (linear
    blending), so that no seam shows.

    Args:
        layout: of the run.
        step: pixels of the canvas per pixel of the piece.
        column: of the piece, from the left of the canvas.
        row: of the piece, from its top.
        read: returns tiles.
        channels: 1 for gray, 3 for colours.
    """
    region = piece_px(layout, step, column, row)
    piece, seen = draw_region(layout, step, region, read, channels)
    piece[~seen] = NOT_SEEN
    return piece[:, :, 0] if channels == 1 else piece


def draw_region(
    layout: MosaicLayout,
    step: int,
    region_px: tuple[int, int, int, int],
    read: Read,
    channels: int,
) -> tuple[Image, NDArray[np.bool_]]:
    """Return any rectangle as :func:`draw_piece`, (h, w, channels), and where tiles show it."""
    left, top, right, bottom = region_px
    shape = (-(-(bottom - top) // step), -(-(right - left) // step), channels)
    total, weight = np.zeros(shape, np.float32), np.zeros(shape[:2], np.float32)
    ramp_px = max(1.0, layout.picture.overlap_px / step)
    for index in layout.within(left, top, right, bottom):
        picture = read(int(layout.sequences[index]), step)
        if picture is None:
            continue
        (x, y), parts = np.divmod(layout.corners_px[index] - (left, top), step)
        picture = _moved(picture, parts[0] / step, parts[1] / step)
        y0, y1 = max(0, y), min(shape[0], y + picture.shape[0])
        x0, x1 = max(0, x), min(shape[1], x + picture.shape[1])
        if y0 >= y1 or x0 >= x1:
            continue
        down = _ramp(picture.shape[0], ramp_px)[y0 - y : y1 - y]
        across = _ramp(picture.shape[1], ramp_px)[x0 - x : x1 - x]
        share = down[:, None] * across[None, :]
        shown = picture[y0 - y : y1 - y, x0 - x : x1 - x].reshape(y1 - y0, x1 - x0, channels)
        total[y0:y1, x0:x1] += shown * share[:, :, None]
        weight[y0:y1, x0:x1] += share
    seen = weight > 0.0
    drawn = np.zeros(shape, np.uint8)
    drawn[seen] = np.rint(total[seen] / weight[seen][:, None])
    return drawn, seen


def _moved(picture: Image, right: float, down: float) -> Image:
    """Return a picture moved by parts of a pixel."""
    if right == down == 0.0:
        return picture
    move = np.array([[1.0, 0.0, right], [0.0, 1.0, down]])
    size = (picture.shape[1], picture.shape[0])
    return np.asarray(
        cv2.warpAffine(picture, move, size, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


def _ramp(length_px: int, ramp_px: float) -> NDArray[np.float32]:
    """Return the weight of each row or column of a tile: from its border linearly up to 1."""
    place = np.arange(length_px, dtype=np.float32) + 0.5
    return np.asarray(np.minimum(1.0, np.minimum(place, length_px - place) / ramp_px), np.float32)
