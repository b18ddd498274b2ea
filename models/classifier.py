"""The classifier: five types, dead, other, with calibrated probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.cell_kind import CellKind
from models.layout import class_planes, space_to_depth
from models.manifest import NetworkEntry
from models.session import Network


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the softmax along the last axis, float32."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True), np.float32)


class Classifier:
    """Kind of the candidate in the middle of each crop.

    Args:
        network: opened.
        entry: of this network in the manifest.
        classes: what the outputs stand for, in their order.

    Attributes:
        classes: the columns of :meth:`classify`.
        crop_px: side of the crops.
        threshold: a highest probability below this is "unidentified".
    """

    def __init__(
        self, network: Network, entry: NetworkEntry, classes: tuple[CellKind, ...]
    ) -> None:
        if entry.crop_px is None:
            raise ValueError("a classifier has a fixed crop size")
        self._network = network
        self._block_px = entry.block_px
        self._temperature = np.float32(entry.parameters["temperature"])
        self.classes = classes
        self.crop_px = entry.crop_px
        self.threshold = entry.parameters["threshold"]

    def logits(self, crops: NDArray[np.uint8], masks: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the uncalibrated logits, float32 (n, classes)."""
        if crops.shape != masks.shape or crops.shape[1:] != (self.crop_px, self.crop_px):
            raise TypeError(f"expected crops and masks of {self.crop_px} px, not {crops.shape}")
        planes = class_planes(crops, masks)
        return self._network.run(space_to_depth(planes, self._block_px))

    def classify(self, crops: NDArray[np.uint8], masks: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return calibrated probabilities, float32 (n, classes), each row with sum 1.

        The temperature is that of Guo et al., ICML 2017.

        Args:
            crops: uint8 (n, C, C), candidates in the middle.
            masks: uint8 (n, C, C), 0 outside, 1 cytoplasm, 2 nucleus of the central cell.
        """
        return softmax(self.logits(crops, masks) / self._temperature)
