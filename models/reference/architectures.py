"""The paper's encoder-decoder networks as data, in two readings of "23.6 million parameters".

Kaza, Ojaghi, Robles, BME Frontiers 2022, 9853606, describes U-Net-like networks of strided
convolutions down and transposed convolutions up, 23.6 M parameters each, without giving all
widths.  Two readings come out at that number: five levels of 4x4 kernels (A) and seven levels of
3x3 kernels (B).  B needs a third of the arithmetic.  Batch normalization is folded into the
convolution before it, as every runtime does for inference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

PATCH_PX = 512
"""Side of the patches the paper's networks take."""

PATCHES_PER_TILE = 9
"""Overlapping patches of a tile of 1392x1040 px."""

Operator = Literal["Conv", "ConvTranspose"]
Activation = Literal["Relu", "LeakyRelu", "Sigmoid", "Tanh"]


@dataclass(frozen=True)
class Layer:
    """One convolution with bias and activation.

    Attributes:
        name: unique within the network.
        operator: ONNX operator.
        inputs: channels it takes.
        outputs: channels it gives.
        kernel_px: side of the kernel.
        stride: 1 or 2; a transposed convolution of stride 2 doubles the size.
        activation: ONNX operator after it.
        skip: layer whose output is appended to its input, or None.
    """

    name: str
    operator: Operator
    inputs: int
    outputs: int
    kernel_px: int
    stride: int
    activation: Activation
    skip: str | None = None

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """Shape of the weights as ONNX wants them."""
        ends = (
            (self.outputs, self.inputs) if self.operator == "Conv" else (self.inputs, self.outputs)
        )
        return (*ends, self.kernel_px, self.kernel_px)

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return math.prod(self.weight_shape) + self.outputs

    @property
    def fan_in(self) -> float:
        """Products that make up one output value."""
        taps = self.kernel_px**2 / (self.stride**2 if self.operator == "ConvTranspose" else 1)
        return self.inputs * taps

    def macs(self, input_px: int) -> int:
        """Return the multiply-accumulates for a square input of ``input_px``."""
        # Each weight meets every output pixel, or every input pixel of a transposed convolution.
        smaller_px = min(input_px, self.output_px(input_px))
        return smaller_px**2 * math.prod(self.weight_shape)

    def output_px(self, input_px: int) -> int:
        """Return the side of the output for a square input of ``input_px``."""
        if self.operator == "ConvTranspose":
            return input_px * self.stride
        return input_px // self.stride


@dataclass(frozen=True)
class Architecture:
    """A network: layers in order of execution.

    Attributes:
        name: of the network; its graph is ``<name>.onnx``.
        layers: each takes the output of the one before, and its skip.
    """

    name: str
    layers: tuple[Layer, ...]

    @property
    def file(self) -> str:
        """Name of the graph file."""
        return f"{self.name}.onnx"

    @property
    def outputs(self) -> int:
        """Channels of the output."""
        return self.layers[-1].outputs

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one patch of ``PATCH_PX``."""
        total, size_px = 0, PATCH_PX
        for layer in self.layers:
            total += layer.macs(size_px)
            size_px = layer.output_px(size_px)
        return total


def _encoder_decoder(
    reading: Reading, kind: Literal["mask", "stain"], outputs: int
) -> Architecture:
    """Return strided convolutions, transposed ones with skips by concatenation, and a 1x1 head."""
    down: Activation = "LeakyRelu" if kind == "stain" else "Relu"
    before = (1, *reading.down)
    layers = [
        Layer(f"down{level}", "Conv", before[level], width, reading.kernel_px, 2, down)
        for level, width in enumerate(reading.down)
    ]
    channels = reading.down[-1]
    for level, width in zip(reversed(range(len(reading.down))), reading.up, strict=True):
        # The deepest level has no layer of its own size to take from.
        skip = layers[level] if level < len(reading.down) - 1 else None
        channels += skip.outputs if skip else 0
        layers.append(
            Layer(
                f"up{level}",
                "ConvTranspose",
                channels,
                width,
                reading.kernel_px,
                2,
                "Relu",
                skip.name if skip else None,
            )
        )
        channels = width
    last: Activation = "Tanh" if kind == "stain" else "Sigmoid"
    layers.append(Layer("head", "Conv", channels, outputs, 1, 1, last))
    return Architecture(f"reading_{reading.letter.lower()}_{kind}", tuple(layers))


@dataclass(frozen=True)
class Reading:
    """One way to come to the paper's number of parameters.

    Attributes:
        letter: A or B.
        kernel_px: side of all kernels but the head's.
        down: channels of the strided convolutions.
        up: channels of the transposed convolutions.
    """

    letter: Literal["A", "B"]
    kernel_px: int
    down: tuple[int, ...]
    up: tuple[int, ...]

    @property
    def networks(self) -> dict[str, Architecture]:
        """The paper's three networks by name; cell and nucleus differ in weights alone."""
        mask, stain = _encoder_decoder(self, "mask", 1), _encoder_decoder(self, "stain", 2)
        return {"cell mask": mask, "nucleus mask": mask, "stain generator": stain}


READINGS = (
    Reading("A", 4, (64, 128, 256, 512, 512), (512, 512, 256, 128, 64)),
    Reading("B", 3, (64, 128, 256, 512, 512, 512, 512), (512, 512, 512, 256, 128, 64, 64)),
)
