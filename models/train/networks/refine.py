"""The second look: samples made by the networks that are already trained.

The classifier must work on what scout and segmenter hand it, so it is trained on the segmenter's
own masks, and on the scout's own false finds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.layout import BLANK_LEVEL
from models.scout import Scout
from models.segmenter import Segmenter
from models.train.data.samples import (
    CELL_KNOWN,
    CLASSES,
    NUCLEUS_KNOWN,
    STORED_CROP_PX,
    CropSet,
    FieldSet,
    cut,
)

CHUNK = 32
FALSE_FIND_PX = 30.0
MINING_THRESHOLD = 0.05
PROBABILITY = 0.5


def labels_of(probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return labels 0/1/2, uint8 (n, S, S), of cell and nucleus probabilities (n, 2, S, S)."""
    cell = probabilities[:, 0] > PROBABILITY
    nucleus = cell & (probabilities[:, 1] > PROBABILITY)
    return cell.astype(np.uint8) + nucleus.astype(np.uint8)


def with_predicted_labels(crops: CropSet, segmenter: Segmenter) -> CropSet:
    """Return the crops, first conversion only, with the segmenter's labels instead of the truth."""
    margin = (STORED_CROP_PX - segmenter.crop_px) // 2
    inner = slice(margin, margin + segmenter.crop_px)
    labels = np.zeros_like(crops.labels)
    for start in tqdm(range(0, len(crops), CHUNK), desc="predicted masks", mininterval=10):
        chunk = slice(start, start + CHUNK)
        middle = np.ascontiguousarray(crops.gray[chunk, 0, inner, inner])
        labels[chunk, inner, inner] = labels_of(segmenter.segment(middle))
    return CropSet(crops.gray, labels, crops.known, crops.kind, crops.group)


def false_finds(fields: FieldSet, scout: Scout, most_per_field: int) -> CropSet:
    """Return crops, class ``other`` with empty labels, where the scout sees a cell by mistake."""
    gray, groups = [], []
    for image, nuclei, group in zip(fields.gray, fields.nuclei, fields.group, strict=True):
        found = scout.find(image, threshold=MINING_THRESHOLD).nuclei
        distance = np.linalg.norm(found[:, None, :2] - nuclei[None], axis=2)
        wrong = found[distance.min(axis=1, initial=np.inf) > FALSE_FIND_PX][:most_per_field]
        for x, y, _ in wrong:
            gray.append(cut(image, float(x), float(y), STORED_CROP_PX, BLANK_LEVEL))
            groups.append(group)
    count = len(gray)
    shape = (count, STORED_CROP_PX, STORED_CROP_PX)
    return CropSet(
        np.array(gray, np.uint8).reshape(count, 1, *shape[1:]),
        np.zeros(shape, np.uint8),
        np.full(count, CELL_KNOWN | NUCLEUS_KNOWN, np.uint8),
        np.full(count, CLASSES.index("other"), np.uint8),
        np.array(groups, np.str_),
    )
