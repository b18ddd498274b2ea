"""Counts the arithmetic of any ONNX file from the shapes its layers really have."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

_CONVOLUTIONS = ("Conv", "ConvTranspose")
_PRODUCTS = ("Gemm", "MatMul")
_GRAY_LEVELS = 256


@dataclass(frozen=True, eq=False)
class Workload:
    """One run of a network.

    Attributes:
        image: random folded image, uint8 (1, rows, columns, channels).
        macs: multiply-accumulates of the run.
    """

    image: NDArray[np.uint8]
    macs: int


def workload(path: Path, grid: tuple[int, int], seed: int) -> Workload:
    """Return an image for a network file and the multiply-accumulates it costs.

    The runtime is asked for the shapes of a run without optimization, in which the layers are the
    file's own: quantized ones appear as float ones between conversions.

    Args:
        path: of an ONNX file that takes folded images, uint8 (n, rows, columns, channels).
        grid: rows and columns of the image.
        seed: of the image.
    """
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
        # Weights that are packed beforehand are missing among the shapes.
        options.add_session_config_entry("session.disable_prepacking", "1")
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "run")
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        taken = session.get_inputs()[0]
        shape = (1, *grid, taken.shape[-1])
        image = np.random.default_rng(seed).integers(0, _GRAY_LEVELS, shape, dtype=np.uint8)
        session.run(None, {taken.name: image})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return Workload(image, sum(_macs(event["args"]) for event in events if _is_kernel(event)))


def _is_kernel(event: Mapping[str, Any]) -> bool:
    return event.get("cat") == "Node" and str(event["name"]).endswith("_kernel_time")


def _macs(node: Mapping[str, Any]) -> int:
    operator = node["op_name"]
    if operator not in (*_CONVOLUTIONS, *_PRODUCTS):
        return 0
    data, weight = (_shape(tensor) for tensor in node["input_type_shape"][:2])
    output = _shape(node["output_type_shape"][0])
    if operator in _PRODUCTS:
        return math.prod(output) * data[-1]
    # Each weight meets every place of the output, of a transposed convolution every input place.
    places = output if operator == "Conv" else data
    return places[0] * math.prod(places[2:]) * math.prod(weight)


def _shape(tensor: Mapping[str, list[int]]) -> list[int]:
    (shape,) = tensor.values()
    return shape
