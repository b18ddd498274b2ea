"""The paper's networks as they are timed: their size, their weights, their graphs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.errors import ModelError
from models.reference import sessions
from models.reference.architectures import PATCH_PX, READINGS, Architecture
from models.reference.ceilings import CEILINGS, Ceiling
from models.reference.operations import workload
from models.reference.sessions import FOLDER, open_ceiling, open_network, random_weights
from models.runtime import PACKAGE_DIRECTORY

READING = {reading.letter: reading for reading in READINGS}
slow = pytest.mark.slow
STAIN_B = READING["B"].networks["stain generator"]


@pytest.mark.parametrize(("letter", "millions", "gmac"), [("A", 23.66, 56), ("B", 23.60, 18)])
def test_each_reading_has_the_paper_s_parameters_and_its_own_arithmetic(
    letter: str, millions: float, gmac: int
) -> None:
    for network in READING[letter].networks.values():
        assert round(network.parameters / 1e6, 2) == millions
        assert round(network.macs / 1e9) == gmac


@pytest.fixture(scope="module")
def weights() -> dict[str, NDArray[np.float32]]:
    return random_weights(STAIN_B, seed=1)


def test_the_parameters_are_those_of_the_weights_supplied(
    weights: dict[str, NDArray[np.float32]],
) -> None:
    assert sum(array.size for array in weights.values()) == STAIN_B.parameters


def test_weights_are_dense(weights: dict[str, NDArray[np.float32]]) -> None:
    for array in weights.values():
        assert array.dtype == np.float32
        assert np.count_nonzero(array) > 0.999 * array.size
        assert np.abs(array[array != 0]).min() > np.finfo(np.float32).tiny


def test_weights_are_random_and_come_back_with_their_seed() -> None:
    small = replace(STAIN_B, layers=STAIN_B.layers[:3])
    first, again, other = (random_weights(small, seed) for seed in (1, 1, 2))
    for name, array in first.items():
        assert np.array_equal(array, again[name])
        assert not np.isclose(array, other[name]).all()
        assert len(np.unique(array)) > 0.99 * array.size


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "low", "high"),
    [
        pytest.param(STAIN_B, -1.0, 1.0, id="stain B"),
        *(
            pytest.param(reading.networks[name], low, 1.0, id=f"{name} {letter}", marks=slow)
            for letter, reading in READING.items()
            for name, low in (("nucleus mask", 0.0), ("stain generator", -1.0))
        ),
    ],
)
def test_a_network_gives_a_varied_map_of_the_patch(
    network: Architecture, low: float, high: float
) -> None:
    graph = open_network(network, seed=3)
    output = graph.run()
    assert graph.output_shape == output.shape == (1, network.outputs, PATCH_PX, PATCH_PX)
    assert np.isfinite(output).all()
    assert low <= output.min() < output.max() <= high
    # The signal neither dies out on the way nor drives the last layer to its ends.
    assert 0.05 * (high - low) < output.std() < 0.4 * (high - low)


@pytest.mark.parametrize("ceiling", CEILINGS, ids=lambda ceiling: ceiling.name)
def test_the_signal_lives_through_the_chain_of_a_ceiling(ceiling: Ceiling) -> None:
    output = open_ceiling(ceiling, seed=1).run()
    assert output.shape == ceiling.shape
    assert output.dtype == (np.uint8 if ceiling.name == "int8" else np.float32)
    assert 0.2 < np.count_nonzero(output) / output.size < 0.8
    assert np.isfinite(output).all()


def test_a_missing_graph_is_an_anticipated_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "FOLDER", tmp_path)
    with pytest.raises(ModelError, match=r"reading_b_stain\.onnx cannot be opened"):
        open_network(replace(STAIN_B, layers=STAIN_B.layers[:1]), seed=1)


def test_the_graphs_hold_no_weights() -> None:
    files = list(FOLDER.glob("*.onnx"))
    assert {file.name for file in files} == {
        network.file for reading in READINGS for network in reading.networks.values()
    } | {ceiling.file for ceiling in CEILINGS}
    assert all(file.stat().st_size < 10_000 for file in files)


def test_the_writer_makes_the_graphs_that_are_here() -> None:
    pytest.importorskip("onnx")
    from models.train.release.reference_graphs import reference_graphs

    for file, model in reference_graphs().items():
        assert model.SerializeToString(deterministic=True) == (FOLDER / file).read_bytes(), file


def test_the_runtime_counts_the_same_arithmetic_as_the_architecture(
    tmp_path: Path, weights: dict[str, NDArray[np.float32]]
) -> None:
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    from models.train.release.reference_graphs import network_graph

    model = network_graph(STAIN_B)
    del model.graph.initializer[:]
    model.graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in weights.items()
    )
    # Folded images are uint8 with channels last.
    model.graph.node.insert(0, helper.make_node("Cast", ["folded"], ["gray"], to=TensorProto.FLOAT))
    turned = helper.make_node("Transpose", ["gray"], ["image"], perm=[0, 3, 1, 2])
    model.graph.node.insert(1, turned)
    model.graph.input[0].CopyFrom(
        helper.make_tensor_value_info("folded", TensorProto.UINT8, ["n", "rows", "columns", 1])
    )
    onnx.save(model, tmp_path / "net.onnx")
    work = workload(tmp_path / "net.onnx", (PATCH_PX, PATCH_PX), seed=1)
    assert work.macs == STAIN_B.macs
    assert work.image.shape == (1, PATCH_PX, PATCH_PX, 1)


def test_the_arithmetic_of_a_shipped_network_grows_with_its_image() -> None:
    scout = PACKAGE_DIRECTORY / "scout.onnx"
    small, large = (workload(scout, grid, seed=1) for grid in ((16, 16), (32, 48)))
    assert small.macs > 16 * 16 * 64 * 9
    assert large.macs == 6 * small.macs
