"""Which samples each network is trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.train import classifier, scout, segmenter
from models.train.loop import Schedule
from models.train.refine import false_finds, with_predicted_labels
from models.train.samples import CropSet, FieldSet
from models.train.scout import FieldSource
from models.train.segmenter import Source
from models.train.workspace import MINED, Workspace

STEPS = {"scout": 4000, "segmenter": 4000, "classifier": 5000}
LEARNING_RATE = {"scout": 2e-3, "segmenter": 2e-3, "classifier": 1.5e-3}
MOST_FALSE_FINDS_PER_FIELD = 2


@dataclass(frozen=True)
class Effort:
    """How long to train.

    Attributes:
        steps: optimiser steps; None takes the network's default.
        seed: of weights and batches.
        start_from: folder with checkpoints of an earlier training; None starts from scratch.
    """

    steps: int | None = None
    seed: int = 1
    start_from: Path | None = None

    def schedule(self, work: Workspace, network: str) -> Schedule:
        """Return the schedule of a network."""
        initial = None if self.start_from is None else self.start_from / f"{network}.pt"
        return Schedule(
            steps=STEPS[network] if self.steps is None else self.steps,
            learning_rate=LEARNING_RATE[network],
            checkpoint=work.checkpoint(network),
            seed=self.seed,
            initial=initial,
        )


def train_scout(work: Workspace, effort: Effort) -> None:
    """Train the scout; its checkpoint is the result."""
    sources = [FieldSource(work.fields("train"), 0.8)]
    if work.has_real():
        sources.append(FieldSource(FieldSet.load(work.real("fields_train")), 0.2))
    scout.train(sources, effort.schedule(work, "scout"))


def train_segmenter(work: Workspace, effort: Effort) -> None:
    """Train the segmenter; its checkpoint is the result."""
    sources = [Source(work.cells("train"), 0.65)]
    if work.has_real():
        sources.append(Source(work.real_cells(["field_cells_train"]), 0.15))
        sources.append(Source(work.real_cells(["cells_train"]), 0.20))
    segmenter.train(sources, effort.schedule(work, "segmenter"))


def train_classifier(work: Workspace, effort: Effort) -> None:
    """Train the classifier on true and on predicted masks and on the scout's false finds.

    Needs the exported scout and segmenter.
    """
    outlines = work.segmenter()
    true = work.cells("train")
    mined = false_finds(work.fields("train"), work.scout(), MOST_FALSE_FINDS_PER_FIELD)
    mined.save(work.simulated() / MINED)
    predicted = with_predicted_labels(CropSet.join([true, mined]), outlines)
    sources = [Source(true, 0.2), Source(predicted, 0.4)]
    if work.has_real():
        stained = work.real_cells(["cells_train", "field_cells_train"])
        sources.append(Source(with_predicted_labels(stained, outlines), 0.4))
    classifier.train(sources, effort.schedule(work, "classifier"))
