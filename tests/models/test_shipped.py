"""A training can start from the networks that ship."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("tqdm")

from hal.errors import InputError  # noqa: E402
from hal.sim.optics.microscope import FieldTruth  # noqa: E402
from models.errors import ModelError  # noqa: E402
from models.layout import BLANK_LEVEL, class_planes, space_to_depth  # noqa: E402
from models.manifest import read_manifest  # noqa: E402
from models.runtime import PACKAGE_DIRECTORY  # noqa: E402
from models.session import Network  # noqa: E402
from models.train.data.samples import cut  # noqa: E402
from models.train.data.workspace import Workspace  # noqa: E402
from models.train.networks.loop import Batch, Schedule, fit  # noqa: E402
from models.train.networks.nets import ClassifierNet, ScoutNet, SegmenterNet  # noqa: E402
from models.train.networks.precision import Precision  # noqa: E402
from models.train.networks.shipped import calibrate, initial_file, restore  # noqa: E402
from models.train.networks.stages import Effort  # noqa: E402
from models.train.stain.training import StainNet  # noqa: E402

NETS = {
    "scout": ScoutNet,
    "segmenter": SegmenterNet,
    "classifier": ClassifierNet,
    "stainer": StainNet,
}
NAMES = tuple(NETS)
OFF_MEAN_SHARE = 0.07
"""Of the spread of the outputs; 0.012 to 0.050 were measured."""


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def images(simulated_field: tuple[NDArray[np.uint8], FieldTruth]) -> dict[str, NDArray[np.uint8]]:
    """What each network is shown of a simulated field, folded."""
    gray, truth = simulated_field
    middles = [np.array(cell.bbox_px).reshape(2, 2).mean(0) for cell in truth.cells[:16]]
    crops = np.stack([cut(gray, float(x), float(y), 192, BLANK_LEVEL) for x, y in middles])
    small = np.ascontiguousarray(crops[:, 32:-32, 32:-32])
    masks = ((small < 190).astype(np.uint8) + (small < 120)).astype(np.uint8)
    return {
        "scout": space_to_depth(crops, 4),
        "segmenter": space_to_depth(crops, 2),
        "classifier": space_to_depth(class_planes(small, masks), 4),
        "stainer": space_to_depth(crops, 4),
    }


def shares(folded: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(folded).float() / 255


def output(net: torch.nn.Module, folded: NDArray[np.uint8]) -> NDArray[np.float32]:
    with torch.no_grad():
        return net(shares(folded)).numpy()


def shipped_net(name: str) -> torch.nn.Module:
    net = NETS[name]()
    restore(net, PACKAGE_DIRECTORY / f"{name}.onnx")
    return net


@pytest.mark.parametrize("name", NAMES)
def test_the_float_network_computes_what_the_shipped_file_does(
    name: str, images: dict[str, NDArray[np.uint8]]
) -> None:
    folded = images[name]
    session = Network(PACKAGE_DIRECTORY, read_manifest(PACKAGE_DIRECTORY).networks[name])
    truth = np.concatenate([session.run(image[None]) for image in folded])
    net = shipped_net(name)
    before = output(net.eval(), folded)
    calibrate(net, [shares(folded)])
    after = output(net, folded)
    off = np.abs(after - truth)
    assert off.mean() < OFF_MEAN_SHARE * truth.std()
    assert np.abs(after - before).max() < 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_it_trains_from_where_the_file_stands(
    name: str, images: dict[str, NDArray[np.uint8]]
) -> None:
    net = shipped_net(name)
    calibrate(net, [shares(images[name])])
    steady = output(net, images[name])
    for module in net.train().modules():
        if isinstance(module, torch.nn.Dropout):
            module.eval()
    assert np.abs(output(net, images[name]) - steady).max() < 0.01 * steady.std()


def test_a_channel_that_is_constant_stays_as_it_is() -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1, bias=False), torch.nn.BatchNorm2d(2)).eval()
    torch.nn.init.zeros_(net[0].weight)
    x = torch.rand(4, 1, 8, 8)
    before = net(x)
    calibrate(net, [x])
    assert torch.allclose(net(x), before, atol=1e-6)
    assert torch.allclose(net.train()(x), before, atol=1e-6)


def test_a_file_of_another_network_is_refused() -> None:
    with pytest.raises(InputError, match=r"segmenter.onnx does not fit the ScoutNet"):
        restore(ScoutNet(), PACKAGE_DIRECTORY / "segmenter.onnx")


def test_a_file_with_more_than_the_network_has_is_refused(tmp_path: Path) -> None:
    model = onnx.load(PACKAGE_DIRECTORY / "scout.onnx")
    for extra in ("quantized", "scale", "zero_point"):
        source = next(t for t in model.graph.initializer if t.name == f"head.weight_{extra}")
        copy = model.graph.initializer.add()
        copy.CopyFrom(source)
        copy.name = f"second_head.weight_{extra}"
    names = [f"second_head.weight_{extra}" for extra in ("quantized", "scale", "zero_point")]
    model.graph.node.append(onnx.helper.make_node("DequantizeLinear", names, ["second"], axis=0))
    onnx.save(model, tmp_path / "scout.onnx")
    with pytest.raises(InputError, match=r"the network has no second_head\.weight"):
        restore(ScoutNet(), tmp_path / "scout.onnx")


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "scout.onnx").write_text("not a network", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be read"):
        restore(ScoutNet(), tmp_path / "scout.onnx")


def test_a_folder_with_a_checkpoint_gives_the_checkpoint(copied_models: Path) -> None:
    assert initial_file(copied_models, "scout") == copied_models / "scout.onnx"
    (copied_models / "scout.pt").touch()
    effort = Effort(start_from=copied_models)
    work = Workspace(copied_models / "work")
    assert effort.schedule(work, "scout").initial == copied_models / "scout.pt"
    assert effort.schedule(work, "segmenter").initial == copied_models / "segmenter.onnx"


def test_a_folder_without_the_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"neither scout\.pt nor a manifest\.json"):
        initial_file(tmp_path, "scout")


def test_a_damaged_network_is_refused(copied_models: Path) -> None:
    (copied_models / "scout.onnx").write_bytes(b"damaged")
    with pytest.raises(ModelError, match="hash"):
        initial_file(copied_models, "scout")


def test_a_training_starts_from_the_shipped_file(
    images: dict[str, NDArray[np.uint8]], tmp_path: Path
) -> None:
    batch = (shares(images["classifier"]), torch.zeros(len(images["classifier"]), dtype=torch.long))

    def loss(logits: torch.Tensor, made: Batch) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(logits, made[1])

    schedule = Schedule(
        steps=1,
        learning_rate=0.0,
        checkpoint=tmp_path / "classifier.pt",
        initial=PACKAGE_DIRECTORY / "classifier.onnx",
        precision=Precision.FLOAT32,
    )
    net = fit(ClassifierNet(), lambda _: batch, loss, schedule)
    expected = output(shipped_net("classifier").eval(), images["classifier"])
    assert np.abs(output(net, images["classifier"]) - expected).max() < 0.01 * expected.std()
