"""From made samples through training and export to a network that the runtime takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from models.layout import space_to_depth  # noqa: E402
from models.manifest import NetworkEntry, sha256_of  # noqa: E402
from models.runtime import Segmenter  # noqa: E402
from models.session import Network  # noqa: E402
from models.train.data.samples import (  # noqa: E402
    CELL_KNOWN,
    CLASSES,
    NUCLEUS_KNOWN,
    STORED_CROP_PX,
    CropSet,
)
from models.train.networks import (  # noqa: E402
    classifier,
    loop,
    segmenter,
)
from models.train.networks.export import export_float, quantize  # noqa: E402
from models.train.networks.loop import Schedule  # noqa: E402
from models.train.networks.segmenter import Source  # noqa: E402

# The exporter's own deprecated calls are not ours to mend.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


class PowerCutError(Exception):
    """Stands for a power cut."""


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def discs() -> CropSet:
    """Dark discs in gray discs, in classes by size."""
    y, x = np.mgrid[:STORED_CROP_PX, :STORED_CROP_PX] - STORED_CROP_PX / 2
    radius = np.hypot(x, y)
    sizes = np.linspace(22, 50, 2 * len(CLASSES))
    labels = np.stack([(radius < r).astype(np.uint8) + (radius < r / 2) for r in sizes])
    gray = np.array([215, 170, 90], np.uint8)[labels][:, None]
    n = len(sizes)
    return CropSet(
        gray,
        labels.astype(np.uint8),
        np.full(n, CELL_KNOWN | NUCLEUS_KNOWN, np.uint8),
        (np.arange(n) // 2).astype(np.uint8),
        np.array([f"disc {i}" for i in range(n)]),
    )


def weights(net: torch.nn.Module) -> np.ndarray:
    return np.concatenate([v.float().numpy().ravel() for v in net.state_dict().values()])


def test_few_steps_learn_discs_and_the_int8_file_segments_them(
    discs: CropSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segmenter, "BATCH", 6)
    net = segmenter.train([Source(discs, 1.0)], Schedule(60, 3e-3, tmp_path / "net.pt"))
    margin = (STORED_CROP_PX - 192) // 2
    middle = np.ascontiguousarray(discs.gray[:, 0, margin:-margin, margin:-margin])
    folded = list(space_to_depth(middle, 2))
    export_float(net, folded[0], tmp_path / "float.onnx", any_size=False)
    quantize(tmp_path / "float.onnx", tmp_path / "net.onnx", folded)
    entry = NetworkEntry(
        file="net.onnx",
        sha256=sha256_of(tmp_path / "net.onnx"),
        input_layout="uint8",
        block_px=2,
        crop_px=192,
        parameters={"turns": 1},
        training_data="discs",
        scores={},
    )
    found = Segmenter(Network(tmp_path, entry), entry).segment(middle) > 0.5
    truth = discs.labels[:, margin:-margin, margin:-margin] > 0
    overlap = 2 * (found[:, 0] & truth).sum() / (found[:, 0].sum() + truth.sum())
    assert overlap > 0.8


def test_training_in_two_sittings_gives_the_weights_of_one(
    discs: CropSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segmenter, "BATCH", 2)
    monkeypatch.setattr(loop, "CHECKPOINT_STEPS", 2)
    whole = segmenter.train([Source(discs, 1.0)], Schedule(4, 1e-3, tmp_path / "a.pt"))

    calls = 0
    make = segmenter.batch

    def stop_after_three(*arguments: object) -> loop.Batch:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise PowerCutError
        return make(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(segmenter, "batch", stop_after_three)
    schedule = Schedule(4, 1e-3, tmp_path / "b.pt")
    with pytest.raises(PowerCutError):
        segmenter.train([Source(discs, 1.0)], schedule)
    monkeypatch.setattr(segmenter, "batch", make)
    resumed = segmenter.train([Source(discs, 1.0)], schedule)
    assert np.allclose(weights(whole), weights(resumed), atol=1e-6)


def test_the_classifier_trains_and_another_training_can_start_from_it(
    discs: CropSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier, "BATCH", 8)
    first = Schedule(3, 1e-3, tmp_path / "first.pt")
    classifier.train([Source(discs, 1.0)], first)
    second = Schedule(1, 0.0, tmp_path / "second.pt", initial=tmp_path / "first.pt")
    net = classifier.train([Source(discs, 1.0)], second)
    assert net(torch.rand(2, 32, 32, 48)).shape == (2, len(CLASSES))
    state = torch.load(tmp_path / "first.pt", weights_only=True)["average"]
    assert torch.allclose(net.state_dict()["head.weight"], state["head.weight"])
