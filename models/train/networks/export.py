"""From a trained float network to the INT8 file that ships.

Quantization: uint8 activations, int8 weights per channel, static ranges from calibration images
(what CPU kernels run fastest), as QuantizeLinear/DequantizeLinear pairs.  The file takes uint8:
its first QuantizeLinear is cut off, because an image is already quantized with scale 1/255.

TensorRT takes zero points of 0 alone.  The symmetric file is for it: int8 activations, and a uint8
image that the graph itself scales.  CPU kernels run it two to four times slower.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn

INPUT = "image"
OUTPUT = "logits"


class _Images(CalibrationDataReader):  # type: ignore[misc]
    """Calibration images one by one, as the float graph takes them."""

    def __init__(self, images: Sequence[NDArray[np.uint8]]) -> None:
        self._left: Iterator[NDArray[np.uint8]] = iter(images)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        image = next(self._left, None)
        return None if image is None else {INPUT: np.asarray(image[None] / 255, np.float32)}


def export_float(net: nn.Module, example: NDArray[np.uint8], path: Path, *, any_size: bool) -> None:
    """Write the float ONNX file.

    Args:
        net: in eval mode, on the CPU.
        example: one folded image, uint8 (h, w, c).
        path: of the file.
        any_size: whether height and width stay free, as well as the number of images.
    """
    axes = {0: torch.export.Dim("images")}
    if any_size:
        axes |= {1: 8 * torch.export.Dim("rows", min=2), 2: 8 * torch.export.Dim("columns", min=2)}
    torch.onnx.export(
        net.eval(),
        (torch.from_numpy(np.stack([example, example])).float() / 255,),
        str(path),
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_shapes=(axes,),
        opset_version=18,
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def _consumer(model: onnx.ModelProto, tensor: str, operator: str) -> onnx.NodeProto:
    """Return the one node of a kind that takes a tensor."""
    for node in model.graph.node:
        if tensor in node.input and node.op_type == operator:
            found: onnx.NodeProto = node
            return found
    raise ValueError(f"no {operator} takes {tensor}")


def _take_bytes(model: onnx.ModelProto) -> None:
    """Let the graph take the uint8 image: cut the quantization after the first transposition."""
    graph = model.graph
    planes = _consumer(model, INPUT, "Transpose").output[0]
    quantize_node = _consumer(model, planes, "QuantizeLinear")
    for node in graph.node:
        for position, name in enumerate(node.input):
            if name == quantize_node.output[0]:
                node.input[position] = planes
    graph.node.remove(quantize_node)
    graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    del graph.value_info[:]


def _scale_bytes(model: onnx.ModelProto) -> None:
    """Let the graph take the uint8 image: turn it into shares of 255 before anything else."""
    graph = model.graph
    _consumer(model, INPUT, "Transpose").input[0] = f"{INPUT}_share"
    graph.initializer.append(
        onnx.numpy_helper.from_array(np.array(1 / 255, np.float32), f"{INPUT}_scale")
    )
    graph.node.insert(
        0, onnx.helper.make_node("Mul", [f"{INPUT}_float", f"{INPUT}_scale"], [f"{INPUT}_share"])
    )
    graph.node.insert(
        0,
        onnx.helper.make_node("Cast", [INPUT], [f"{INPUT}_float"], to=onnx.TensorProto.FLOAT),
    )
    graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    del graph.value_info[:]


def quantize(
    float_path: Path,
    path: Path,
    images: Sequence[NDArray[np.uint8]],
    *,
    symmetric: bool = False,
) -> None:
    """Write the INT8 file of a float ONNX file.

    Args:
        float_path: from :func:`export_float`.
        path: of the file to write.
        images: folded calibration images, uint8 (h, w, c), of every kind the network will see.
        symmetric: zero points of 0, as TensorRT needs them, instead of what CPUs run fastest.
    """
    kind = QuantType.QInt8 if symmetric else QuantType.QUInt8
    image_type, image_scale = (np.int8, 1 / 127) if symmetric else (np.uint8, 1 / 255)
    with tempfile.TemporaryDirectory() as folder:
        prepared, paired = Path(folder) / "prepared.onnx", Path(folder) / "paired.onnx"
        quant_pre_process(str(float_path), str(prepared), skip_symbolic_shape=True)
        planes = _consumer(onnx.load(prepared), INPUT, "Transpose").output[0]
        quantize_static(
            str(prepared),
            str(paired),
            _Images(images),
            quant_format=QuantFormat.QDQ,
            activation_type=kind,
            weight_type=QuantType.QInt8,
            per_channel=True,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={
                "ActivationSymmetric": symmetric,
                "TensorQuantOverrides": {
                    planes: [
                        {
                            "quant_type": kind,
                            "scale": np.array(image_scale, np.float32),
                            "zero_point": np.array(0, image_type),
                        }
                    ]
                },
            },
        )
        model = onnx.load(paired)
    if symmetric:
        _scale_bytes(model)
    else:
        _take_bytes(model)
    onnx.checker.check_model(model)
    onnx.save(model, path)
