"""The virtual stain from made fields through training and export to a picture."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("tqdm")

from hal.errors import InputError  # noqa: E402
from models.layout import BLANK_LEVEL  # noqa: E402
from models.manifest import read_manifest, sha256_of  # noqa: E402
from models.stainer import load_stainer  # noqa: E402
from models.train.data.workspace import Workspace  # noqa: E402
from models.train.networks import loop  # noqa: E402
from models.train.networks.loop import Schedule  # noqa: E402
from models.train.stain import release as stain_release  # noqa: E402
from models.train.stain import training as stain_training  # noqa: E402
from models.train.stain.pseudocolor import GLASS  # noqa: E402
from models.train.stain.samples import StainSet, read_split  # noqa: E402
from models.train.stain.training import (  # noqa: E402
    CROP_PX,
    GLASS_LIGHTNESS,
    Discriminator,
    StainNet,
    half_darkness,
    sample,
    target_tint,
    train,
)

# The exporter's own deprecated calls are not ours to mend.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


class PowerCutError(Exception):
    """Stands for a power cut."""


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def discs(seed: int) -> StainSet:
    """Return fields of red discs, and of darker blue ones, on glass."""
    rng = np.random.default_rng(seed)
    gray = np.full((2, 240, 256), BLANK_LEVEL, np.uint8)
    colour = np.full((2, 240, 256, 3), round(255 * GLASS), np.uint8)
    cells = []
    for index in range(2):
        for kind, level, rgb in ((0, 165, (225, 155, 150)), (1, 90, (95, 70, 165))):
            for x, y in rng.integers(30, 210, (4, 2)).tolist():
                cv2.circle(gray[index], (x, y), 14, level, -1)
                cv2.circle(colour[index], (x, y), 14, rgb, -1)
                cells.append((index, x, y, kind))
    noisy = np.clip(gray + rng.normal(0, 2, gray.shape), 0, 255).astype(np.uint8)
    return StainSet(
        noisy,
        colour,
        np.array(cells, np.float32),
        np.zeros(2, np.float32),
        np.array([True, False]),
    )


def weights(net: torch.nn.Module) -> NDArray[np.float32]:
    return np.concatenate([v.float().numpy().ravel() for v in net.state_dict().values()])


def test_a_donor_is_read_back(tmp_path: Path) -> None:
    donor = discs(1)
    donor.save(tmp_path / "val" / "one.stain.npz")
    (found,) = read_split(tmp_path, "val")
    assert np.array_equal(found.colour, donor.colour)
    assert np.array_equal(found.cells, donor.cells)
    with pytest.raises(InputError, match="no fields"):
        read_split(tmp_path, "test")


def test_a_sample_is_a_gray_crop_with_its_colours() -> None:
    gray, colour = sample(discs(1), np.random.default_rng(4))
    assert gray.shape == (CROP_PX, CROP_PX)
    assert colour.shape == (CROP_PX, CROP_PX, 3)
    # Where it is dark in the one it is dark in the other.
    assert np.corrcoef(gray.ravel(), colour.mean(2).ravel())[0, 1] > 0.8


def test_tint_times_darkness_is_the_chroma_of_the_truth() -> None:
    colour = np.full((16, 16, 3), (225, 155, 150), np.uint8)
    lightness, a, b = cv2.cvtColor(colour.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0, 0]
    gray = np.full((16, 16), lightness / GLASS_LIGHTNESS * BLANK_LEVEL)
    made = target_tint(colour) * half_darkness(np.round(gray).astype(np.uint8))
    assert np.allclose(made[:, 0, 0], (a, b), atol=0.5)
    glass = np.full((16, 16, 3), round(255 * GLASS), np.uint8)
    assert np.abs(target_tint(glass)).max() < 0.01


def test_networks_take_their_shapes() -> None:
    with torch.no_grad():
        tint = StainNet().eval()(torch.rand(1, 8, 12, 16))
        assert StainNet.image(tint).shape == (1, 2, 16, 24)
        half = CROP_PX // 2
        assert Discriminator().eval()(torch.rand(2, 3, half, half)).shape == (2, 1)


def test_training_in_two_sittings_gives_the_weights_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stain_training, "BATCH", 2)
    monkeypatch.setattr(stain_training, "CHECKPOINT_STEPS", 2)
    donors = [discs(1), discs(2)]
    whole = train(donors, Schedule(4, 1e-3, tmp_path / "a.pt"), 0.5)
    calls = 0
    make = stain_training.batch

    def stop_after_three(*arguments: object) -> loop.Batch:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise PowerCutError
        return make(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(stain_training, "batch", stop_after_three)
    schedule = Schedule(4, 1e-3, tmp_path / "b.pt")
    with pytest.raises(PowerCutError):
        train(donors, schedule, 0.5)
    monkeypatch.setattr(stain_training, "batch", make)
    resumed = train(donors, schedule, 0.5)
    assert np.allclose(weights(whole), weights(resumed), atol=1e-6)
    further = Schedule(1, 0.0, tmp_path / "c.pt", initial=tmp_path / "a.pt")
    assert torch.allclose(train(donors, further, 1.0).head.weight, whole.head.weight)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_few_steps_learn_the_colours_and_the_published_file_paints_them(
    tmp_path: Path, copied_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stain_training, "BATCH", 6)
    monkeypatch.setattr(stain_release, "CALIBRATION_PX", (192, 128))
    work = Workspace(tmp_path / "work")
    for split, seed in (("train", 1), ("val", 2), ("test", 3)):
        folder = stain_release.fields_folder(work) / split
        discs(seed).save(folder / "healthy-1.stain.npz")
    train(
        read_split(stain_release.fields_folder(work), "train"),
        Schedule(60, 3e-3, work.checkpoint("stainer")),
        0.1,
    )
    stain_release.export_stainer(work)
    entry = stain_release.evaluate_stainer(work)
    assert entry.scores["MS-SSIM mean of R, G, B"].value > 0.9
    before = read_manifest(copied_models).networks
    stain_release.publish_stainer(work.folder, copied_models)
    after = read_manifest(copied_models).networks
    assert after["scout"] == before["scout"]
    assert after["stainer"] == entry
    assert entry.symmetric is not None
    assert sha256_of(copied_models / entry.symmetric.file) == entry.symmetric.sha256
    assert entry.sha256 in (copied_models / "cards" / "stainer.md").read_text(encoding="utf-8")
    test = discs(3)
    picture = load_stainer(copied_models).stain(test.gray[0])
    red, _green, blue = np.median(picture[test.gray[0] < 120], 0)
    assert blue > red + 20
    red, _green, blue = np.median(picture[(test.gray[0] > 140) & (test.gray[0] < 180)], 0)
    assert red > blue + 20
