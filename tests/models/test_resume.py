"""A training that was interrupted ends where it would have ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

from models.train.networks import loop  # noqa: E402
from models.train.networks.loop import Batch, Schedule, fit, load_average  # noqa: E402
from models.train.networks.precision import Precision  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
STEPS = 9


class Tiny(nn.Module):
    """Batch norm and dropout, as the three networks have them, in a hundredth of the size."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(4, 1, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


class PowerCutError(Exception):
    """Stands for a power cut."""


def batch(rng: np.random.Generator) -> Batch:
    return (torch.from_numpy(rng.normal(size=(4, 1, 8, 8)).astype(np.float32)),)


def loss(made: Tensor, samples: Batch) -> Tensor:
    return (made - samples[0][..., 1:-1, 1:-1]).square().mean()


def failing_at(call: int) -> Callable[[np.random.Generator], Batch]:
    calls = 0

    def make(rng: np.random.Generator) -> Batch:
        nonlocal calls
        calls += 1
        if calls > call:
            raise PowerCutError
        return batch(rng)

    return make


def new_net() -> Tiny:
    torch.manual_seed(3)
    return Tiny()


def train(
    checkpoint: Path,
    make: Callable[[np.random.Generator], Batch] = batch,
    precision: Precision = Precision.FLOAT32,
) -> Tiny:
    schedule = Schedule(STEPS, 1e-2, checkpoint, seed=5, precision=precision)
    return fit(new_net(), make, loss, schedule)


def weights(net: nn.Module) -> np.ndarray:
    return np.concatenate([v.float().numpy().ravel() for v in net.state_dict().values()])


@pytest.fixture(autouse=True)
def _short_sittings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_STEPS", 2)
    torch.set_num_threads(1)


@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.BFLOAT16])
@pytest.mark.parametrize("done", [1, 2, 5, 8])
def test_an_interrupted_training_ends_with_the_same_weights(
    tmp_path: Path, done: int, precision: Precision
) -> None:
    whole = train(tmp_path / "whole.pt", precision=precision)
    with pytest.raises(PowerCutError):
        train(tmp_path / "cut.pt", failing_at(done), precision)
    resumed = train(tmp_path / "cut.pt", precision=precision)
    assert np.array_equal(weights(resumed), weights(whole))


def test_a_power_cut_while_the_checkpoint_is_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(tmp_path / "whole.pt")
    saved = torch.save

    def half_written(state: dict[str, object], path: Path) -> None:
        if state["step"] == 6:
            path.write_bytes(b"PK half a")
            raise PowerCutError
        saved(state, path)

    monkeypatch.setattr(torch, "save", half_written)
    with pytest.raises(PowerCutError):
        train(tmp_path / "cut.pt")
    monkeypatch.setattr(torch, "save", saved)
    load_average(new_net(), tmp_path / "cut.pt")
    assert np.array_equal(weights(train(tmp_path / "cut.pt")), weights(whole))


def test_a_finished_training_is_not_trained_further(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole.pt")
    assert np.array_equal(weights(train(tmp_path / "whole.pt", failing_at(0))), weights(whole))


def test_another_seed_gives_other_weights(tmp_path: Path) -> None:
    schedule = Schedule(STEPS, 1e-2, tmp_path / "other.pt", seed=6, precision=Precision.FLOAT32)
    other = fit(new_net(), batch, loss, schedule)
    assert not np.array_equal(weights(other), weights(train(tmp_path / "whole.pt")))
