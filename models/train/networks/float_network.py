"""A network before quantization, behind the interface of the shipped ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from hal.errors import InputError
from models.session import Network


class FloatNetwork(Network):
    """A float ONNX file that takes the uint8 images of the INT8 file.

    Args:
        path: from :func:`models.train.networks.export.export_float`.

    Raises:
        InputError: the file is missing.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise InputError("TRAIN-FLOAT-MISSING", path=path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._float_session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        self._float_input: str = self._float_session.get_inputs()[0].name

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the network's first output for folded images, uint8 (n, h, w, c)."""
        shares = images.astype(np.float32) / np.float32(255)
        output: NDArray[np.float32] = self._float_session.run(None, {self._float_input: shares})[0]
        return output
