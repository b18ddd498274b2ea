"""Writes the known answers that travel with the networks; ``models.verify`` asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hal.sim.blood.donors import make_donor
from hal.sim.blood.smear import Smear
from hal.sim.optics.microscope import CellTruth, VirtualMicroscope
from models.answers import RECORD, Answers
from models.layout import BLANK_LEVEL
from models.manifest import FileEntry, Manifest, sha256_of
from models.verify import open_model

FILE_NAME = "known_answers.npz"
DONOR = "healthy:5004"
KINDS = ("neutrophil", "eosinophil", "basophil", "lymphocyte", "monocyte", "dead")
WHITE_CELLS_PER_MM2 = 1800.0
IMAGE_PX = 512
FIRST_PLACE_UM = (37_000.0, 44_000.0)
STEP_UM = 90.0
PLACES = 200
NOISE = 0.01
"""Standard deviation of the transmission, as in a bright frame of the camera."""


def test_image(pixel_um: float) -> dict[str, NDArray[np.generic]]:
    """Render a field in focus with whole cells of every kind.

    Returns:
        ``image``, uint8 (h, w), normalised, and ``centres``, int32 (n, 2), x_px and y_px of the
        whole white cells.
    """
    donor = make_donor(DONOR)
    smear = Smear(
        donor,
        white_cell_enrichment=WHITE_CELLS_PER_MM2 / donor.wbc_per_mm2,
        composition=dict.fromkeys(KINDS, 1.0),
    )
    microscope = VirtualMicroscope(smear, width_px=IMAGE_PX, height_px=IMAGE_PX, pixel_um=pixel_um)
    x_um, y_um, cells = _place_of_every_kind(microscope)
    transmission = microscope.transmission(x_um, y_um, smear.focus_z_um(x_um, y_um))
    noisy = transmission + np.random.default_rng(1).normal(0, NOISE, transmission.shape)
    boxes = np.array([cell.bbox_px for cell in cells])
    return {
        "image": np.clip(np.round(noisy * BLANK_LEVEL), 0, 255).astype(np.uint8),
        "centres": ((boxes[:, :2] + boxes[:, 2:]) // 2).astype(np.int32),
    }


def _place_of_every_kind(
    microscope: VirtualMicroscope,
) -> tuple[float, float, Sequence[CellTruth]]:
    """Return the first place, um, that shows whole cells of every kind, with its whole cells."""
    for number in range(PLACES):
        x_um, y_um = FIRST_PLACE_UM[0] + number * STEP_UM, FIRST_PLACE_UM[1]
        cells = [cell for cell in microscope.truth(x_um, y_um).cells if not cell.cut]
        if {cell.kind for cell in cells} >= set(KINDS):
            return x_um, y_um, cells
    raise RuntimeError(f"no place among {PLACES} of {DONOR} shows every kind of cell")


def write(directory: Path, manifest: Manifest) -> Manifest:
    """Ask the networks of a folder, keep their answers there, and return the manifest with them.

    Args:
        directory: with the files of all networks of the manifest.
        manifest: of these networks; its own file need not exist yet.

    Raises:
        ModelError: a network is missing or damaged.
    """
    answers: Answers = test_image(manifest.pixel_um)
    for name in manifest.networks:
        answers = {**answers, **RECORD[name](open_model(directory, name, manifest), answers)}
    path = directory / FILE_NAME
    np.savez_compressed(path, allow_pickle=False, **answers)
    file = FileEntry(file=FILE_NAME, sha256=sha256_of(path))
    return manifest.model_copy(update={"known_answers": file})
