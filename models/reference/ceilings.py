"""What one core can do at most: a chain of the convolution that runtimes run fastest.

Dense 3x3 convolutions of 64 channels with ReLU, at the grid of 8 px of a tile of 1392x1040 px.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

CHANNELS = 64
KERNEL_PX = 3
LAYERS = 8
GRID = (130, 174)

GRAY_SCALE = 1 / 255
"""Value of one step of the INT8 chain's activations, uint8 with zero point 0."""

WEIGHT_LEVELS_STD = 40.0
"""Standard deviation of the INT8 chain's weights, in steps of int8."""


@dataclass(frozen=True)
class Ceiling:
    """A chain of equal convolutions.

    Attributes:
        name: of the arithmetic; the graph is ``ceiling_<name>.onnx``.
    """

    name: Literal["int8", "fp32"]

    @property
    def file(self) -> str:
        """Name of the graph file."""
        return f"ceiling_{self.name}.onnx"

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of input and output."""
        return (1, CHANNELS, *GRID)

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """Of each layer's weights."""
        return (CHANNELS, CHANNELS, KERNEL_PX, KERNEL_PX)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the chain."""
        return LAYERS * math.prod(GRID) * math.prod(self.weight_shape)

    def weights(self, normal: NDArray[np.float32]) -> NDArray[Any]:
        """Return one layer's weights, float32 of He's scale or int8, from normal numbers."""
        if self.name == "int8":
            levels = np.clip(np.rint(normal * WEIGHT_LEVELS_STD), -127, 127)
            return np.asarray(levels, np.int8)
        return np.asarray(normal * he_std(), np.float32)

    def image(self, gray: NDArray[np.uint8]) -> NDArray[Any]:
        """Return the input from gray values, uint8 or float32 0..1."""
        return gray if self.name == "int8" else np.asarray(gray * GRAY_SCALE, np.float32)


def he_std() -> float:
    """Return the standard deviation of weights that keeps the signal alike through the chain."""
    return math.sqrt(2.0 / (CHANNELS * KERNEL_PX**2))


CEILINGS = (Ceiling("int8"), Ceiling("fp32"))
