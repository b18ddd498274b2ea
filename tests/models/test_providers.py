"""Which provider runs the networks, and what happens when it does not."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from models import runtime, session
from models.errors import ModelError, ProviderError
from models.manifest import read_manifest
from models.providers import (
    LEAST_MEMORY_GB,
    Execution,
    Provider,
    WantedProvider,
    choose_provider,
    provider_options,
)
from models.runtime import CASCADE, PACKAGE_DIRECTORY, load_models
from models.session import Network
from models.verify import verify

TENSORRT, CUDA, CPU = (provider.runtime_name for provider in Provider)
EVERYTHING = (TENSORRT, CUDA, CPU)
LARGE_GB, SMALL_GB = 15.6, 7.8
REAL_SESSION = onnxruntime.InferenceSession


@pytest.mark.parametrize(
    ("wanted", "available", "memory_gb", "symmetric", "chosen"),
    [
        ("auto", EVERYTHING, LARGE_GB, True, Provider.TENSORRT),
        ("auto", EVERYTHING, LARGE_GB, False, Provider.CUDA),
        ("auto", EVERYTHING, SMALL_GB, True, Provider.CPU),
        ("auto", (CUDA, CPU), LARGE_GB, True, Provider.CUDA),
        ("auto", (CPU,), LARGE_GB, True, Provider.CPU),
        ("auto", ("AzureExecutionProvider", CPU), LARGE_GB, True, Provider.CPU),
        ("tensorrt", EVERYTHING, SMALL_GB, True, Provider.TENSORRT),
        ("tensorrt", EVERYTHING, LARGE_GB, False, Provider.CPU),
        ("tensorrt", (CUDA, CPU), LARGE_GB, True, Provider.CPU),
        ("cuda", EVERYTHING, SMALL_GB, False, Provider.CUDA),
        ("cuda", (CPU,), LARGE_GB, True, Provider.CPU),
        ("cpu", EVERYTHING, LARGE_GB, True, Provider.CPU),
    ],
)
def test_the_fastest_provider_that_is_wanted_and_fits_is_chosen(
    wanted: WantedProvider,
    available: Sequence[str],
    memory_gb: float,
    symmetric: bool,
    chosen: Provider,
) -> None:
    execution = choose_provider(wanted, available, memory_gb, symmetric=symmetric)
    assert execution.provider is chosen


def test_every_faster_provider_has_its_reason() -> None:
    few = choose_provider("auto", (CUDA, CPU), SMALL_GB, symmetric=False)
    assert few.passed_over == ("TensorRT not available", "CUDA wants more than 8 GB of memory")
    assert "symmetric" in choose_provider("auto", EVERYTHING, 64, symmetric=False).passed_over[0]
    assert choose_provider("cpu", EVERYTHING, LARGE_GB, symmetric=True).passed_over == ()
    assert SMALL_GB < LEAST_MEMORY_GB < LARGE_GB


def test_the_log_line_names_provider_threads_and_reasons() -> None:
    execution = Execution(Provider.CPU, ("TensorRT not available",))
    assert execution.line(2) == "networks run on CPU (2 threads x 1), TensorRT not available"
    assert Execution(Provider.CUDA).line(1) == "networks run on CUDA (1 thread x 1)"


@pytest.mark.parametrize("service", [True, False])
def test_engines_of_tensorrt_stay_on_the_disk_by_network_and_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, service: bool
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CACHE_DIRECTORY", raising=False)
    if service:
        monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path / "service"))
    folders = {
        provider_options(Provider.TENSORRT, sha256, runtime)["trt_engine_cache_path"]
        for sha256 in ("a" * 64, "b" * 64)
        for runtime in ("onnxruntime-1.32.0", "onnxruntime-1.33.0")
    }
    assert len(folders) == 4
    assert all(Path(folder).is_dir() for folder in folders)
    root = tmp_path / ("service" if service else "home/leukolux")
    assert all(Path(folder).is_relative_to(root) for folder in folders)


class Gpu:
    """onnxruntime as it would be with a GPU that works, breaks, or silently stays out."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened: list[tuple[str, str]] = []
        self.broken: set[str] = set()
        self.left_out: set[str] = set()
        monkeypatch.setattr(session.onnxruntime, "InferenceSession", self.open)
        self.available = [CUDA, CPU]
        monkeypatch.setattr(runtime, "available_providers", lambda: self.available)
        monkeypatch.setattr(runtime, "memory_gb", lambda: LARGE_GB)

    def open(
        self, path: Path, options: Any, *, providers: Any, enable_fallback: int
    ) -> onnxruntime.InferenceSession:
        assert not enable_fallback, "onnxruntime would only print that it gave up"
        first = providers[0][0]
        self.opened.append((path.name, first))
        if first in self.broken:
            raise RuntimeError("out of device memory")
        real = REAL_SESSION(path, options, providers=[CPU])
        if first not in self.left_out:
            real.get_providers = lambda: [first, CPU]
        return real


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    return Gpu(monkeypatch)


def test_networks_run_on_the_gpu_when_there_is_one(gpu: Gpu) -> None:
    models = load_models()
    assert {provider for _, provider in gpu.opened} == {CUDA}
    assert models.execution.provider is Provider.CUDA
    assert models.versions["runtime"].endswith(", CUDA")


def test_tensorrt_runs_the_symmetric_files(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "provider_options", lambda *_: {})
    gpu.available = list(EVERYTHING)
    assert load_models().execution.provider is Provider.TENSORRT
    assert {provider for _, provider in gpu.opened} == {TENSORRT}
    assert all(name.endswith(".tensorrt.onnx") for name, _ in gpu.opened)


@pytest.mark.parametrize("trouble", ["broken", "left_out"])
def test_a_provider_that_does_not_open_leaves_all_networks_to_the_cpu_with_its_cause(
    gpu: Gpu, caplog: pytest.LogCaptureFixture, trouble: str
) -> None:
    getattr(gpu, trouble).add(CUDA)
    models = load_models()
    assert [provider for _, provider in gpu.opened] == [CUDA, CPU, CPU, CPU]
    assert models.execution.provider is Provider.CPU
    assert models.execution.passed_over[-1] == "CUDA failed"
    assert models.versions["runtime"].endswith(", CPU")
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    cause = "out of device memory" if trouble == "broken" else "left CUDA out"
    assert "scout.onnx cannot be opened on CUDA" in warning
    assert cause in warning


def test_a_provider_that_fails_in_its_first_run_leaves_the_networks_to_the_cpu(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(self: Network, images: Any) -> Any:
        if self.provider is Provider.CUDA:
            raise RuntimeError("no kernel image for this device")
        return np.zeros(1)

    monkeypatch.setattr(Network, "run", run)
    assert load_models().execution.provider is Provider.CPU


@pytest.mark.parametrize(
    ("provider", "scout", "classifier"),
    [
        (Provider.CPU, [(1, 8, 8, 16)], [(1, 32, 32, 48)]),
        (Provider.CUDA, [(1, 8, 8, 16), (1, 264, 352, 16)], [(1, 32, 32, 48), (16, 32, 32, 48)]),
    ],
)
def test_the_first_real_image_finds_everything_prepared(
    gpu: Gpu,
    monkeypatch: pytest.MonkeyPatch,
    provider: Provider,
    scout: list[tuple[int, ...]],
    classifier: list[tuple[int, ...]],
) -> None:
    seen: list[tuple[int, ...]] = []
    monkeypatch.setattr(Network, "run", lambda self, images: seen.append(images.shape))
    entries = read_manifest(PACKAGE_DIRECTORY).networks
    Network(PACKAGE_DIRECTORY, entries["scout"], provider)
    Network(PACKAGE_DIRECTORY, entries["classifier"], provider)
    assert seen == scout + classifier


@pytest.mark.slow
def test_the_networks_that_count_are_verified_where_they_run_and_the_others_on_the_cpu(
    gpu: Gpu,
) -> None:
    reports = {report.name: report for report in verify()}
    assert {reports[name].provider for name in CASCADE} == {Provider.CUDA}
    assert reports["stainer"].provider is Provider.CPU
    gpu.broken.add(CUDA)
    broken = {report.name: report.verdict for report in verify()}
    assert "out of device memory" in broken["scout"].detail
    assert broken["stainer"].ok


def test_a_provider_that_is_wanted_but_not_there_is_a_warning(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "available_providers", lambda: [CPU])
    assert load_models(provider="cuda").execution.provider is Provider.CPU
    assert "CUDA not available: the CPU runs the networks." in caplog.messages


def test_a_file_that_is_damaged_on_every_provider_is_an_error(
    gpu: Gpu, copied_models: Path
) -> None:
    (copied_models / "classifier.onnx").write_bytes(b"not a network")
    with pytest.raises(ModelError, match="hash"):
        load_models(copied_models)


def test_tensorrt_gets_the_symmetric_file(gpu: Gpu, copied_models: Path, tmp_path: Path) -> None:
    entry = read_manifest(copied_models).networks["scout"]
    file = copied_models / "scout.symmetric.onnx"
    file.write_bytes((copied_models / "scout.onnx").read_bytes())
    symmetric = entry.model_copy(update={"symmetric": entry.model_copy(update={"file": file.name})})
    Network(copied_models, symmetric, Provider.TENSORRT)
    Network(copied_models, symmetric, Provider.CUDA)
    assert gpu.opened == [(file.name, TENSORRT), ("scout.onnx", CUDA)]


def test_the_cause_of_a_failing_provider_has_a_remedy(gpu: Gpu) -> None:
    gpu.broken.add(CUDA)
    entry = read_manifest(PACKAGE_DIRECTORY).networks["scout"]
    with pytest.raises(ProviderError, match="out of device memory") as caught:
        Network(PACKAGE_DIRECTORY, entry, Provider.CUDA)
    assert "cpu" in caught.value.remedy


@pytest.mark.parametrize(
    ("flags", "exact"),
    [("avx512f avx512_vnni", False), ("avx2 avx_vnni", False), ("avx2 fma", True), (None, True)],
)
def test_a_session_uses_one_thread_and_kernels_that_cannot_saturate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: str | None, exact: bool
) -> None:
    seen: list[Any] = []

    def open_session(path: Path, options: Any, **others: Any) -> onnxruntime.InferenceSession:
        seen.append(options)
        return REAL_SESSION(path, options, **others)

    cpu_info = tmp_path / "cpuinfo"
    if flags is not None:
        cpu_info.write_text(f"flags : fpu {flags} ", encoding="ascii")
    monkeypatch.setattr(session, "CPU_INFO", cpu_info)
    monkeypatch.setattr(session.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(session.onnxruntime, "InferenceSession", open_session)
    Network(PACKAGE_DIRECTORY, read_manifest(PACKAGE_DIRECTORY).networks["segmenter"])
    (options,) = seen
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
    try:
        asked = options.get_session_config_entry("session.x64quantprecision") == "1"
    except RuntimeError:
        asked = False
    assert asked == exact
