"""Which execution provider of onnxruntime runs the networks, and with what options.

The network files hold uint8 activations and int8 weights, which is what CPU kernels run fastest.
CUDA runs such a file in floating point between quantisations.  TensorRT takes zero points of 0
alone and needs a symmetric file of each network.  Both take one to three gigabytes, which a board
shares between CPU and GPU, so a small board is left to the CPU unless the settings say otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

WantedProvider = Literal["auto", "tensorrt", "cuda", "cpu"]

LEAST_MEMORY_GB = 12.0
"""Memory below which ``auto`` stays on the CPU: above the boards of 8 GB, below those of 16."""


class Provider(StrEnum):
    """An execution provider, fastest first."""

    TENSORRT = "TensorRT"
    CUDA = "CUDA"
    CPU = "CPU"

    @property
    def runtime_name(self) -> str:
        """Its name in onnxruntime."""
        return _RUNTIME_NAMES[self]


_RUNTIME_NAMES = {
    Provider.TENSORRT: "TensorrtExecutionProvider",
    Provider.CUDA: "CUDAExecutionProvider",
    Provider.CPU: "CPUExecutionProvider",
}


@dataclass(frozen=True)
class Execution:
    """Where networks run.

    Attributes:
        provider: what runs them.
        passed_over: why each faster provider does not, in words.
    """

    provider: Provider
    passed_over: tuple[str, ...] = ()

    def line(self, threads: int) -> str:
        """Return one line for the log; ``threads`` is the number of sets at work."""
        counted = "1 thread" if threads == 1 else f"{threads} threads"
        return ", ".join([f"networks run on {self.provider} ({counted} x 1)", *self.passed_over])


ON_CPU = Execution(Provider.CPU)


def choose_provider(
    wanted: WantedProvider, available: Collection[str], memory_gb: float, *, symmetric: bool
) -> Execution:
    """Return where to run networks.

    Args:
        wanted: of the settings; ``auto`` takes the fastest that fits.
        available: names of the providers this onnxruntime was built with.
        memory_gb: of this computer.
        symmetric: whether every network has the symmetric file that TensorRT needs.
    """
    passed_over = []
    for provider in (Provider.TENSORRT, Provider.CUDA):
        if wanted not in ("auto", provider.lower()):
            continue
        if provider.runtime_name not in available:
            passed_over.append(f"{provider} not available")
        elif provider is Provider.TENSORRT and not symmetric:
            passed_over.append(f"{provider} needs symmetric networks, which are not installed")
        elif wanted == "auto" and memory_gb < LEAST_MEMORY_GB:
            passed_over.append(f"{provider} wants more than {memory_gb:.0f} GB of memory")
        else:
            return Execution(provider, tuple(passed_over))
    return Execution(Provider.CPU, tuple(passed_over))


def memory_gb() -> float:
    """Return the memory of this computer."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def provider_options(provider: Provider, sha256: str, runtime: str) -> dict[str, str]:
    """Return the options of a provider for the network file with that hash under a runtime.

    TensorRT keeps the engines it builds, which takes minutes, in ``$CACHE_DIRECTORY`` (of a
    service) or the user's cache.  The folder names network and runtime; onnxruntime adds the
    kind of GPU and the version of TensorRT to the name of the file.

    Raises:
        OSError: the folder of engines cannot be made.
    """
    if provider is not Provider.TENSORRT:
        return {}
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    root = Path(os.environ.get("CACHE_DIRECTORY") or home / "leukolux")
    folder = root / "engines" / f"{sha256[:12]}-{runtime}"
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "trt_int8_enable": "1",
        "trt_fp16_enable": "1",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(folder),
    }
