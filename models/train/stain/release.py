"""Export of the virtual stain, its model card, and its place in a manifest."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.layout import space_to_depth
from models.manifest import (
    Manifest,
    NetworkEntry,
    Score,
    read_manifest,
    sha256_of,
    write_manifest,
)
from models.session import Network
from models.stainer import NAME, Stainer
from models.train.data.workspace import Workspace
from models.train.networks.export import export_float, quantize
from models.train.networks.float_network import FloatNetwork
from models.train.networks.loop import load_average
from models.train.release import known_answers
from models.train.stain.card import card
from models.train.stain.evaluation import stain_scores
from models.train.stain.samples import read_split
from models.train.stain.training import GLASS_LIGHTNESS, STEM_PX, StainNet

SMOOTHING_PX = 0.6
"""Against noise; less than the optics' own blur, so that chromatin stays crisp."""

CALIBRATION_PX = (512, 160)
CALIBRATION_REAL = 16
LAYOUT = "uint8 (1, h/4, w/4, 16), 4x4 blocks as channels, h and w multiples of 16"
TRAINING_DATA = (
    "simulated deep-UV smears (this software's own physics model, donors 1000-1999, all diseases,"
    " white cells enriched and all kinds equally often in three fields of four), each with its"
    " pseudo-colour from 260, 280 and 300 nm"
)


def fields_folder(work: Workspace) -> Path:
    """Return the folder of the fields and their pseudo-colours."""
    return work.folder / "stain"


def _float_path(work: Workspace) -> Path:
    return work.folder / f"{NAME}.float.onnx"


def _calibration_images(work: Workspace) -> list[NDArray[np.uint8]]:
    """Return folded images of validation donors in two sizes, and real ones where there are any."""
    images = []
    for donor in read_split(fields_folder(work), "val"):
        for gray in donor.gray:
            middle_y, middle_x = gray.shape[0] // 2, gray.shape[1] // 2
            for size in CALIBRATION_PX:
                half = size // 2
                images.append(
                    gray[middle_y - half : middle_y + half, middle_x - half : middle_x + half]
                )
    if work.has_real():
        real = work.real_cells(["cells_calibration"]).gray[:, 0]
        every = max(len(real) // CALIBRATION_REAL, 1)
        images += list(real[::every])
    return [space_to_depth(np.ascontiguousarray(image)[None], STEM_PX)[0] for image in images]


def stain_entry(work: Workspace, scores: Mapping[str, Score]) -> NetworkEntry:
    """Return the manifest entry of the exported network."""
    return NetworkEntry(
        file=f"{NAME}.onnx",
        sha256=sha256_of(work.network(NAME)),
        input_layout=LAYOUT,
        block_px=STEM_PX,
        parameters={"glass_lightness": round(GLASS_LIGHTNESS, 4), "smoothing_px": SMOOTHING_PX},
        training_data=TRAINING_DATA,
        scores=dict(scores),
        symmetric=work.symmetric_entry(NAME),
    )


def export_stainer(work: Workspace) -> NetworkEntry:
    """Write the float file, the INT8 files and the entry of the trained network."""
    net = load_average(StainNet(), work.checkpoint(NAME))
    images = _calibration_images(work)
    export_float(net, images[0], _float_path(work), any_size=True)
    quantize(_float_path(work), work.network(NAME), images)
    quantize(_float_path(work), work.symmetric(NAME), images, symmetric=True)
    entry = stain_entry(work, {})
    work.write_entry(NAME, entry)
    return entry


def evaluate_stainer(work: Workspace) -> NetworkEntry:
    """Measure the exported network on the test donors; keep scores in the entry and the card."""
    entry = work.entry(NAME)
    donors = read_split(fields_folder(work), "test")
    shipped = Stainer(Network(work.folder, entry), entry)
    exact = Stainer(FloatNetwork(_float_path(work)), entry)
    scored = stain_entry(work, stain_scores(donors, shipped, exact))
    work.write_entry(NAME, scored)
    folder = work.folder / "cards"
    folder.mkdir(parents=True, exist_ok=True)
    tested = len(donors), sum(map(len, donors))
    text = card(scored, tested, real=work.has_real())
    (folder / f"{NAME}.md").write_text(text, encoding="utf-8")
    return scored


def publish_stainer(work_folder: Path, out: Path) -> Manifest:
    """Add the evaluated network to the manifest of ``out``, or replace the one there.

    Network files and card are copied, the known answers of all networks are recorded again; the
    other networks of the manifest stay as they are.
    """
    work = Workspace(work_folder)
    entry = work.entry(NAME)
    manifest = read_manifest(out)
    (out / "cards").mkdir(exist_ok=True)
    for file in (work.network(NAME), work.symmetric(NAME)):
        shutil.copyfile(file, out / file.name)
    shutil.copyfile(work.folder / "cards" / f"{NAME}.md", out / "cards" / f"{NAME}.md")
    together = manifest.model_copy(update={"networks": {**manifest.networks, NAME: entry}})
    published = known_answers.write(out, together)
    write_manifest(out, published)
    return published
