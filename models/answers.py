"""What the networks make of the image of the known-answer test, and what counts as the same.

An image holds whole cells of every kind; ``centres`` says where.  Each network is asked about it on
its own: the classifier gets the recorded outlines, whatever the segmenter draws now.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.classifier import Classifier
from models.layout import BLANK_LEVEL
from models.scout import Scout
from models.segmenter import Segmenter
from models.stainer import Stainer

Answers = Mapping[str, NDArray[Any]]

KINDS = {"nuclei": "nucleus", "red_cells": "red_cell", "platelets": "platelet"}
MATCH_PX = 6.0
"""How far a centre may move: less than a grid cell of the scout."""

SURE_MARGIN = 0.15
"""Centres whose score is no more than this above the threshold may come and go."""

# Measured as (other arithmetic of the same weights: float, symmetric INT8, FP32) against (something
# wrong: saturating kernels, another training, gray 3 % off, for outlines 10 %, channels in another
# order): change of score 0.000-0.006 / 0.010-0.18, least Dice 0.998-1.000 / 0.49-0.992,
# change of log probability 0.001-0.037 / 0.15-1.2; change of colour 0.00-0.10 / 0.32-2.0 (3 % off
# upwards 0.22).
LEAST_SHARE_FOUND = 0.9
MOST_SCORE_CHANGE = 0.012
LEAST_DICE = 0.995
MOST_LOG_CHANGE = 0.1
MOST_COLOUR_CHANGE = 0.3
_LEAST_PROBABILITY = 1e-4


def cut(image: NDArray[np.uint8], centres: NDArray[np.integer], size_px: int) -> NDArray[np.uint8]:
    """Return squares around centres, uint8 (n, size, size), blank glass beyond the image.

    Args:
        image: uint8 (h, w).
        centres: (n, 2), x_px and y_px.
        size_px: side of the squares.
    """
    half = size_px // 2
    around = np.asarray(
        cv2.copyMakeBorder(image, half, half, half, half, cv2.BORDER_CONSTANT, value=BLANK_LEVEL),
        np.uint8,
    )
    return np.stack([around[y : y + size_px, x : x + size_px] for x, y in centres])


def record_scout(scout: Scout, answers: Answers) -> Answers:
    """Return what the scout sees: float32 (n, 3) per kind of centre, and its threshold."""
    found = scout.find(answers["image"])
    return {f"scout_{kind}": getattr(found, kind) for kind in KINDS} | {
        f"scout_{kind}_threshold": np.array(scout.thresholds[name]) for kind, name in KINDS.items()
    }


def record_segmenter(segmenter: Segmenter, answers: Answers) -> Answers:
    """Return the outlines: bool (n, 2, S, S), whole cell and nucleus."""
    crops = cut(answers["image"], answers["centres"], segmenter.crop_px)
    return {"segmenter_masks": segmenter.segment(crops) > 0.5}


def record_classifier(classifier: Classifier, answers: Answers) -> Answers:
    """Return the probabilities of the cells in their recorded outlines, and what they are of.

    Returns:
        ``classifier_probabilities``, float32 (n, classes), and ``classifier_classes``, the name of
        each column.
    """
    cells, nuclei = answers["segmenter_masks"].swapaxes(0, 1).astype(np.uint8)
    margin = (cells.shape[-1] - classifier.crop_px) // 2
    inner = slice(margin, margin + classifier.crop_px)
    labels = np.ascontiguousarray((cells + (cells & nuclei))[:, inner, inner])
    crops = cut(answers["image"], answers["centres"], classifier.crop_px)
    return {
        "classifier_probabilities": classifier.classify(crops, labels),
        "classifier_classes": np.array(classifier.classes),
    }


def record_stainer(stainer: Stainer, answers: Answers) -> Answers:
    """Return the stained middle of the image at a quarter of its size, uint8 (h, w, 3)."""
    height, width = answers["image"].shape
    middle = answers["image"][height // 4 : -height // 4, width // 4 : -width // 4]
    stained = stainer.stain(np.ascontiguousarray(middle))
    small = cv2.resize(stained, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    return {"stainer_rgb": np.asarray(small, np.uint8)}


def compare_scout(answers: Answers, found: Answers) -> tuple[bool, str]:
    """Return whether the sure centres are in both lists with their scores, and how many are."""
    details, changes, ok = [], [], True
    for kind in KINDS:
        then, now = answers[f"scout_{kind}"], found[f"scout_{kind}"]
        sure = float(answers[f"scout_{kind}_threshold"]) + SURE_MARGIN
        change = np.concatenate([_score_change(then, now, sure), _score_change(now, then, sure)])
        again = change[np.isfinite(change)]
        ok &= len(again) >= LEAST_SHARE_FOUND * len(change)
        changes.append(again)
        details.append(f"{kind.replace('_', ' ')} {len(again)}/{len(change)}")
    mean = float(np.concatenate(changes).mean()) if any(map(len, changes)) else 0.0
    details.append(f"mean change of score {mean:.4f}")
    return ok and mean <= MOST_SCORE_CHANGE, ", ".join(details)


def _score_change(
    some: NDArray[np.float32], others: NDArray[np.float32], least: float
) -> NDArray[np.float32]:
    """Return, for each centre of at least that score, how the score of the other there differs.

    It is infinite where no other lies within reach.
    """
    sure = some[some[:, 2] >= least]
    if len(others) == 0:
        return np.full(len(sure), np.inf, np.float32)
    distance = np.linalg.norm(sure[:, None, :2] - others[None, :, :2], axis=2)
    nearest = distance.argmin(axis=1)
    change = np.abs(sure[:, 2] - others[nearest, 2])
    return np.where(distance.min(axis=1) < MATCH_PX, change, np.float32(np.inf))


def compare_segmenter(answers: Answers, found: Answers) -> tuple[bool, str]:
    """Return whether every outline is the recorded one, and the least Dice."""
    then, now = answers["segmenter_masks"], found["segmenter_masks"]
    if then.shape != now.shape:
        return False, f"outlines of {now.shape}, not {then.shape}"
    both, sizes = (then & now).sum((2, 3)), then.sum((2, 3)) + now.sum((2, 3))
    least = float((2 * both / np.maximum(sizes, 1))[sizes > 0].min(initial=1.0))
    return least >= LEAST_DICE, f"least Dice {least:.4f}"


def compare_classifier(answers: Answers, found: Answers) -> tuple[bool, str]:
    """Return whether the probabilities are the recorded ones, and the mean change of their log."""
    then, now = answers["classifier_probabilities"], found["classifier_probabilities"]
    if then.shape != now.shape:
        return False, f"probabilities of {now.shape}, not {then.shape}"
    # By name: the order of the outputs is the manifest's, which may be what is wrong.
    columns = {str(name): column for column, name in enumerate(found["classifier_classes"])}
    now = now[:, [columns[str(name)] for name in answers["classifier_classes"]]]
    logs = [np.log(np.maximum(values, _LEAST_PROBABILITY)) for values in (then, now)]
    change = float(np.abs(logs[0] - logs[1]).mean())
    return change <= MOST_LOG_CHANGE, f"mean change of log probability {change:.4f}"


def compare_stainer(answers: Answers, found: Answers) -> tuple[bool, str]:
    """Return whether the colours are the recorded ones, and their mean change in levels of 255."""
    then, now = answers["stainer_rgb"], found["stainer_rgb"]
    if then.shape != now.shape:
        return False, f"a picture of {now.shape}, not {then.shape}"
    change = float(np.abs(then.astype(np.float32) - now).mean())
    return change <= MOST_COLOUR_CHANGE, f"mean change of colour {change:.2f}/255"


RECORD: Mapping[str, Callable[[Any, Answers], Answers]] = {
    "scout": record_scout,
    "segmenter": record_segmenter,
    "classifier": record_classifier,
    "stainer": record_stainer,
}
COMPARE: Mapping[str, Callable[[Answers, Answers], tuple[bool, str]]] = {
    "scout": compare_scout,
    "segmenter": compare_segmenter,
    "classifier": compare_classifier,
    "stainer": compare_stainer,
}
