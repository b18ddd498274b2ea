"""Training of the virtual stain: a conditional GAN that gives chroma to a gray image.

After Kaza et al., BME Frontiers 2022, and the colouriser it builds on (Isola et al., CVPR 2017):
the generator predicts CIE a* and b* from L*, a discriminator of four strided convolutions tells
its pictures from pseudo-coloured ones, and an L1 term of weight 100 holds it to the truth.  Here
the generator gives chroma per darkness at half resolution, and the discriminator comes in after
the L1 term alone has done most of the work.
"""

from __future__ import annotations

import copy
import itertools
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from hal.sim.blood.donors import KINDS
from models.layout import BLANK_LEVEL, space_to_depth
from models.train.data.augment import Geometry, random_matrix, randomise_intensity, warp
from models.train.networks.loop import (
    CHECKPOINT_STEPS,
    Batch,
    Schedule,
    begin,
    device,
    move_average,
    rate,
    save,
)
from models.train.networks.nets import Pyramid
from models.train.networks.precision import Precision, forward
from models.train.stain.pseudocolor import GLASS
from models.train.stain.samples import StainSet

_log = logging.getLogger(__name__)

STEM_PX = 4
CHROMA_PX = 2
CROP_PX = 128
SOURCE_PX = 200
GEOMETRY = Geometry(shift_px=0.0)
BATCH = 12
CELL_SHARE = 0.85
KIND_SHARES = {"eosinophil": 4.0, "basophil": 4.0}
"""How often kinds are drawn, others once: granules are small and hard to tell apart."""

UNCHANGED_SHARE = 0.3
L1_WEIGHT = 100.0
CHROMA_SCALE = 128.0
LEAST_DARKNESS = 2.0
LEAST_WEIGHT = 8.0
"""The error of chroma per darkness counts as in this darkness where it is paler: granules are."""

ADVERSARY_SHARE = 0.4
ADVERSARY_RATE = 3e-4
GLASS_LIGHTNESS = 116 * (((GLASS + 0.055) / 1.055) ** 2.4) ** (1 / 3) - 16
"""CIE L* of blank glass in the pseudo-colour."""


class StainNet(nn.Module):
    """Chroma per darkness at half resolution, as sub-pixel channels."""

    def __init__(self) -> None:
        super().__init__()
        widths = (48, 64, 128)
        self.body = Pyramid(STEM_PX**2, widths)
        self.head = nn.Conv2d(widths[0], 2 * (STEM_PX // CHROMA_PX) ** 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, h/4, w/4, 16) to (n, 8, h/4, w/4); channel = 4 plane + sub-pixel."""
        tint: Tensor = self.head(self.body(x.permute(0, 3, 1, 2)))
        return tint

    @staticmethod
    def image(tint: Tensor) -> Tensor:
        """Arrange the sub-pixels: (n, 8, h/4, w/4) to (n, 2, h/2, w/2)."""
        return functional.pixel_shuffle(tint, STEM_PX // CHROMA_PX)


class Discriminator(nn.Module):
    """Logit of a Lab picture at half resolution being a pseudo-coloured one."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 64, 128, 256, 512)
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers.append(nn.Conv2d(before, after, 3, stride=2, padding=1))
            if before != widths[0]:
                layers.append(nn.BatchNorm2d(after))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
        side = CROP_PX // CHROMA_PX // 2 ** (len(widths) - 1)
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * side**2, 1))

    def forward(self, lab: Tensor) -> Tensor:
        """Map (n, 3, h/2, w/2), planes over 100, to (n, 1)."""
        logit: Tensor = self.layers(lab)
        return logit


def _place(donor: StainSet, rng: np.random.Generator) -> tuple[int, float, float]:
    """Return field and centre of a crop: a cell, kinds by ``KIND_SHARES``, or anywhere."""
    if rng.uniform() < CELL_SHARE and len(donor.cells):
        kinds = np.unique(donor.cells[:, 3])
        share = np.array([KIND_SHARES.get(KINDS[int(kind)], 1.0) for kind in kinds])
        kind = rng.choice(kinds, p=share / share.sum())
        index, x, y, _ = donor.cells[rng.choice(np.flatnonzero(donor.cells[:, 3] == kind))]
        dx, dy = rng.uniform(-CROP_PX / 4, CROP_PX / 4, 2)
        return int(index), float(x + dx), float(y + dy)
    height, width = donor.gray.shape[1:]
    return (
        int(rng.integers(len(donor))),
        float(rng.uniform(0, width)),
        float(rng.uniform(0, height)),
    )


def sample(
    donor: StainSet, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return an augmented gray crop and its pseudo-colour, uint8 (S, S) and (S, S, 3)."""
    index, x, y = _place(donor, rng)
    height, width = donor.gray.shape[1:]
    left = int(np.clip(x - SOURCE_PX / 2, 0, width - SOURCE_PX))
    top = int(np.clip(y - SOURCE_PX / 2, 0, height - SOURCE_PX))
    rows, columns = slice(top, top + SOURCE_PX), slice(left, left + SOURCE_PX)
    matrix = random_matrix(rng, GEOMETRY, SOURCE_PX, CROP_PX)
    gray = warp(donor.gray[index, rows, columns], matrix, CROP_PX, BLANK_LEVEL)
    colour = warp(donor.colour[index, rows, columns], matrix, CROP_PX, round(255 * GLASS))
    if rng.uniform() >= UNCHANGED_SHARE:
        gray = randomise_intensity(gray, rng)
    return gray, colour


def target_tint(colour: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return a* and b* per darkness of a pseudo-colour picture, float32 (2, h / 2, w / 2)."""
    lab = cv2.cvtColor(colour.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    half = cv2.resize(lab, None, fx=1 / CHROMA_PX, fy=1 / CHROMA_PX, interpolation=cv2.INTER_AREA)
    darkness = np.maximum(np.float32(GLASS_LIGHTNESS) - half[..., 0], np.float32(LEAST_DARKNESS))
    return np.ascontiguousarray((half[..., 1:] / darkness[..., None]).transpose(2, 0, 1))


def half_darkness(gray: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the darkness that a gray image will be given, float32 (1, h / 2, w / 2)."""
    half = cv2.resize(
        gray.astype(np.float32),
        None,
        fx=1 / CHROMA_PX,
        fy=1 / CHROMA_PX,
        interpolation=cv2.INTER_AREA,
    )
    return np.maximum(np.float32(GLASS_LIGHTNESS) * (1 - half / BLANK_LEVEL), 0)[None]


def batch(donors: Sequence[StainSet], rng: np.random.Generator) -> Batch:
    """Return folded images, target tints and darknesses of one step."""
    samples = [sample(donors[i], rng) for i in rng.integers(len(donors), size=BATCH)]
    grays = [gray for gray, _ in samples]
    return (
        torch.from_numpy(space_to_depth(np.stack(grays), STEM_PX)).float() / 255,
        torch.from_numpy(np.stack([target_tint(colour) for _, colour in samples])),
        torch.from_numpy(np.stack([half_darkness(gray) for gray in grays])),
    )


def _lab(tint: Tensor, darkness: Tensor) -> Tensor:
    """Return Lab planes over 100, (n, 3, h/2, w/2)."""
    return torch.cat([GLASS_LIGHTNESS - darkness, tint * darkness], 1) / 100


def l1(tint: Tensor, target: Tensor, darkness: Tensor) -> Tensor:
    """Return the mean error of chroma on the scale -1..1."""
    return ((tint - target).abs() * darkness.clamp(min=LEAST_WEIGHT)).mean() / CHROMA_SCALE


class Adversary:
    """The discriminator and its own optimiser."""

    def __init__(self, target: torch.device) -> None:
        self.net = Discriminator().to(target)
        self.optimiser = torch.optim.Adam(
            self.net.parameters(), lr=ADVERSARY_RATE, betas=(0.5, 0.999)
        )

    def learn(self, true: Tensor, made: Tensor) -> None:
        """Take one step to tell true pictures from made ones."""
        logit_true, logit_made = self.net(true), self.net(made.detach())
        value = _says(logit_true, 1.0) + _says(logit_made, 0.0)
        self.optimiser.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()

    def loss(self, made: Tensor) -> Tensor:
        """Return how far made pictures are from passing as true."""
        return _says(self.net(made), 1.0)


def _says(logit: Tensor, answer: float) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logit, torch.full_like(logit, answer))


def train(
    donors: Sequence[StainSet], schedule: Schedule, adversary_share: float = ADVERSARY_SHARE
) -> StainNet:
    """Train on donors' fields and return the averaged generator, in eval mode on the CPU.

    Args:
        donors: to train on.
        schedule: as of the other networks.
        adversary_share: of the steps, the last ones, in which the discriminator takes part.
    """
    torch.manual_seed(schedule.seed)
    return fit(StainNet(), lambda rng: batch(donors, rng), schedule, adversary_share)


def _step(
    net: StainNet,
    adversary: Adversary,
    optimiser: torch.optim.Optimizer,
    batch: Batch,
    precision: Precision,
    *,
    opposed: bool,
) -> float:
    """Take one step of the generator, and of the adversary if it takes part; return the error."""
    images, true_tint, darkness = batch
    tint = net.image(forward(net, images, precision))
    error = l1(tint, true_tint, darkness)
    value = L1_WEIGHT * error
    if opposed:
        made = _lab(tint, darkness)
        adversary.learn(_lab(true_tint, darkness), made)
        value = value + adversary.loss(made)
    optimiser.zero_grad(set_to_none=True)
    value.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(net.parameters(), 5.0)
    optimiser.step()
    return float(error.detach()) * CHROMA_SCALE


def _resumed(checkpoint: Path, parts: dict[str, Any]) -> int:
    """Load a checkpoint if there is one; return the next step."""
    if not checkpoint.exists():
        return 0
    state = torch.load(checkpoint, map_location=device(), weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    _log.info("resumed %s at step %d", checkpoint, state["step"])
    return int(state["step"])


def fit(
    net: StainNet,
    make_batch: Callable[[np.random.Generator], Batch],
    schedule: Schedule,
    adversary_share: float,
) -> StainNet:
    """Train like :func:`models.train.networks.loop.fit`, with the adversary in the last part."""
    target = device()
    precision = schedule.precision.on(target)
    begin(net, make_batch, schedule)
    net.to(target).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    adversary = Adversary(target)
    average = copy.deepcopy(net).eval().requires_grad_(requires_grad=False)
    optimiser = torch.optim.AdamW(net.parameters(), lr=schedule.learning_rate, weight_decay=1e-2)
    parts: dict[str, Any] = {
        "net": net,
        "average": average,
        "optimiser": optimiser,
        "adversary": adversary.net,
        "adversary_optimiser": adversary.optimiser,
    }
    start = _resumed(schedule.checkpoint, parts)
    net.train()
    bar = tqdm(range(start, schedule.steps), initial=start, total=schedule.steps, mininterval=10)
    running = 0.0
    for step in bar:
        for group in optimiser.param_groups:
            group["lr"] = rate(step, schedule)
        made = make_batch(np.random.default_rng((schedule.seed, step)))
        batch = tuple(tensor.to(target) for tensor in made)
        opposed = step >= (1 - adversary_share) * schedule.steps
        error = _step(net, adversary, optimiser, batch, precision, opposed=opposed)
        move_average(average, net, step)
        running = error if step == start else running + 0.02 * (error - running)
        bar.set_postfix(chroma_error=f"{running:.3f}", refresh=False)
        if (step + 1) % CHECKPOINT_STEPS == 0 or step + 1 == schedule.steps:
            states = {name: part.state_dict() for name, part in parts.items()}
            save(schedule.checkpoint, {**states, "step": step + 1})
    return average.cpu().eval()
