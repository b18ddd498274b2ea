"""One network file as a function."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.errors import ModelError
from models.manifest import NetworkEntry, verified_file


class Network:
    """A verified network file on one CPU thread; not for use by two threads at once."""

    def __init__(self, directory: Path, entry: NetworkEntry) -> None:
        """Open the file.

        Raises:
            ModelError: missing, hash differs, or not a network of the expected input.
        """
        path = verified_file(directory, entry)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        remedy = "Install the software again."
        try:
            self._session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises its own unexported types
            raise ModelError(f"{entry.file} cannot be opened: {error}.", remedy=remedy) from error
        self._input = self._session.get_inputs()[0]
        if self._input.type != f"tensor({entry.dtype})":
            raise ModelError(
                f"{entry.file} takes {self._input.type}, the manifest says {entry.dtype}.",
                remedy=remedy,
            )

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the network's first output for folded images, uint8 (n, h, w, c)."""
        output: NDArray[np.float32] = self._session.run(None, {self._input.name: images})[0]
        return output
