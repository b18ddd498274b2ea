"""What the analysis asks of the three networks; ``models.runtime`` provides them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""uint8 (height, width), ``clip(round(T * BLANK_LEVEL), 0, 255)`` with T the transmission."""

BLANK_LEVEL = 220
"""Gray level of blank glass in a normalised image."""


class Detections(Protocol):
    """What the scout saw in one image; all positions in pixels of that image."""

    @property
    def nuclei(self) -> NDArray[np.float32]:
        """Columns x, y, score; (N, 3), highest score first."""

    @property
    def red_cells(self) -> NDArray[np.float32]:
        """Columns x, y, score; (M, 3)."""

    @property
    def platelets(self) -> NDArray[np.float32]:
        """Columns x, y, score; (K, 3)."""

    @property
    def usability(self) -> float:
        """How far the image can be read, 0 to 1."""


class Scout(Protocol):
    """Finds nuclei, red cells and platelets in a whole tile."""

    def find(self, image: Image) -> Detections:
        """Look at one normalised image, (h, w)."""


class Segmenter(Protocol):
    """Outlines the cell at the centre of a crop, and its nucleus."""

    @property
    def crop_px(self) -> int:
        """Side of its crops."""

    def segment(self, crops: Image) -> NDArray[np.float32]:
        """Map crops (n, S, S) to probabilities of cell and nucleus, (n, 2, S, S)."""


class Classifier(Protocol):
    """Names the cell at the centre of a crop."""

    @property
    def crop_px(self) -> int:
        """Side of its crops."""

    @property
    def threshold(self) -> float:
        """Probability below which a cell is unidentified."""

    def classify(self, crops: Image, masks: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Map crops and masks 0/1/2, both (n, C, C), to probabilities in CellKind order, (n, 7)."""


class Networks(Protocol):
    """The three networks of one worker thread."""

    @property
    def scout(self) -> Scout:
        """Whole tiles."""

    @property
    def segmenter(self) -> Segmenter:
        """Crops of candidates."""

    @property
    def classifier(self) -> Classifier:
        """Crops of segmented cells."""

    @property
    def pixel_um(self) -> float:
        """Pixel size the networks were trained at."""
