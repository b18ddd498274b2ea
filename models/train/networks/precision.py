"""The number format a training computes in.

In bfloat16 only the network's forward and backward passes are; weights, their averages, the
optimiser and the loss stay in float32.
"""

from __future__ import annotations

import logging
from enum import StrEnum

import torch
from torch import Tensor, nn

from models.session import CPU_INFO

_log = logging.getLogger(__name__)

_CPU_FLAGS = ("avx512_bf16", "amx_bf16")


class Precision(StrEnum):
    """What is asked for; ``auto`` takes bfloat16 where the processor multiplies it itself."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"

    def on(self, device: torch.device) -> Precision:
        """Return the format to compute in on a device, float32 or bfloat16, and log it."""
        chosen = self
        if self is Precision.AUTO:
            chosen = Precision.BFLOAT16 if _multiplies_bfloat16(device) else Precision.FLOAT32
        _log.info("training on %s in %s", device.type, chosen)
        return chosen


def forward(net: nn.Module, images: Tensor, precision: Precision) -> Tensor:
    """Return what a network makes of images, computed as ``precision`` says, as float32."""
    mixed = precision is Precision.BFLOAT16
    with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=mixed):
        output: Tensor = net(images)
    return output.float()


def _multiplies_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    try:
        flags = CPU_INFO.read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return any(flag in flags for flag in _CPU_FLAGS)
