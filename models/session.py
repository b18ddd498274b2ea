"""One network file as a function."""

from __future__ import annotations

import logging
import platform
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.errors import ModelError, ProviderError
from models.manifest import NetworkEntry, verified_file
from models.providers import Provider, provider_options

log = logging.getLogger(__name__)

CPU_INFO = Path("/proc/cpuinfo")
_LEAST_GRID = 8
_TILE_PX = (1056, 1408)
_MANY_CROPS = 16

RUNTIME = f"onnxruntime-{onnxruntime.__version__}"


def available_providers() -> list[str]:
    """Return the names of the execution providers this onnxruntime was built with."""
    return list(onnxruntime.get_available_providers())


class Network:
    """A verified network file, warmed up, on one CPU thread; not for two threads at once.

    One intra-op thread makes no pool, so nothing spins while a worker waits for a tile.

    Attributes:
        provider: what runs it.
    """

    def __init__(
        self, directory: Path, entry: NetworkEntry, provider: Provider = Provider.CPU
    ) -> None:
        """Open the file and run it once, so that the first real image is not slow.

        Raises:
            ProviderError: the provider, not being the CPU, does not open or run it.
            ModelError: missing, hash differs, or not a network of the expected input.
        """
        symmetric = entry.symmetric if provider is Provider.TENSORRT else None
        file = symmetric or entry
        path = verified_file(directory, file)
        self.provider = provider
        try:
            self._session = _open(path, file.sha256, provider)
            self._input = self._session.get_inputs()[0]
            self._check_input(entry)
            self._warm_up(entry)
        except ModelError:
            raise
        except Exception as error:  # onnxruntime raises its own unexported types
            if provider is Provider.CPU:
                raise ModelError("MODEL-NOT-USABLE", file=entry.file, reason=error) from error
            raise ProviderError(
                "MODEL-PROVIDER", file=entry.file, provider=provider, reason=error
            ) from error

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the network's first output for folded images, uint8 (n, h, w, c)."""
        output: NDArray[np.float32] = self._session.run(None, {self._input.name: images})[0]
        return output

    def _check_input(self, entry: NetworkEntry) -> None:
        if self._input.type != f"tensor({entry.dtype})":
            raise ModelError(
                "MODEL-INPUT-TYPE", file=entry.file, found=self._input.type, expected=entry.dtype
            )

    def _warm_up(self, entry: NetworkEntry) -> None:
        """Run images of the shapes to come: a GPU prepares itself again for each larger one."""
        if entry.crop_px is None:
            tile = tuple(side // entry.block_px for side in _TILE_PX)
            shapes = [(1, _LEAST_GRID, _LEAST_GRID), (1, *tile)]
        else:
            grid = entry.crop_px // entry.block_px
            shapes = [(1, grid, grid), (_MANY_CROPS, grid, grid)]
        # The CPU gains little by the second shape.
        for shape in shapes[:1] if self.provider is Provider.CPU else shapes:
            self.run(np.zeros((*shape, self._input.shape[3]), np.uint8))


def _multiplies_bytes_exactly() -> bool:
    """Return whether the kernels for uint8 times int8 cannot saturate here.

    On x86 without VNNI they do, which ruins the answers of these networks, unless onnxruntime is
    told to take exact ones.  Those are slower, and where VNNI is, it would take them too.
    """
    try:
        flags = CPU_INFO.read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return "vnni" in flags or platform.machine() not in ("x86_64", "AMD64")


def _open(path: Path, sha256: str, provider: Provider) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    if not _multiplies_bytes_exactly():
        options.add_session_config_entry("session.x64quantprecision", "1")
    if provider is Provider.TENSORRT:
        log.info("%s: TensorRT builds an engine unless one is kept; this takes minutes", path.name)
    providers = [(provider.runtime_name, provider_options(provider, sha256, RUNTIME))]
    if provider is not Provider.CPU:
        providers.append((Provider.CPU.runtime_name, {}))
    # With its own fallback onnxruntime would go on elsewhere and only print that it did.
    session = onnxruntime.InferenceSession(path, options, providers=providers, enable_fallback=0)
    if provider.runtime_name not in session.get_providers():
        raise RuntimeError(f"onnxruntime left {provider} out; its own log says why")
    return session
