"""What the INT8 files reach, part by part, on donors and images no training saw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from models.cell_kind import FIVE_TYPES
from models.classifier import Classifier
from models.layout import BLANK_LEVEL
from models.manifest import Score
from models.scout import Scout
from models.segmenter import Segmenter
from models.train.data.samples import (
    CELL_KNOWN,
    CLASSES,
    NUCLEUS_KNOWN,
    STORED_CROP_PX,
    UNKNOWN_CLASS,
    CropSet,
    FieldSet,
    cut,
)
from models.train.evaluation.metrics import dice, expected_calibration_error, mean_score, share
from models.train.networks.refine import labels_of

CHUNK = 32
FIVE = [CLASSES.index(kind) for kind in FIVE_TYPES]
DEAD = CLASSES.index("dead")
OTHER = CLASSES.index("other")
OFF_CENTRE_PX = 4.0
MATCH_PX = 30.0
SMALL_MATCH_PX = 14.0
EDGE_PX = 50.0
SHARP = 0.75
Scores = dict[str, Score]


def _middle(
    images: NDArray[np.uint8], size_px: int, offsets_px: NDArray[np.float64], fill: int
) -> NDArray[np.uint8]:
    """Cut squares that are off the middle by ``offsets_px``, as the scout centres them."""
    half = STORED_CROP_PX / 2
    return np.stack(
        [
            cut(image, half + x, half + y, size_px, fill)
            for image, (x, y) in zip(images, offsets_px, strict=True)
        ]
    )


def offsets(n: int) -> NDArray[np.float64]:
    """Return seeded offsets (n, 2) of the size of the scout's error of position."""
    return np.random.default_rng(3).uniform(-OFF_CENTRE_PX, OFF_CENTRE_PX, (n, 2))


def predicted_labels(crops: CropSet, segmenter: Segmenter) -> NDArray[np.uint8]:
    """Return the segmenter's labels of off-centre crops, uint8 (n, S, S)."""
    shifts = offsets(len(crops))
    out = []
    for start in range(0, len(crops), CHUNK):
        chunk = slice(start, start + CHUNK)
        gray = _middle(crops.gray[chunk, 0], segmenter.crop_px, shifts[chunk], BLANK_LEVEL)
        out.append(labels_of(segmenter.segment(gray)))
    return np.concatenate(out)


def segmenter_scores(crops: CropSet, segmenter: Segmenter, domain: str) -> Scores:
    """Return mean Dice per cell of the whole cell and of the nucleus, where they are truth."""
    found = predicted_labels(crops, segmenter)
    truth = _middle(crops.labels, segmenter.crop_px, offsets(len(crops)), 0)
    has_cell = truth.any((1, 2))
    cell = has_cell & ((crops.known & CELL_KNOWN) > 0)
    nucleus = has_cell & ((crops.known & NUCLEUS_KNOWN) > 0)
    scores = {
        f"{domain} cell Dice": mean_score(dice(found[cell] > 0, truth[cell] > 0)),
        f"{domain} nucleus Dice": mean_score(dice(found[nucleus] == 2, truth[nucleus] == 2)),
    }
    empty = ~has_cell & ((crops.known & CELL_KNOWN) > 0)
    if empty.any():
        silent = int((~(found[empty] == 2).any((1, 2))).sum())
        scores[f"{domain} no nucleus drawn where none is"] = share(silent, int(empty.sum()))
    return scores


@dataclass(frozen=True)
class Classified:
    """Logits and truth of the candidates that the segmenter left standing."""

    logits: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    kinds: NDArray[np.uint8]


def classify(crops: CropSet, segmenter: Segmenter, classifier: Classifier) -> Classified:
    """Run segmenter and classifier on off-centre crops that have a class.

    Candidates without a nucleus in the segmenter's answer are dropped, as the analysis does, if
    they are no white cells; white cells stay, and a wrong answer on them counts.
    """
    known = crops.select(crops.kind != UNKNOWN_CLASS)
    labels = predicted_labels(known, segmenter)
    shifts = offsets(len(known))
    margin = (segmenter.crop_px - classifier.crop_px) // 2
    inner = slice(margin, margin + classifier.crop_px)
    masks = np.ascontiguousarray(labels[:, inner, inner])
    keep = (known.kind != OTHER) | (labels == 2).any((1, 2))
    logits, probabilities = [], []
    for start in range(0, len(known), CHUNK):
        chunk = slice(start, start + CHUNK)
        gray = _middle(known.gray[chunk, 0], classifier.crop_px, shifts[chunk], BLANK_LEVEL)
        logits.append(classifier.logits(gray, masks[chunk]))
        probabilities.append(classifier.classify(gray, masks[chunk]))
    return Classified(
        np.concatenate(logits)[keep], np.concatenate(probabilities)[keep], known.kind[keep]
    )


def classifier_scores(result: Classified, threshold: float, domain: str) -> Scores:
    """Return accuracies, sensitivities and calibration of classified candidates."""
    best = result.probabilities.argmax(1)
    kinds = result.kinds
    named = result.probabilities.max(1) >= threshold
    live = np.isin(kinds, FIVE)
    alive_or_dead = live | (kinds == DEAD)
    right_life = (best == DEAD) == (kinds == DEAD)

    def accuracy(which: NDArray[np.bool_]) -> Score:
        return share(int((best == kinds)[which].sum()), int(which.sum()))

    scores = {
        f"{domain} five-part accuracy": accuracy(live),
        f"{domain} five-part accuracy of identified cells": accuracy(live & named),
        f"{domain} unidentified": share(int((live & ~named).sum()), int(live.sum())),
    }
    if (kinds == DEAD).any():
        scores[f"{domain} dead or alive"] = share(
            int(right_life[alive_or_dead].sum()), int(alive_or_dead.sum())
        )
    for index, name in enumerate(CLASSES):
        if (kinds == index).any():
            scores[f"{domain} sensitivity {name}"] = accuracy(kinds == index)
    gap = expected_calibration_error(result.probabilities, kinds)
    scores[f"{domain} expected calibration error"] = Score(value=round(gap, 5), n=len(kinds))
    return scores


def confusion(result: Classified) -> NDArray[np.int64]:
    """Return counts (truth, answer), int64 (classes, classes)."""
    table = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    np.add.at(table, (result.kinds, result.probabilities.argmax(1)), 1)
    return table


def matched(
    found_px: NDArray[np.float32], truth_px: NDArray[np.float32], reach_px: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Pair found and true centres one to one (Kuhn 1955); return which of each have a partner."""
    hit_found, hit_truth = np.zeros(len(found_px), bool), np.zeros(len(truth_px), bool)
    if len(found_px) and len(truth_px):
        distance = np.linalg.norm(found_px[:, None] - truth_px[None], axis=2)
        rows, columns = linear_sum_assignment(np.minimum(distance, 10 * reach_px))
        near = distance[rows, columns] <= reach_px
        hit_found[rows[near]] = True
        hit_truth[columns[near]] = True
    return hit_found, hit_truth


def _inside(points_px: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    limit = np.array(shape[::-1]) - EDGE_PX
    return np.asarray(((points_px >= EDGE_PX) & (points_px < limit)).all(1))


def scout_scores(fields: FieldSet, scout: Scout, domain: str) -> Scores:
    """Return shares found and false finds per field of centres that no border cuts, in focus."""
    counts: dict[str, list[NDArray[np.int64]]] = {"nuclei": [], "red_cells": [], "platelets": []}
    listed = {"red_cells": fields.red_cells_known, "platelets": fields.platelets_known}
    usability: list[tuple[float, float]] = []
    for index, image in enumerate(fields.gray):
        focus = fields.in_focus[index]
        detections = scout.find(image)
        if not np.isnan(focus):
            usability.append((detections.usability, focus))
        if focus < SHARP:
            continue
        for name, found in (
            ("nuclei", detections.nuclei),
            ("red_cells", detections.red_cells),
            ("platelets", detections.platelets),
        ):
            if name in listed and not listed[name][index]:
                continue
            truth = getattr(fields, name)[index]
            reach = SMALL_MATCH_PX if name == "platelets" else MATCH_PX
            hit_found, hit_truth = matched(found[:, :2], truth, reach)
            wrong = _inside(found[:, :2], image.shape) & ~hit_found
            due = _inside(truth, image.shape)
            counts[name].append(
                np.array([(hit_truth & due).sum(), due.sum(), wrong.sum(), 1], np.int64)
            )
    scores: Scores = {}
    for name, rows in counts.items():
        if rows:
            hits, total, extra, images = np.sum(rows, axis=0).tolist()
            title = "white cells" if name == "nuclei" else name.replace("_", " ")
            scores[f"{domain} {title} found"] = share(hits, total)
            scores[f"{domain} {title} false finds per field"] = Score(
                value=round(extra / images, 4), n=images
            )
    if usability:
        right = sum((seen >= 0.5) == (true >= 0.5) for seen, true in usability)
        scores[f"{domain} usability right"] = share(right, len(usability))
    return scores
