"""Export, choice of thresholds on validation data, and the manifest."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.classifier import softmax
from models.layout import BLANK_LEVEL, class_planes, space_to_depth
from models.manifest import Manifest, NetworkEntry, sha256_of, write_manifest
from models.scout import PEAK_WINDOW, Scout
from models.session import Network
from models.train import evaluate
from models.train.cards import training_data, write_cards
from models.train.export import export_float, quantize
from models.train.loop import load_average
from models.train.metrics import abstention_threshold, fit_temperature
from models.train.nets import (
    CLASSIFIER_CROP_PX,
    CLASSIFIER_STEM_PX,
    SCOUT_GRID_PX,
    SEGMENTER_CROP_PX,
    SEGMENTER_STEM_PX,
    ClassifierNet,
    ScoutNet,
    SegmenterNet,
)
from models.train.refine import with_predicted_labels
from models.train.samples import CLASSES, STORED_CROP_PX, CropSet, FieldSet
from models.train.simulated import PIXEL_UM, read_cells, read_fields
from models.train.workspace import Workspace

CALIBRATION_IMAGES = 48
SCOUT_CALIBRATION_PX = 512
WANTED_ACCURACY = 0.985
MOST_ABSTAINED = 0.05
THRESHOLDS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
RECALL_WEIGHT = {"nucleus": 3.0, "red_cell": 1.0, "platelet": 1.0}
"""Beta of the F-measure: a missed white cell is lost, a false find is dropped later."""


def _some(crops: CropSet, count: int, seed: int) -> CropSet:
    index = np.random.default_rng(seed).permutation(len(crops))[:count]
    return crops.select(index)


def _middle(images: NDArray[np.uint8], size_px: int) -> NDArray[np.uint8]:
    margin = (STORED_CROP_PX - size_px) // 2
    return np.ascontiguousarray(images[:, margin : margin + size_px, margin : margin + size_px])


def _calibration_crops(work: Workspace) -> CropSet:
    """Return crops of both domains that no network was trained on."""
    parts = [_some(work.cells("val"), CALIBRATION_IMAGES, 1)]
    if work.has_real():
        real = _some(work.real_cells(["cells_calibration"]), CALIBRATION_IMAGES // 2, 2)
        parts.append(CropSet(real.gray[:, :1], real.labels, real.known, real.kind, real.group))
    return CropSet.join(parts)


def _write(
    work: Workspace,
    name: str,
    net: ScoutNet | SegmenterNet | ClassifierNet,
    images: list[NDArray[np.uint8]],
) -> None:
    """Write the INT8 file of a network from its trained weights."""
    load_average(net, work.checkpoint(name))
    float_path = work.folder / f"{name}.float.onnx"
    export_float(net, images[0], float_path, any_size=name == "scout")
    quantize(float_path, work.network(name), images)


def _entry(
    work: Workspace,
    name: str,
    layout: str,
    block_px: int,
    crop_px: int | None,
    parameters: dict[str, float],
) -> NetworkEntry:
    entry = NetworkEntry.model_validate(
        {
            "file": f"{name}.onnx",
            "sha256": sha256_of(work.network(name)),
            "input_layout": layout,
            "block_px": block_px,
            "crop_px": crop_px,
            "parameters": parameters,
            "training_data": training_data(name, work.domains("train"), stained=work.has_real()),
            "scores": {},
        }
    )
    work.write_entry(name, entry)
    return entry


def export_scout(work: Workspace) -> None:
    """Export the scout and choose its thresholds on the validation donors."""
    fields = work.fields("val")
    grays = list(fields.gray[: CALIBRATION_IMAGES // 2])
    images = [gray[:SCOUT_CALIBRATION_PX, :SCOUT_CALIBRATION_PX] for gray in grays]
    folded = [space_to_depth(image[None], SCOUT_GRID_PX)[0] for image in images]
    _write(work, "scout", ScoutNet(), folded)
    layout = "uint8 (1, h/8, w/8, 64), 8x8 blocks as channels, h and w multiples of 32"
    start = {f"threshold_{name}": min(THRESHOLDS) for name in PEAK_WINDOW}
    entry = _entry(work, "scout", layout, SCOUT_GRID_PX, None, start)
    scout = Scout(Network(work.folder, entry), entry)
    _entry(work, "scout", layout, SCOUT_GRID_PX, None, scout_thresholds(fields, scout))


def scout_thresholds(fields: FieldSet, scout: Scout) -> dict[str, float]:
    """Return per kind of centre the threshold of the best F-measure on fields in focus."""
    names = {"nucleus": "nuclei", "red_cell": "red_cells", "platelet": "platelets"}
    tally = {name: np.zeros((len(THRESHOLDS), 3)) for name in names}
    for index, image in enumerate(fields.gray):
        if fields.in_focus[index] < evaluate.SHARP:
            continue
        detections = scout.find(image)
        for name, attribute in names.items():
            found, truth = getattr(detections, attribute), getattr(fields, attribute)[index]
            reach = evaluate.SMALL_MATCH_PX if name == "platelet" else evaluate.MATCH_PX
            for row, threshold in enumerate(THRESHOLDS):
                kept = found[found[:, 2] >= threshold, :2]
                hits = int(evaluate.matched(kept, truth, reach)[1].sum())
                tally[name][row] += (hits, len(truth), len(kept))
    chosen = {}
    for name, counts in tally.items():
        beta2 = RECALL_WEIGHT[name] ** 2
        right, due, seen = counts.T
        measure = (1 + beta2) * right / np.maximum(beta2 * due + seen, 1)
        chosen[f"threshold_{name}"] = THRESHOLDS[int(np.argmax(measure))]
    return chosen


def export_segmenter(work: Workspace) -> None:
    """Export the segmenter."""
    gray = _middle(_calibration_crops(work).gray[:, 0], SEGMENTER_CROP_PX)
    _write(work, "segmenter", SegmenterNet(), list(space_to_depth(gray, SEGMENTER_STEM_PX)))
    layout = "uint8 (n, 48, 48, 16), 4x4 blocks of a 192 px crop as channels"
    _entry(work, "segmenter", layout, SEGMENTER_STEM_PX, SEGMENTER_CROP_PX, {})


def export_classifier(work: Workspace) -> None:
    """Export the classifier; choose temperature and threshold on validation cells.

    Needs the exported segmenter, because the classifier sees the segmenter's masks.
    """
    segmenter = work.segmenter()
    crops = with_predicted_labels(_calibration_crops(work), segmenter)
    gray = _middle(crops.gray[:, 0], CLASSIFIER_CROP_PX)
    masks = _middle(crops.labels, CLASSIFIER_CROP_PX)
    images = list(space_to_depth(class_planes(gray, masks), CLASSIFIER_STEM_PX))
    _write(work, "classifier", ClassifierNet(), images)
    layout = (
        "uint8 (n, 32, 32, 48), 4x4 blocks of a 128 px crop as channels;"
        " planes gray, cell mask, nucleus mask"
    )
    plain = {"temperature": 1.0, "threshold": 0.0}
    _entry(work, "classifier", layout, CLASSIFIER_STEM_PX, CLASSIFIER_CROP_PX, plain)
    sets = [work.cells("val")]
    if work.has_real():
        sets.append(work.real_cells(["cells_calibration"]))
    results = [evaluate.classify(cells, segmenter, work.classifier()) for cells in sets]
    logits = np.concatenate([result.logits for result in results])
    kinds = np.concatenate([result.kinds for result in results])
    temperature = fit_temperature(logits, kinds)
    threshold = abstention_threshold(
        softmax(results[0].logits / np.float32(temperature)),
        results[0].kinds,
        wanted_accuracy=WANTED_ACCURACY,
        most_abstained=MOST_ABSTAINED,
    )
    chosen = {"temperature": round(temperature, 4), "threshold": threshold}
    _entry(work, "classifier", layout, CLASSIFIER_STEM_PX, CLASSIFIER_CROP_PX, chosen)


def scored(work: Workspace) -> dict[str, NetworkEntry]:
    """Return the entries of the three networks with their scores on unseen donors and images."""
    scout, segmenter, classifier = work.scout(), work.segmenter(), work.classifier()
    results = {}
    scores: dict[str, evaluate.Scores] = {"scout": {}, "segmenter": {}, "classifier": {}}
    for domain, folder in work.domains("test").items():
        cells = read_cells(folder, "test")
        results[domain] = evaluate.classify(cells, segmenter, classifier)
        scores["scout"] |= evaluate.scout_scores(read_fields(folder, "test"), scout, domain)
        scores["segmenter"] |= evaluate.segmenter_scores(cells, segmenter, domain)
    if work.has_real():
        domain = "stained-to-UV"
        drawn = work.real_cells(["field_cells_val"])
        scores["scout"] |= evaluate.scout_scores(
            FieldSet.load(work.real("fields_val")), scout, domain
        )
        scores["segmenter"] |= evaluate.segmenter_scores(drawn, segmenter, domain)
        stained = work.real_cells(["cells_val"])
        results[domain] = evaluate.classify(stained, segmenter, classifier)
    for name, result in results.items():
        scores["classifier"] |= evaluate.classifier_scores(result, classifier.threshold, name)
    write_cards(work.folder / "cards", scores, results, {n: work.entry(n) for n in scores})
    return {
        name: work.entry(name).model_copy(update={"scores": figures})
        for name, figures in scores.items()
    }


def publish(work: Workspace, out: Path) -> Manifest:
    """Evaluate the exported networks and copy files, cards and manifest to ``out``."""
    entries = scored(work)
    out.mkdir(parents=True, exist_ok=True)
    for name in entries:
        shutil.copyfile(work.network(name), out / f"{name}.onnx")
    shutil.copytree(work.folder / "cards", out / "cards", dirs_exist_ok=True)
    manifest = Manifest(
        created=datetime.now(UTC).date().isoformat(),
        versions={name: version(name) for name in ("leukolux", "onnxruntime", "torch")},
        pixel_um=PIXEL_UM,
        blank_level=BLANK_LEVEL,
        classes=CLASSES,
        networks=entries,
    )
    write_manifest(out, manifest)
    return manifest
