"""Training of the segmenter: cell and nucleus of the cell in the middle of a crop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.layout import BLANK_LEVEL, space_to_depth
from models.train.data.augment import (
    Geometry,
    moved_whole,
    random_matrix,
    randomise_intensity,
    warp,
)
from models.train.data.samples import CELL_KNOWN, NUCLEUS_KNOWN, STORED_CROP_PX, CropSet
from models.train.networks.loop import Batch, Schedule, fit
from models.train.networks.nets import (
    SEGMENTER_CROP_PX,
    SEGMENTER_STEM_PX,
    SegmenterNet,
)

GEOMETRY = Geometry(shift_px=10.0, scale=0.12)
BATCH = 16
DISTURBED_SHARE = 0.6


@dataclass(frozen=True)
class Source:
    """Crops with their share of a batch.

    Attributes:
        crops: to draw from.
        share: of a batch.
        disturbed_share: of these crops; the others keep the camera's own pixels, so that the exact
            place of an edge is learnt from edges and noise as they are: interpolation would smooth
            both.
    """

    crops: CropSet
    share: float
    disturbed_share: float = DISTURBED_SHARE


def pick(
    sources: Sequence[Source], count: int, rng: np.random.Generator
) -> list[tuple[Source, int]]:
    """Return ``count`` random crops as (source, index), sources by share, classes evenly."""
    shares = np.array([source.share if len(source.crops) else 0.0 for source in sources])
    chosen = []
    for which in rng.choice(len(sources), count, p=shares / shares.sum()):
        crops = sources[which].crops
        kind = int(rng.choice(list(crops.by_kind)))
        chosen.append((sources[which], int(rng.choice(crops.by_kind[kind]))))
    return chosen


def label_planes(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return uint8 (h, w, 2), cell and nucleus as 0/255, of labels 0/1/2."""
    planes = [cv2.threshold(labels, level, 255, cv2.THRESH_BINARY)[1] for level in (0, 1)]
    return np.asarray(cv2.merge(planes), np.uint8)


def sample(
    source: Source, index: int, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """Return an augmented gray crop, soft targets (2, s, s) and the weight of each target."""
    crops = source.crops
    gray = crops.gray[index, rng.integers(crops.gray.shape[1])]
    planes = label_planes(crops.labels[index])
    if rng.uniform() < source.disturbed_share:
        matrix = random_matrix(rng, GEOMETRY, STORED_CROP_PX, SEGMENTER_CROP_PX)
        gray = randomise_intensity(warp(gray, matrix, SEGMENTER_CROP_PX, BLANK_LEVEL), rng)
        planes = warp(planes, matrix, SEGMENTER_CROP_PX, 0)
    else:
        gray, planes = moved_whole((gray, planes), rng, round(GEOMETRY.shift_px), SEGMENTER_CROP_PX)
    known = int(crops.known[index])
    weight = np.array([bool(known & CELL_KNOWN), bool(known & NUCLEUS_KNOWN)], np.float32)
    return gray, np.asarray(planes, np.float32).transpose(2, 0, 1) / np.float32(255), weight


def batch(sources: Sequence[Source], rng: np.random.Generator) -> Batch:
    """Return folded images, soft targets and target weights of one step."""
    samples = [sample(source, index, rng) for source, index in pick(sources, BATCH, rng)]
    folded = space_to_depth(np.stack([gray for gray, _, _ in samples]), SEGMENTER_STEM_PX)
    return (
        torch.from_numpy(folded).float() / 255,
        torch.from_numpy(np.stack([target for _, target, _ in samples])),
        torch.from_numpy(np.stack([weight for _, _, weight in samples])),
    )


def loss(output: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy plus soft Dice per crop, on the targets that are truth."""
    _, targets, weights = batch
    logits = SegmenterNet.logit_image(output)
    entropy = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    probability = logits.sigmoid()
    overlap = (probability * targets).sum((2, 3))
    total = probability.sum((2, 3)) + targets.sum((2, 3))
    dice_loss = 1 - (2 * overlap + 10) / (total + 10)
    per_target = 4 * entropy.mean((2, 3)) + dice_loss
    return (per_target * weights).sum() / weights.sum().clamp(min=1)


def train(sources: Sequence[Source], schedule: Schedule) -> SegmenterNet:
    """Train on crops whose labels are at least partly truth."""
    usable = [
        replace(source, crops=source.crops.select(source.crops.known > 0)) for source in sources
    ]
    torch.manual_seed(schedule.seed)
    return fit(SegmenterNet(), lambda rng: batch(usable, rng), loss, schedule)
