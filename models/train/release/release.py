"""Export, choice of thresholds on validation data, and the manifest."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.classifier import softmax
from models.layout import BLANK_LEVEL, class_planes, space_to_depth
from models.manifest import (
    MANIFEST_NAME,
    Manifest,
    NetworkEntry,
    read_manifest,
    sha256_of,
    write_manifest,
)
from models.scout import PEAK_WINDOW, Detections, Scout
from models.session import Network
from models.train.data.samples import CLASSES, STORED_CROP_PX, CropSet, FieldSet
from models.train.data.simulated import PIXEL_UM, read_cells, read_fields
from models.train.data.workspace import Workspace
from models.train.evaluation import evaluate
from models.train.evaluation.metrics import abstention_threshold, fit_temperature
from models.train.networks.export import export_float, quantize
from models.train.networks.loop import load_average
from models.train.networks.nets import (
    CLASSIFIER_CROP_PX,
    CLASSIFIER_STEM_PX,
    SCOUT_STEM_PX,
    SEGMENTER_CROP_PX,
    SEGMENTER_STEM_PX,
    ClassifierNet,
    ScoutNet,
    SegmenterNet,
)
from models.train.networks.refine import with_predicted_labels
from models.train.release import known_answers
from models.train.release.cards import training_data, write_cards

CALIBRATION_IMAGES = 48
SCOUT_CALIBRATION_PX = 512
WANTED_ACCURACY = 0.99
MOST_ABSTAINED = 0.05
THRESHOLDS = tuple(round(float(step), 3) for step in np.arange(0.1, 0.61, 0.025))
SHADOWS_PX2 = np.arange(0.0, 4000.0, 50.0)
LEAST_COUNTED = 30
FALLBACK_THRESHOLD = 0.35
SEGMENTER_TURNS = 4
RECALL_WEIGHT = 3.0
"""Beta of the F-measure of white cells: a missed one is lost, a false find is dropped later."""


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
    """Write the INT8 files of a network, for CPUs and for TensorRT, from its trained weights."""
    load_average(net, work.checkpoint(name))
    float_path = work.folder / f"{name}.float.onnx"
    export_float(net, images[0], float_path, any_size=name == "scout")
    quantize(float_path, work.network(name), images)
    quantize(float_path, work.symmetric(name), images, symmetric=True)


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
            "symmetric": work.symmetric_entry(name),
        }
    )
    work.write_entry(name, entry)
    return entry


def export_scout(work: Workspace) -> None:
    """Export the scout and choose its thresholds on the validation donors."""
    fields = work.fields("val")
    grays = list(fields.gray[: CALIBRATION_IMAGES // 2])
    images = [gray[:SCOUT_CALIBRATION_PX, :SCOUT_CALIBRATION_PX] for gray in grays]
    folded = [space_to_depth(image[None], SCOUT_STEM_PX)[0] for image in images]
    _write(work, "scout", ScoutNet(), folded)
    layout = "uint8 (1, h/4, w/4, 16), 4x4 blocks as channels, h and w multiples of 32"
    start = {f"threshold_{name}": min(THRESHOLDS) for name in PEAK_WINDOW}
    start |= {"shadow_red_cell_px2": 0.0, "shadow_platelet_px2": 0.0}
    entry = _entry(work, "scout", layout, SCOUT_STEM_PX, None, start)
    scout = Scout(Network(work.folder, entry), entry)
    _entry(work, "scout", layout, SCOUT_STEM_PX, None, scout_parameters(fields, scout))


def scout_parameters(fields: FieldSet, scout: Scout) -> dict[str, float]:
    """Return from which score a centre counts, and how many are hidden, chosen on sharp fields.

    White cells: the threshold of the best F-measure, recall first.  Red cells and platelets are
    counted: the threshold and the coincidence correction of least error of a donor's count.
    Fields whose focus nobody knows are taken for sharp.
    """
    sharp = [i for i, focus in enumerate(fields.in_focus) if not focus < evaluate.SHARP]
    seen = [scout.find(fields.gray[i]) for i in sharp]
    area_px = np.array([fields.gray[i].size for i in sharp])
    donors = np.array([fields.group[i] for i in sharp])
    red_found = _counted([d.red_cells for d in seen])
    red_due = _due(fields.red_cells, fields.red_cells_known, sharp)
    red = _coincidence(red_found, red_found / area_px, red_due, donors)
    red_seen = red_found[THRESHOLDS.index(red[0])] / area_px
    platelets = _coincidence(
        _counted([d.platelets for d in seen]),
        np.tile(red_seen, (len(THRESHOLDS), 1)),
        _due(fields.platelets, fields.platelets_known, sharp),
        donors,
    )
    return {
        "threshold_nucleus": _recall_first(seen, [fields.nuclei[i] for i in sharp]),
        "threshold_red_cell": red[0],
        "threshold_platelet": platelets[0],
        "shadow_red_cell_px2": round(red[1], 1),
        "shadow_platelet_px2": round(platelets[1], 1),
    }


def _due(
    centres: Sequence[NDArray[np.float32]], known: Sequence[bool], index: Sequence[int]
) -> NDArray[np.float64]:
    """Return the true number per field, NaN where nobody listed them."""
    return np.array([len(centres[i]) if known[i] else np.nan for i in index])


def _counted(found: Sequence[NDArray[np.float32]]) -> NDArray[np.int64]:
    """Return numbers of centres (thresholds, fields)."""
    return np.array([[int((f[:, 2] >= t).sum()) for f in found] for t in THRESHOLDS])


def _recall_first(seen: Sequence[Detections], nuclei: Sequence[NDArray[np.float32]]) -> float:
    """Return the threshold of the best F-measure of white cells."""
    beta2 = RECALL_WEIGHT**2
    best = []
    for threshold in THRESHOLDS:
        right = due = kept = 0
        for detections, truth in zip(seen, nuclei, strict=True):
            found = detections.nuclei[detections.nuclei[:, 2] >= threshold, :2]
            right += int(evaluate.matched(found, truth, evaluate.MATCH_PX)[1].sum())
            due, kept = due + len(truth), kept + len(found)
        best.append((1 + beta2) * right / max(beta2 * due + kept, 1))
    return THRESHOLDS[int(np.argmax(best))]


def _coincidence(
    found: NDArray[np.int64],
    red_per_px2: NDArray[np.float64],
    due: NDArray[np.float64],
    donors: NDArray[np.str_],
) -> tuple[float, float]:
    """Return threshold and hidden area per red cell of least mean error of the donors' counts.

    Donors with few are left out; where all have few, a middling threshold and no correction.

    Args:
        found: per threshold and field.
        red_per_px2: red cells found there per area, same shape.
        due: true number per field, NaN where unknown.
        donors: of each field.
    """
    known = ~np.isnan(due)
    fields = [known & (donors == name) for name in np.unique(donors)]
    fields = [which for which in fields if due[which].sum() >= LEAST_COUNTED]
    best = (np.inf, FALLBACK_THRESHOLD, 0.0)
    for row, threshold in enumerate(THRESHOLDS if fields else ()):
        for shadow_px2 in SHADOWS_PX2:
            estimate = found[row] * (1 + shadow_px2 * red_per_px2[row])
            errors = [abs(estimate[which].sum() / due[which].sum() - 1) for which in fields]
            best = min(best, (float(np.mean(errors)), threshold, float(shadow_px2)))
    return best[1:]


def export_segmenter(work: Workspace) -> None:
    """Export the segmenter."""
    gray = _middle(_calibration_crops(work).gray[:, 0], SEGMENTER_CROP_PX)
    _write(work, "segmenter", SegmenterNet(), list(space_to_depth(gray, SEGMENTER_STEM_PX)))
    layout = "uint8 (n, 96, 96, 4), 2x2 blocks of a 192 px crop as channels"
    _entry(
        work, "segmenter", layout, SEGMENTER_STEM_PX, SEGMENTER_CROP_PX, {"turns": SEGMENTER_TURNS}
    )


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
    """Evaluate the exported networks and copy files, cards and manifest to ``out``.

    Other networks that ``out`` lists already stay there.
    """
    entries = scored(work)
    out.mkdir(parents=True, exist_ok=True)
    for entry in entries.values():
        for file in (entry, entry.symmetric):
            if file is not None:
                shutil.copyfile(work.folder / file.file, out / file.file)
    shutil.copytree(work.folder / "cards", out / "cards", dirs_exist_ok=True)
    others = read_manifest(out).networks if (out / MANIFEST_NAME).exists() else {}
    manifest = Manifest(
        created=datetime.now(UTC).date().isoformat(),
        versions={name: version(name) for name in ("leukolux", "onnxruntime", "torch")},
        pixel_um=PIXEL_UM,
        blank_level=BLANK_LEVEL,
        classes=CLASSES,
        networks={**others, **entries},
    )
    published = known_answers.write(out, manifest)
    write_manifest(out, published)
    return published
