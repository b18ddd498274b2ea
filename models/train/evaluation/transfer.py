"""How real the simulator is: a classifier that saw simulation alone, on real morphology.

It has a checkpoint of its own and never ships.  Its masks come from the exported segmenter.
"""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict

from models.classifier import Classifier
from models.layout import class_planes, space_to_depth
from models.manifest import NetworkEntry, Score, sha256_of
from models.train.data import simulated
from models.train.data.samples import CLASSES, CropSet
from models.train.data.workspace import Workspace
from models.train.evaluation import evaluate
from models.train.evaluation.compare import some
from models.train.networks import classifier
from models.train.networks.export import export_float
from models.train.networks.float_network import FloatNetwork
from models.train.networks.loop import Schedule
from models.train.networks.nets import CLASSIFIER_CROP_PX, CLASSIFIER_STEM_PX, ClassifierNet
from models.train.networks.refine import with_predicted_labels
from models.train.networks.segmenter import Source
from models.train.networks.stages import mined, reaching

NETWORK = "classifier_sim"
STEPS = 1500
LEARNING_RATE = 1.5e-3
MOST_CELLS = 1000
DEVELOPMENT = "PBC training pictures"


class Domain(BaseModel):
    """What was reached on one set of cells.

    Attributes:
        name: what the cells are.
        scores: by figure.
        confusion: counts (truth, answer), rows and columns in the order of ``CLASSES``.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    scores: dict[str, Score]
    confusion: list[list[int]]


class Transfer(BaseModel):
    """Results of the classifier that saw simulation alone.

    Attributes:
        steps: it was trained for.
        seed: of weights and batches.
        domains: one per set of cells.
    """

    model_config = ConfigDict(frozen=True)

    steps: int
    seed: int
    domains: tuple[Domain, ...]


def train_on_simulation(work: Workspace, schedule: Schedule) -> ClassifierNet:
    """Train a classifier as the shipped one is, without any real picture."""
    outlines = work.segmenter()
    true = simulated.read_cells(work.simulated(), "train")
    false_finds = mined(work)
    own = false_finds.select(np.isin(false_finds.group, np.unique(true.group)))
    predicted = with_predicted_labels(CropSet.join([true, own]), outlines)
    sources = [Source(reaching(true), 0.25), Source(reaching(predicted), 0.75)]
    return classifier.train(sources, schedule)


def measured(work: Workspace, steps: int, seed: int) -> Transfer:
    """Train on simulation, resuming, and test on simulated and on real cells.

    The simulator may be changed from what the training pictures show, never from the validation
    pictures; this classifier saw neither.

    Raises:
        InputError: the segmenter is not exported, or there are no real samples.
    """
    schedule = Schedule(steps, LEARNING_RATE, work.checkpoint(NETWORK), seed)
    net = _opened(work, train_on_simulation(work, schedule))
    segmenter = work.segmenter()
    sets = {
        "simulated": some(simulated.read_cells(work.simulated(), "test"), MOST_CELLS),
        "PBC validation pictures": work.real_cells(["cells_val"]),
        "BCCD validation fields": work.real_cells(["field_cells_val"]),
        DEVELOPMENT: some(work.real_cells(["cells_train"]), MOST_CELLS),
    }
    domains = []
    for name, cells in sets.items():
        result = evaluate.classify(cells, segmenter, net)
        scores = evaluate.classifier_scores(result, net.threshold, name)
        own = {figure.removeprefix(f"{name} "): score for figure, score in scores.items()}
        table = evaluate.confusion(result).tolist()
        domains.append(Domain(name=name, scores=own, confusion=table))
    return Transfer(steps=steps, seed=seed, domains=tuple(domains))


def _opened(work: Workspace, net: ClassifierNet) -> Classifier:
    path = work.folder / f"{NETWORK}.float.onnx"
    blank = np.zeros((1, CLASSIFIER_CROP_PX, CLASSIFIER_CROP_PX), np.uint8)
    example = space_to_depth(class_planes(blank, blank), CLASSIFIER_STEM_PX)[0]
    export_float(net, example, path, any_size=False)
    entry = NetworkEntry(
        file=path.name,
        sha256=sha256_of(path),
        input_layout="as the classifier",
        block_px=CLASSIFIER_STEM_PX,
        crop_px=CLASSIFIER_CROP_PX,
        parameters={"temperature": 1.0, "threshold": 0.0},
        training_data=f"simulation alone; classes {', '.join(CLASSES)}",
        scores={},
    )
    return Classifier(FloatNetwork(path), entry, CLASSES)
