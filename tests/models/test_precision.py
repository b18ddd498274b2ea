"""The number format of a training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("tqdm")

from models.train.networks import precision  # noqa: E402
from models.train.networks.loop import Batch, Schedule, fit  # noqa: E402
from models.train.networks.precision import Precision  # noqa: E402

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu avx2 avx512_bf16 vaes", Precision.BFLOAT16),
        ("fpu amx_bf16 avx512f", Precision.BFLOAT16),
        ("fpu avx2 avx512f", Precision.FLOAT32),
    ],
)
def test_auto_takes_bfloat16_where_the_cpu_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str, expected: Precision
) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text(f"flags\t\t: {flags}\n", encoding="ascii")
    monkeypatch.setattr(precision, "CPU_INFO", info)
    assert Precision.AUTO.on(CPU) is expected


def test_auto_takes_float32_where_the_cpu_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "CPU_INFO", tmp_path / "none")
    assert Precision.AUTO.on(CPU) is Precision.FLOAT32


@pytest.mark.parametrize("wanted", [Precision.FLOAT32, Precision.BFLOAT16])
def test_what_is_asked_for_is_taken_and_logged(
    wanted: Precision, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        assert wanted.on(CPU) is wanted
    assert caplog.messages == [f"training on cpu in {wanted}"]


def test_only_the_passes_of_the_network_are_in_bfloat16(tmp_path: Path) -> None:
    inside: list[torch.dtype] = []
    outside: list[torch.dtype] = []

    def make_batch(rng: np.random.Generator) -> Batch:
        return (torch.from_numpy(rng.normal(size=(4, 1, 8, 8)).astype(np.float32)),)

    def loss(made: torch.Tensor, _samples: Batch) -> torch.Tensor:
        outside.append(made.dtype)
        return made.square().mean()

    net = torch.nn.Conv2d(1, 2, 3)
    hook = net.register_forward_hook(lambda _net, _inputs, made: inside.append(made.dtype))
    schedule = Schedule(2, 1e-2, tmp_path / "net.pt", precision=Precision.BFLOAT16)
    trained = fit(net, make_batch, loss, schedule)
    hook.remove()
    assert set(inside) == {torch.bfloat16}
    assert set(outside) == {torch.float32}
    state = torch.load(tmp_path / "net.pt", weights_only=True)
    assert {value.dtype for value in state["net"].values()} == {torch.float32}
    assert trained.weight.dtype == torch.float32
