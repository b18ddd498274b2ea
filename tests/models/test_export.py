"""Both INT8 files of one float network: what the CPU runs fastest, and what TensorRT takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from models.train.networks.export import INPUT, OUTPUT, quantize  # noqa: E402

GRID, CHANNELS, WIDTH = 8, 16, 8


@pytest.fixture
def images() -> NDArray[np.uint8]:
    shape = (6, GRID, GRID, CHANNELS)
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def float_path(tmp_path: Path) -> Path:
    """Two convolutions on folded images, with positive and negative results."""
    rng = np.random.default_rng(2)
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    first = rng.normal(0, 0.1, (WIDTH, CHANNELS, 3, 3)).astype(np.float32)
    second = rng.normal(0, 0.3, (2, WIDTH, 1, 1)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Transpose", [INPUT], ["planes"], perm=[0, 3, 1, 2]),
            helper.make_node("Conv", ["planes", "first"], ["sums"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["sums"], ["features"]),
            helper.make_node("Conv", ["features", "second"], [OUTPUT]),
        ],
        "net",
        [helper.make_tensor_value_info(INPUT, 1, ["images", GRID, GRID, CHANNELS])],
        [helper.make_tensor_value_info(OUTPUT, 1, ["images", 2, GRID, GRID])],
        [numpy_helper.from_array(first, "first"), numpy_helper.from_array(second, "second")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    path = tmp_path / "float.onnx"
    onnx.save(model, path)
    return path


def output(path: Path, images: NDArray[np.generic]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    result: NDArray[np.float32] = session.run(None, {INPUT: images})[0]
    return result


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_quantized_network_takes_bytes_and_answers_as_the_float_one(
    tmp_path: Path, float_path: Path, images: NDArray[np.uint8], symmetric: bool
) -> None:
    path = tmp_path / "net.onnx"
    quantize(float_path, path, list(images), symmetric=symmetric)
    expected = output(float_path, (images / 255).astype(np.float32))
    error = output(path, images) - expected
    assert np.sqrt((error**2).mean()) < 0.03 * expected.std()


@pytest.mark.parametrize("symmetric", [False, True])
def test_the_symmetric_file_alone_has_no_zero_point_but_0_and_no_byte_but_signed(
    tmp_path: Path, float_path: Path, images: NDArray[np.uint8], symmetric: bool
) -> None:
    path = tmp_path / "net.onnx"
    quantize(float_path, path, list(images), symmetric=symmetric)
    model = onnx.load(path)
    constants = {c.name: onnx.numpy_helper.to_array(c) for c in model.graph.initializer}
    points = [
        constants[node.input[2]]
        for node in model.graph.node
        if node.op_type in ("QuantizeLinear", "DequantizeLinear")
    ]
    assert len(points) > 4
    fits = all((point == 0).all() and point.dtype != np.uint8 for point in points)
    assert fits == symmetric
