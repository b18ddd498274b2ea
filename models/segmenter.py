"""The segmenter: outlines the cell in the middle of a crop, and its nucleus."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.layout import space_to_depth
from models.manifest import NetworkEntry
from models.scout import sigmoid
from models.session import Network

_TARGETS = 2


class Segmenter:
    """Cell and nucleus of one candidate per crop.

    Every crop is shown in several quarter turns and the answers are averaged: edges get truer.

    Attributes:
        crop_px: side of the crops.
    """

    def __init__(self, network: Network, entry: NetworkEntry) -> None:
        if entry.crop_px is None:
            raise ValueError("a segmenter has a fixed crop size")
        self._network = network
        self._block_px = entry.block_px
        self._turns = range(int(entry.parameters["turns"]))
        self.crop_px = entry.crop_px

    def segment(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the probabilities that a pixel belongs to the central cell and to its nucleus.

        Args:
            crops: uint8 (n, S, S), candidates in the middle.

        Returns:
            float32 (n, 2, S, S): whole cell, nucleus.
        """
        if crops.dtype != np.uint8 or crops.shape[1:] != (self.crop_px, self.crop_px):
            raise TypeError(f"expected uint8 crops of {self.crop_px} px, not {crops.shape}")
        if len(crops) == 0:
            return np.empty((0, _TARGETS, self.crop_px, self.crop_px), np.float32)
        turned = np.concatenate([np.rot90(crops, turn, (1, 2)) for turn in self._turns])
        logits = _arrange(self._network.run(space_to_depth(turned, self._block_px)))
        total: NDArray[np.float32] = np.zeros((len(crops), *logits.shape[1:]), np.float32)
        for turn in self._turns:
            answers = logits[turn * len(crops) : (turn + 1) * len(crops)]
            total += np.rot90(answers, -turn, (2, 3))
        return sigmoid(total / np.float32(len(self._turns)))


def _arrange(sub_pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Spread channels over sub-pixels: (n, 2 * f * f, h, w) to (n, 2, h * f, w * f)."""
    n, channels, height, width = sub_pixels.shape
    factor = round((channels / _TARGETS) ** 0.5)
    split = sub_pixels.reshape(n, _TARGETS, factor, factor, height, width)
    out = np.empty((n, _TARGETS, height * factor, width * factor), np.float32)
    for row in range(factor):
        for column in range(factor):
            out[:, :, row::factor, column::factor] = split[:, :, row, column]
    return out
