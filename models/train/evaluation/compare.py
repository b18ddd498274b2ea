"""What quantization costs: the INT8 files against the float networks they were made of.

Both see the same samples, with the thresholds that ship; only the network named in a row differs,
except in the rows of the chain, where segmenter and classifier both are float or both INT8.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from pydantic import BaseModel, ConfigDict
from tqdm import tqdm

from models.classifier import Classifier
from models.scout import Scout
from models.segmenter import Segmenter
from models.train.data import simulated
from models.train.data.samples import CLASSES, CropSet, FieldSet
from models.train.data.workspace import Workspace
from models.train.evaluation import evaluate
from models.train.evaluation.evaluate import Scores
from models.train.networks.float_network import FloatNetwork

LARGEST_LOSS_POINTS = 0.3
STAINED = "stained-to-UV"
CHAIN = "segmenter and classifier"
FIGURES = {
    "scout": ("white cells found", "red cells found", "platelets found"),
    "segmenter": ("cell Dice", "nucleus Dice"),
    "classifier": ("five-part accuracy", "dead or alive"),
    CHAIN: ("five-part accuracy", "dead or alive"),
}


class Row(BaseModel):
    """One figure on one set of samples.

    Attributes:
        network: whose precision differs.
        domain: what the samples show.
        figure: which share or mean.
        float32: of the float network.
        int8: of the shipped one.
        n: number of cells or centres.
        loss_points: float32 less int8, percentage points; positive is a loss.
    """

    model_config = ConfigDict(frozen=True)

    network: str
    domain: str
    figure: str
    float32: float
    int8: float
    n: int
    loss_points: float


class Comparison(BaseModel):
    """All figures, and the largest loss among them.

    Attributes:
        largest_allowed_points: the bar.
        largest_points: largest loss of a figure that is asked for.
        rows: one per network, domain and figure.
    """

    model_config = ConfigDict(frozen=True)

    largest_allowed_points: float = LARGEST_LOSS_POINTS
    largest_points: float
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class _Precision:
    scout: Scout
    segmenter: Segmenter
    classifier: Classifier


@dataclass(frozen=True)
class _Samples:
    domain: str
    fields: FieldSet
    drawn: CropSet
    cells: CropSet


def float_networks(work: Workspace) -> tuple[Scout, Segmenter, Classifier]:
    """Return the three networks before quantization, with the thresholds of the shipped ones."""

    def opened(name: str) -> FloatNetwork:
        return FloatNetwork(work.folder / f"{name}.float.onnx")

    return (
        Scout(opened("scout"), work.entry("scout")),
        Segmenter(opened("segmenter"), work.entry("segmenter")),
        Classifier(opened("classifier"), work.entry("classifier"), CLASSES),
    )


def some(crops: CropSet, most: int | None) -> CropSet:
    """Return at most ``most`` crops, drawn at random, always the same ones."""
    if most is None or most >= len(crops):
        return crops
    return crops.select(np.sort(np.random.default_rng(4).permutation(len(crops))[:most]))


def _first(fields: FieldSet, most: int | None) -> FieldSet:
    step = 1 if most is None else max(len(fields) // most, 1)
    return FieldSet(*(getattr(fields, name)[::step] for name in fields.__dataclass_fields__))


def _samples(work: Workspace, most_cells: int | None) -> Iterator[_Samples]:
    most_fields = None if most_cells is None else max(most_cells // 15, 1)
    for domain, folder in work.domains("test").items():
        cells = some(simulated.read_cells(folder, "test"), most_cells)
        fields = _first(simulated.read_fields(folder, "test"), most_fields)
        yield _Samples(domain, fields, cells, cells)
    if work.has_real():
        yield _Samples(
            STAINED,
            FieldSet.load(work.real("fields_val")),
            work.real_cells(["field_cells_val"]),
            some(work.real_cells(["cells_val"]), most_cells),
        )


def _found(precision: _Precision, samples: _Samples) -> Scores:
    return evaluate.scout_scores(samples.fields, precision.scout, samples.domain)


def _outlined(precision: _Precision, samples: _Samples) -> Scores:
    return evaluate.segmenter_scores(samples.drawn, precision.segmenter, samples.domain)


def _classified(precision: _Precision, samples: _Samples) -> Scores:
    result = evaluate.classify(samples.cells, precision.segmenter, precision.classifier)
    return evaluate.classifier_scores(result, precision.classifier.threshold, samples.domain)


def _rows(network: str, domain: str, before: Scores, after: Scores) -> Iterator[Row]:
    for figure in FIGURES[network]:
        name = f"{domain} {figure}"
        if name in after and after[name].n:
            yield Row(
                network=network,
                domain=domain,
                figure=figure,
                float32=before[name].value,
                int8=after[name].value,
                n=after[name].n,
                loss_points=round(100 * (before[name].value - after[name].value), 3),
            )


def compared(work: Workspace, most_cells: int | None) -> Comparison:
    """Measure every network in both precisions.

    Args:
        work: with exported networks and samples.
        most_cells: of the cells of a domain; None takes all.

    Raises:
        InputError: a network or the samples are missing.
    """
    small = _Precision(work.scout(), work.segmenter(), work.classifier())
    large = _Precision(*float_networks(work))
    classifier_alone = replace(small, classifier=large.classifier)
    rows: list[Row] = []
    for samples in tqdm(_samples(work, most_cells), desc="compare"):
        domain, after = samples.domain, _classified(small, samples)
        rows += _rows("scout", domain, _found(large, samples), _found(small, samples))
        rows += _rows("segmenter", domain, _outlined(large, samples), _outlined(small, samples))
        rows += _rows("classifier", domain, _classified(classifier_alone, samples), after)
        rows += _rows(CHAIN, domain, _classified(large, samples), after)
    largest = max((row.loss_points for row in rows), default=0.0)
    return Comparison(largest_points=largest, rows=tuple(rows))
