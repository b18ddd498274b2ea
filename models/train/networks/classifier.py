"""Training of the classifier: five types, dead, other."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.layout import BLANK_LEVEL, class_planes, space_to_depth
from models.train.data.augment import (
    Geometry,
    random_matrix,
    randomise_compartments,
    randomise_intensity,
    warp,
)
from models.train.data.samples import STORED_CROP_PX, UNKNOWN_CLASS, CropSet
from models.train.networks.loop import Batch, Schedule, fit
from models.train.networks.nets import CLASSIFIER_CROP_PX, CLASSIFIER_STEM_PX, ClassifierNet
from models.train.networks.segmenter import Source, label_planes, pick

GEOMETRY = Geometry(shift_px=7.0, scale=0.15)
BATCH = 48
LABEL_SMOOTHING = 0.05
RECOLOURED_SHARE = 0.35
"""Of the cells: their cytoplasm and nucleus absorb more or less than the sample shows."""


def _rough_mask(labels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return labels with the errors a segmenter makes: borders moved, sometimes a target lost."""
    out = np.zeros_like(labels)
    for level, plane in enumerate(cv2.split(label_planes(labels)), start=1):
        sigma_px = float(rng.uniform(0.5, 2.5))
        soft = cv2.GaussianBlur(plane, (0, 0), sigma_px)
        out[soft > rng.uniform(90, 165)] = level
    lost = rng.uniform()
    if lost < 0.02:
        return np.zeros_like(labels)
    if lost < 0.04:
        return np.minimum(out, 1)
    return out


def sample(crops: CropSet, index: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return augmented planes, uint8 (C, C, 3)."""
    matrix = random_matrix(rng, GEOMETRY, STORED_CROP_PX, CLASSIFIER_CROP_PX)
    gray = crops.gray[index, rng.integers(crops.gray.shape[1])]
    gray = warp(gray, matrix, CLASSIFIER_CROP_PX, BLANK_LEVEL)
    warped = warp(label_planes(crops.labels[index]), matrix, CLASSIFIER_CROP_PX, 0)
    if rng.uniform() < RECOLOURED_SHARE:
        gray = randomise_compartments(gray, warped[..., 0], warped[..., 1], rng)
    gray = randomise_intensity(gray, rng)
    labels = (warped[..., 0] > 127).astype(np.uint8)
    labels[warped[..., 1] > 127] = 2
    planes: NDArray[np.uint8] = class_planes(gray[None], _rough_mask(labels, rng)[None])[0]
    return planes


def batch(sources: Sequence[Source], rng: np.random.Generator) -> Batch:
    """Return folded planes and class indices of one step."""
    chosen = pick(sources, BATCH, rng)
    planes = np.stack([sample(source.crops, index, rng) for source, index in chosen])
    kinds = [int(source.crops.kind[index]) for source, index in chosen]
    return (
        torch.from_numpy(space_to_depth(planes, CLASSIFIER_STEM_PX)).float() / 255,
        torch.tensor(kinds),
    )


def loss(logits: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy with label smoothing."""
    _, kinds = batch
    return functional.cross_entropy(logits, kinds, label_smoothing=LABEL_SMOOTHING)


def train(sources: Sequence[Source], schedule: Schedule) -> ClassifierNet:
    """Train on the crops that have a class."""
    usable = [
        Source(source.crops.select(source.crops.kind != UNKNOWN_CLASS), source.share)
        for source in sources
    ]
    torch.manual_seed(schedule.seed)
    return fit(ClassifierNet(), lambda rng: batch(usable, rng), loss, schedule)
