"""Opens the graphs of this folder with dense random weights, so that none need be stored.

The graphs name their weights as external data; the arrays are handed to the runtime when it opens
them, before it optimizes, so they run exactly as a trained network of the same shape would.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.errors import ModelError
from models.reference.architectures import PATCH_PX, Architecture
from models.reference.ceilings import LAYERS, Ceiling

FOLDER = Path(__file__).parent
_BIAS_STD = 0.01
_GRAY_LEVELS = 256


class TimedGraph:
    """One graph on one CPU thread, with an input to run it on.

    Attributes:
        output_shape: of its output.
    """

    def __init__(
        self, file: str, weights: Mapping[str, NDArray[Any]], example: NDArray[Any]
    ) -> None:
        """Open a graph of this folder.

        Args:
            file: its name.
            weights: arrays by the names the graph gives them.
            example: the input.

        Raises:
            ModelError: the file is missing or damaged, or the weights do not fit it.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        # Kept, because the runtime uses the arrays where they lie as long as the session lives.
        self._weights = [
            onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in weights.values()
        ]
        options.add_external_initializers(list(weights), self._weights)
        try:
            self._session = onnxruntime.InferenceSession(
                FOLDER / file, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises its own unexported types
            raise ModelError("MODEL-REFERENCE-UNREADABLE", file=file, reason=error) from error
        self._input = {self._session.get_inputs()[0].name: example}
        self.output_shape = tuple(self._session.get_outputs()[0].shape)

    def run(self) -> NDArray[Any]:
        """Run once and return the output."""
        output: NDArray[Any] = self._session.run(None, self._input)[0]
        return output


def random_weights(architecture: Architecture, seed: int) -> dict[str, NDArray[np.float32]]:
    """Return normal weights of He's scale and small biases, float32, by name.

    The scale (He et al., ICCV 2015) keeps the signal alike through all layers, so that neither
    denormal nor infinite numbers distort the timing.
    """
    rng = np.random.default_rng(seed)
    weights: dict[str, NDArray[np.float32]] = {}
    for layer in architecture.layers:
        values = rng.standard_normal(layer.weight_shape, dtype=np.float32)
        values *= np.float32((2.0 / layer.fan_in) ** 0.5)
        weights[f"{layer.name}.weight"] = values
        bias = rng.standard_normal(layer.outputs, dtype=np.float32)
        weights[f"{layer.name}.bias"] = bias * np.float32(_BIAS_STD)
    return weights


def open_network(architecture: Architecture, seed: int) -> TimedGraph:
    """Open one of the paper's networks with random weights and a random gray patch, FP32.

    Raises:
        ModelError: the graph file is missing or damaged.
    """
    patch = np.random.default_rng(seed).random((1, 1, PATCH_PX, PATCH_PX), dtype=np.float32)
    return TimedGraph(architecture.file, random_weights(architecture, seed), patch)


def open_ceiling(ceiling: Ceiling, seed: int) -> TimedGraph:
    """Open a chain of the fastest kind of convolution with random weights and a random input.

    Raises:
        ModelError: the graph file is missing or damaged.
    """
    rng = np.random.default_rng(seed)
    weights: dict[str, NDArray[Any]] = {}
    for layer in range(LAYERS):
        normal = rng.standard_normal(ceiling.weight_shape, dtype=np.float32)
        weights[f"layer{layer}.weight"] = ceiling.weights(normal)
    gray = rng.integers(0, _GRAY_LEVELS, ceiling.shape, dtype=np.uint8)
    return TimedGraph(ceiling.file, weights, ceiling.image(gray))
