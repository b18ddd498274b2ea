"""Training of the scout: heat maps of centres, and how usable the field is.

Centres are learnt as in CenterNet (Zhou et al. 2019): a Gaussian bump per centre and a focal loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.layout import BLANK_LEVEL, space_to_depth
from models.train.augment import Geometry, random_matrix, randomise_intensity, warp
from models.train.loop import Batch, Schedule, fit
from models.train.nets import SCOUT_GRID_PX, ScoutNet
from models.train.samples import FieldSet, cut

WINDOW_PX = 256
SOURCE_PX = 368
GEOMETRY = Geometry(shift_px=0.0)
BATCH = 16
SPREAD_GRID = (1.4, 1.0, 0.8)
CENTRED_SHARE = 0.6
NEAR_GRID = 9


@dataclass(frozen=True)
class FieldSource:
    """Fields with their share of a batch."""

    fields: FieldSet
    share: float


def bumps(
    points_px: NDArray[np.float32], size_grid: int, spread_grid: float
) -> NDArray[np.float32]:
    """Return float32 (size, size): per grid cell the highest of the Gaussians, 1 at a centre."""
    heat = np.zeros((size_grid, size_grid), np.float32)
    axis = np.arange(size_grid, dtype=np.float32)
    inside = ((points_px > -0.5) & (points_px < size_grid * SCOUT_GRID_PX - 0.5)).all(1)
    for x_px, y_px in points_px[inside]:
        column, row = (int((v + 0.5) // SCOUT_GRID_PX) for v in (x_px, y_px))
        x_part = np.exp(-0.5 * ((axis - column) / spread_grid) ** 2)
        y_part = np.exp(-0.5 * ((axis - row) / spread_grid) ** 2)
        np.maximum(heat, y_part[:, None] * x_part[None], out=heat)
    return heat


def sample(
    fields: FieldSet, index: int, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """Return an augmented window, targets (4, g, g) and weights (4,) of the targets."""
    gray = fields.gray[index]
    height, width = gray.shape
    nuclei = fields.nuclei[index]
    if len(nuclei) and rng.uniform() < CENTRED_SHARE:
        reach = WINDOW_PX * 0.45
        x, y = nuclei[rng.integers(len(nuclei))] + rng.uniform(-reach, reach, 2)
    else:
        x, y = rng.uniform((0, 0), (width, height))
    window = cut(gray, float(x), float(y), SOURCE_PX, BLANK_LEVEL)
    origin = np.round(np.array([x, y]) - SOURCE_PX / 2)
    matrix = random_matrix(rng, GEOMETRY, SOURCE_PX, WINDOW_PX)
    image = randomise_intensity(warp(window, matrix, WINDOW_PX, BLANK_LEVEL), rng)
    grid = WINDOW_PX // SCOUT_GRID_PX
    heats = []
    lists = (nuclei, fields.red_cells[index], fields.platelets[index])
    for points, spread in zip(lists, SPREAD_GRID, strict=True):
        moved = (points - origin) @ matrix[:, :2].T + matrix[:, 2]
        heats.append(bumps(moved.astype(np.float32), grid, spread))
    near = cv2.dilate(np.maximum(heats[0], heats[1]), np.ones((NEAR_GRID, NEAR_GRID)))
    focus = fields.in_focus[index]
    sharp = np.where(near > 0.5, np.nan_to_num(focus), -1.0).astype(np.float32)
    weights = [
        1.0,
        float(fields.red_cells_known[index]),
        float(fields.platelets_known[index]),
        float(not np.isnan(focus)),
    ]
    return image, np.stack([*heats, sharp]), np.array(weights, np.float32)


def batch(sources: Sequence[FieldSource], rng: np.random.Generator) -> Batch:
    """Return folded images, targets and weights of one step."""
    shares = np.array([source.share for source in sources])
    samples = []
    for which in rng.choice(len(sources), BATCH, p=shares / shares.sum()):
        fields = sources[which].fields
        samples.append(sample(fields, int(rng.integers(len(fields))), rng))
    folded = space_to_depth(np.stack([image for image, _, _ in samples]), SCOUT_GRID_PX)
    return (
        torch.from_numpy(folded).float() / 255,
        torch.from_numpy(np.stack([target for _, target, _ in samples])),
        torch.from_numpy(np.stack([weight for _, _, weight in samples])),
    )


def focal_loss(logits: Tensor, heat: Tensor) -> Tensor:
    """Return the CenterNet focal loss per image and channel, (n, c), per centre."""
    probability = logits.sigmoid().clamp(1e-4, 1 - 1e-4)
    centre = (heat > 0.999).float()
    hit = -((1 - probability) ** 2) * probability.log() * centre
    miss = -((1 - heat) ** 4) * probability**2 * (1 - probability).log() * (1 - centre)
    return (hit + miss).sum((2, 3)) / (centre.sum((2, 3)) + 1)


def loss(net: ScoutNet, batch: Batch) -> Tensor:
    """Focal loss of the centres plus cross-entropy of usability near cells."""
    images, targets, weights = batch
    logits = net(images)
    channel_weight = torch.tensor([2.0, 1.0, 1.0], device=logits.device)
    centres = focal_loss(logits[:, :3], targets[:, :3]) * weights[:, :3] * channel_weight
    near = (targets[:, 3] >= 0).float() * weights[:, 3, None, None]
    entropy = functional.binary_cross_entropy_with_logits(
        logits[:, 3], targets[:, 3].clamp(min=0), reduction="none"
    )
    return centres.sum(1).mean() + 0.5 * (entropy * near).sum() / near.sum().clamp(min=1)


def train(sources: Sequence[FieldSource], schedule: Schedule) -> ScoutNet:
    """Train on windows of the fields, most of them near a white cell."""
    torch.manual_seed(schedule.seed)
    return fit(ScoutNet(), lambda rng: batch(sources, rng), loss, schedule)
