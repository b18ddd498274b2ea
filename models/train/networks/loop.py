"""One training loop for all three networks: seeded, resumable, with averaged weights."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from models.train.networks.precision import Precision, forward
from models.train.networks.shipped import calibrate, restore

_log = logging.getLogger(__name__)

Net = TypeVar("Net", bound=nn.Module)
Batch = tuple[Tensor, ...]
CHECKPOINT_STEPS = 250
AVERAGE_DECAY = 0.998
WARM_UP_SHARE = 0.04
SEEDS_APART = 1_000_003
CALIBRATION_BATCHES = 24


@dataclass(frozen=True)
class Schedule:
    """How long and how hard to train.

    Attributes:
        steps: optimiser steps.
        learning_rate: peak; rises linearly over the first 4 %, then falls as a cosine to zero.
        checkpoint: written every ``CHECKPOINT_STEPS``; an existing one is resumed.
        seed: of weights, batches and dropout; those of step i depend on seed and i alone.
        initial: what to start from: checkpoint of an earlier training, whose averaged weights are
            taken, or INT8 file of a network that ships; None starts from scratch.
        precision: number format of the network's passes.
    """

    steps: int
    learning_rate: float
    checkpoint: Path
    seed: int = 0
    initial: Path | None = None
    precision: Precision = Precision.AUTO


def device() -> torch.device:
    """Return the first CUDA device, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def rate(step: int, schedule: Schedule) -> float:
    """Return the learning rate of a step."""
    warm = max(int(WARM_UP_SHARE * schedule.steps), 1)
    if step < warm:
        return schedule.learning_rate * (step + 1) / warm
    progress = (step - warm) / max(schedule.steps - warm, 1)
    return schedule.learning_rate * 0.5 * (1.0 + float(np.cos(np.pi * progress)))


def move_average(average: nn.Module, net: nn.Module, step: int) -> None:
    """Move the averaged weights towards the current ones; integer buffers are copied."""
    decay = min(AVERAGE_DECAY, (step + 1) / (step + 10))
    for mean, current in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
        if mean.dtype.is_floating_point:
            mean.lerp_(current, 1.0 - decay)
        else:
            mean.copy_(current)


def load_average(net: Net, checkpoint: Path) -> Net:
    """Give ``net`` the averaged weights of a checkpoint, in eval mode on the CPU."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    net.load_state_dict(state["average"])
    return net.eval()


def begin(
    net: nn.Module,
    make_batch: Callable[[np.random.Generator], Batch],
    schedule: Schedule,
) -> None:
    """Give ``net`` the weights to start from, if any are named and there is nothing to resume.

    The batch statistics of a network that ships are taken from the first batches of the training.
    """
    if schedule.initial is None or schedule.checkpoint.exists():
        return
    if schedule.initial.suffix != ".onnx":
        load_average(net, schedule.initial)
        return
    restore(net, schedule.initial)
    generators = (np.random.default_rng((schedule.seed, i)) for i in range(CALIBRATION_BATCHES))
    calibrate(net, (make_batch(rng)[0] for rng in generators))


def save(checkpoint: Path, state: dict[str, object]) -> None:
    """Replace a checkpoint at once: a power cut leaves the old one or the new one."""
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    part = checkpoint.with_name(f"{checkpoint.name}.part")
    torch.save(state, part)
    part.replace(checkpoint)


def fit(
    net: Net,
    make_batch: Callable[[np.random.Generator], Batch],
    loss: Callable[[Tensor, Batch], Tensor],
    schedule: Schedule,
) -> Net:
    """Train ``net`` and return a copy with exponentially averaged weights, in eval mode.

    Args:
        net: the network.
        make_batch: of a step; its first tensor is what the network takes.
        loss: of the network's output, as float32, for a batch.
        schedule: how long and how hard.
    """
    target = device()
    precision = schedule.precision.on(target)
    begin(net, make_batch, schedule)
    net.to(target).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(net).eval()
    for parameter in average.parameters():
        parameter.requires_grad_(False)
    optimiser = torch.optim.AdamW(net.parameters(), lr=schedule.learning_rate, weight_decay=1e-2)
    start = 0
    if schedule.checkpoint.exists():
        state = torch.load(schedule.checkpoint, map_location=target, weights_only=True)
        net.load_state_dict(state["net"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        start = state["step"]
        _log.info("resumed %s at step %d", schedule.checkpoint, start)
    net.train()
    bar = tqdm(range(start, schedule.steps), initial=start, total=schedule.steps, mininterval=10)
    running = 0.0
    for step in bar:
        for group in optimiser.param_groups:
            group["lr"] = rate(step, schedule)
        rng = np.random.default_rng((schedule.seed, step))
        torch.manual_seed(schedule.seed * SEEDS_APART + step)
        batch = tuple(tensor.to(target) for tensor in make_batch(rng))
        value = loss(forward(net, batch[0], precision), batch)
        optimiser.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()
        move_average(average, net, step)
        current = float(value.detach())
        running = current if step == start else running + 0.02 * (current - running)
        bar.set_postfix(loss=f"{running:.4f}", refresh=False)
        if (step + 1) % CHECKPOINT_STEPS == 0 or step + 1 == schedule.steps:
            save(
                schedule.checkpoint,
                {
                    "net": net.state_dict(),
                    "average": average.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "step": step + 1,
                },
            )
    return average.cpu().eval()
