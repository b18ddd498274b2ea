"""Write the benchmark's reference graphs: ``python -m models.train.release.reference_graphs``.

They hold no weights: those are named as external data, and the benchmark supplies random ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.reference import ceilings
from models.reference.architectures import PATCH_PX, READINGS, Architecture, Layer
from models.reference.ceilings import CEILINGS, Ceiling
from models.reference.sessions import FOLDER

_OPSET = 18
_IR_VERSION = 9
_LEAK = 0.2
_INPUT = "image"
_OUTPUT = "map"


def _external(name: str, shape: Sequence[int], kind: int) -> TensorProto:
    """Return a tensor whose values whoever opens the file must supply."""
    tensor = TensorProto(name=name, data_type=kind, dims=shape, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="supplied-when-opened")
    return tensor


def _model(
    name: str,
    nodes: Sequence[onnx.NodeProto],
    weights: Sequence[TensorProto],
    kind: int,
    shapes: tuple[Sequence[int], Sequence[int]],
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(_INPUT, kind, shapes[0])],
        [helper.make_tensor_value_info(_OUTPUT, kind, shapes[1])],
        initializer=weights,
    )
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="leukolux",
    )


def _layer_nodes(layer: Layer, source: str, output: str) -> list[onnx.NodeProto]:
    nodes = []
    if layer.skip is not None:
        joined = f"{layer.name}.joined"
        nodes.append(helper.make_node("Concat", [source, layer.skip], [joined], axis=1))
        source = joined
    # Halves or doubles even sizes exactly, whatever the kernel.
    pads = (layer.kernel_px - 1) // 2
    attributes: dict[str, Any] = {
        "kernel_shape": [layer.kernel_px] * 2,
        "strides": [layer.stride] * 2,
    }
    attributes["pads"] = [pads] * 4
    if layer.operator == "ConvTranspose":
        attributes["output_padding"] = [layer.stride - layer.kernel_px + 2 * pads] * 2
    inputs = [source, f"{layer.name}.weight", f"{layer.name}.bias"]
    raw = f"{layer.name}.raw"
    nodes.append(helper.make_node(layer.operator, inputs, [raw], **attributes))
    slope: dict[str, Any] = {"alpha": _LEAK} if layer.activation == "LeakyRelu" else {}
    nodes.append(helper.make_node(layer.activation, [raw], [output], **slope))
    return nodes


def network_graph(architecture: Architecture) -> onnx.ModelProto:
    """Return the graph of one of the paper's networks: float32 (1, 1, 512, 512) to (1, c, ...)."""
    nodes: list[onnx.NodeProto] = []
    weights = []
    source = _INPUT
    for layer in architecture.layers:
        output = _OUTPUT if layer is architecture.layers[-1] else layer.name
        nodes += _layer_nodes(layer, source, output)
        weights += [
            _external(f"{layer.name}.weight", layer.weight_shape, TensorProto.FLOAT),
            _external(f"{layer.name}.bias", (layer.outputs,), TensorProto.FLOAT),
        ]
        source = output
    shapes = ((1, 1, PATCH_PX, PATCH_PX), (1, architecture.outputs, PATCH_PX, PATCH_PX))
    return _model(architecture.name, nodes, weights, TensorProto.FLOAT, shapes)


def ceiling_graph(ceiling: Ceiling) -> onnx.ModelProto:
    """Return a chain of convolutions, float32 with ReLU or uint8 that saturates at 0 like it."""
    names = [_INPUT, *(f"layer{i}" for i in range(ceilings.LAYERS - 1)), _OUTPUT]
    nodes: list[onnx.NodeProto] = []
    for i, (source, output) in enumerate(pairwise(names)):
        weight = f"layer{i}.weight"
        pads = [ceilings.KERNEL_PX // 2] * 4
        if ceiling.name == "int8":
            gray = ["gray.scale", "gray.zero"]
            inputs = [source, *gray, weight, "weight.scale", "weight.zero", *gray]
            nodes.append(helper.make_node("QLinearConv", inputs, [output], pads=pads))
        else:
            nodes.append(helper.make_node("Conv", [source, weight], [f"{output}.raw"], pads=pads))
            nodes.append(helper.make_node("Relu", [f"{output}.raw"], [output]))
    is_int8 = ceiling.name == "int8"
    weight_kind = TensorProto.INT8 if is_int8 else TensorProto.FLOAT
    weights = [
        _external(f"layer{i}.weight", ceiling.weight_shape, weight_kind)
        for i in range(ceilings.LAYERS)
    ]
    kind = TensorProto.UINT8 if is_int8 else TensorProto.FLOAT
    return _model(
        f"ceiling_{ceiling.name}",
        nodes,
        [*weights, *(_quantization() if is_int8 else ())],
        kind,
        (ceiling.shape, ceiling.shape),
    )


def _quantization() -> list[TensorProto]:
    weight_scale = ceilings.he_std() / ceilings.WEIGHT_LEVELS_STD
    return [
        numpy_helper.from_array(np.array(ceilings.GRAY_SCALE, np.float32), "gray.scale"),
        numpy_helper.from_array(np.array(0, np.uint8), "gray.zero"),
        numpy_helper.from_array(np.array(weight_scale, np.float32), "weight.scale"),
        numpy_helper.from_array(np.array(0, np.int8), "weight.zero"),
    ]


def reference_graphs() -> dict[str, onnx.ModelProto]:
    """Return every graph by the name of its file."""
    networks = {
        network.file: network for reading in READINGS for network in reading.networks.values()
    }
    return {file: network_graph(network) for file, network in networks.items()} | {
        ceiling.file: ceiling_graph(ceiling) for ceiling in CEILINGS
    }


@click.command()
@click.option(
    "--out",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=FOLDER,
    show_default="the package",
    help="Folder of the graphs.",
)
def main(out: Path) -> None:
    """Write the graphs of the paper's networks and of the ceilings."""
    for file, model in reference_graphs().items():
        (out / file).write_bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
