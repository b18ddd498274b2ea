"""The arrangement of pixels the networks take and give."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BLANK_LEVEL = 220
"""Gray value of blank glass (transmission 1) in a normalised image."""

_WORDS = {2: np.uint16, 4: np.uint32, 8: np.uint64}


def _fold(planes: NDArray[np.uint8], block_px: int) -> NDArray[np.uint8]:
    """Fold uint8 (n, h, w) to (n, h/b, w/b, b*b), moving each row of a block as one word."""
    n, height, width = planes.shape
    words = np.ascontiguousarray(planes).view(_WORDS[block_px])
    rows = words.reshape(n, height // block_px, block_px, width // block_px)
    return np.ascontiguousarray(rows.transpose(0, 1, 3, 2)).view(np.uint8)


def space_to_depth(images: NDArray[np.uint8], block_px: int) -> NDArray[np.uint8]:
    """Fold blocks of pixels into channels.

    Args:
        images: uint8 (n, h, w) or (n, h, w, c); h and w are multiples of ``block_px``.
        block_px: side of a block: 2, 4 or 8.

    Returns:
        uint8 (n, h / block, w / block, c * block**2), contiguous; the order of channels is plane,
        row in the block, column in the block.
    """
    if images.ndim == 3:
        return _fold(images, block_px)
    folded = [_fold(images[..., plane], block_px) for plane in range(images.shape[3])]
    return np.concatenate(folded, axis=3)


def class_planes(crops: NDArray[np.uint8], masks: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the classifier's planes, uint8 (n, h, w, 3): gray, cell and nucleus, masks as 0/255.

    Args:
        crops: uint8 (n, h, w).
        masks: uint8 (n, h, w), 0 outside, 1 cytoplasm, 2 nucleus.
    """
    cell = (masks > 0) * np.uint8(255)
    nucleus = (masks == 2) * np.uint8(255)
    return np.stack([crops, cell, nucleus], axis=3)
