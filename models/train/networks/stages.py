"""Which samples each network is trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.train.data.samples import CLASSES, CropSet, FieldSet
from models.train.data.workspace import MINED, Workspace
from models.train.networks import classifier, scout, segmenter
from models.train.networks.loop import Schedule
from models.train.networks.precision import Precision
from models.train.networks.refine import false_finds, with_predicted_labels
from models.train.networks.scout import FieldSource
from models.train.networks.segmenter import Source
from models.train.networks.shipped import initial_file

STEPS = {"scout": 4000, "segmenter": 4000, "classifier": 5000}
LEARNING_RATE = {"scout": 2e-3, "segmenter": 2e-3, "classifier": 1.5e-3}
MOST_FALSE_FINDS_PER_FIELD = 2
SIMULATED_DISTURBED_SHARE = 0.3
"""Of the segmenter's simulated crops: instruments, focus and light already differ among them."""


@dataclass(frozen=True)
class Effort:
    """How long to train.

    Attributes:
        steps: optimiser steps; None takes the network's default.
        seed: of weights and batches.
        start_from: folder with checkpoints of an earlier training or with networks that ship;
            None starts from scratch.
        precision: number format of the network's passes.
    """

    steps: int | None = None
    seed: int = 1
    start_from: Path | None = None
    precision: Precision = Precision.AUTO

    def schedule(self, work: Workspace, network: str) -> Schedule:
        """Return the schedule of a network.

        Raises:
            InputError: there is nothing of that network to start from.
            ModelError: the network that ships is damaged.
        """
        initial = None if self.start_from is None else initial_file(self.start_from, network)
        return Schedule(
            steps=STEPS[network] if self.steps is None else self.steps,
            learning_rate=LEARNING_RATE[network],
            checkpoint=work.checkpoint(network),
            seed=self.seed,
            initial=initial,
            precision=self.precision,
        )


def train_scout(work: Workspace, effort: Effort) -> None:
    """Train the scout; its checkpoint is the result."""
    sources = [FieldSource(work.fields("train"), 0.8)]
    if work.has_real():
        sources.append(FieldSource(FieldSet.load(work.real("fields_train")), 0.2))
    scout.train(sources, effort.schedule(work, "scout"))


def train_segmenter(work: Workspace, effort: Effort) -> None:
    """Train the segmenter, also to draw nothing at the scout's false finds.

    Needs the exported scout.
    """
    sources = [
        Source(work.cells("train"), 0.76, SIMULATED_DISTURBED_SHARE),
        Source(mined(work), 0.04),
    ]
    if work.has_real():
        sources.append(Source(work.real_cells(["field_cells_train"]), 0.14))
        sources.append(Source(work.real_cells(["cells_train"]), 0.06))
    segmenter.train(sources, effort.schedule(work, "segmenter"))


def mined(work: Workspace) -> CropSet:
    """Return the scout's false finds on the training donors; looked for once."""
    path = work.simulated() / MINED
    if not path.exists():
        false_finds(work.fields("train"), work.scout(), MOST_FALSE_FINDS_PER_FIELD).save(path)
    return CropSet.load(path)


def reaching(crops: CropSet) -> CropSet:
    """Leave out what is no white cell and shows no nucleus: the analysis drops it before."""
    nucleated = (crops.labels == 2).any((1, 2))
    return crops.select(nucleated | (crops.kind != CLASSES.index("other")))


def train_classifier(work: Workspace, effort: Effort) -> None:
    """Train the classifier on true and on predicted masks and on the scout's false finds.

    Needs the exported scout and segmenter.
    """
    outlines = work.segmenter()
    true = work.cells("train")
    found = CropSet.join([true, mined(work)])
    predicted = reaching(with_predicted_labels(found, outlines))
    sources = [Source(reaching(true), 0.15), Source(predicted, 0.40)]
    if work.has_real():
        stained = work.real_cells(["cells_train", "field_cells_train"])
        sources.append(Source(reaching(with_predicted_labels(stained, outlines)), 0.45))
    classifier.train(sources, effort.schedule(work, "classifier"))
