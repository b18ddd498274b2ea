from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hal.sim.blood.donors import make_donor
from hal.sim.blood.smear import Smear
from hal.sim.optics.microscope import FieldTruth, VirtualMicroscope
from models.layout import BLANK_LEVEL
from models.manifest import read_manifest, sha256_of, write_manifest
from models.runtime import PACKAGE_DIRECTORY, ModelSet, load_models
from models.train.release.known_answers import FILE_NAME
from models.verify import read_answers

FIELD_PX = 640
PIXEL_UM = 0.165
CENTRE_UM = (36_000.0, 44_000.0)


@pytest.fixture(scope="session")
def models() -> ModelSet:
    return load_models()


@pytest.fixture
def copied_models(tmp_path: Path) -> Path:
    """A folder with the shipped networks, which are asked about two of the cells only."""
    for pattern in ("*.onnx", "*.npz", "manifest.json"):
        for path in PACKAGE_DIRECTORY.glob(pattern):
            shutil.copy(path, tmp_path)
    answers = read_answers(tmp_path, read_manifest(tmp_path))
    kinds = list(answers["classifier_classes"][answers["classifier_probabilities"].argmax(1)])
    asked = [kinds.index(kind) for kind in ("neutrophil", "lymphocyte")]
    cells = ("centres", "segmenter_masks", "classifier_probabilities")
    _change_answers(tmp_path, **{name: answers[name][asked] for name in cells})
    return tmp_path


@pytest.fixture
def change_answers() -> Callable[..., None]:
    return _change_answers


def _change_answers(folder: Path, **arrays: NDArray[Any]) -> None:
    """Replace known answers of a folder, and their hash in its manifest."""
    manifest = read_manifest(folder)
    path = folder / FILE_NAME
    np.savez(path, allow_pickle=False, **{**read_answers(folder, manifest), **arrays})
    assert manifest.known_answers is not None
    file = manifest.known_answers.model_copy(update={"sha256": sha256_of(path)})
    write_manifest(folder, manifest.model_copy(update={"known_answers": file}))


@pytest.fixture(scope="session")
def simulated_field() -> tuple[NDArray[np.uint8], FieldTruth]:
    """A field in focus with many white cells of all five types, of a donor no training saw."""
    types = ("neutrophil", "eosinophil", "basophil", "lymphocyte", "monocyte")
    donor = make_donor("healthy:42")
    smear = Smear(
        donor,
        white_cell_enrichment=1200.0 / donor.wbc_per_mm2,
        composition=dict.fromkeys(types, 1.0),
    )
    microscope = VirtualMicroscope(smear, width_px=FIELD_PX, height_px=FIELD_PX, pixel_um=PIXEL_UM)
    transmission = microscope.transmission(*CENTRE_UM, smear.focus_z_um(*CENTRE_UM))
    noise = np.random.default_rng(1).normal(0, 0.01, transmission.shape)
    gray = np.clip(np.round((transmission + noise) * BLANK_LEVEL), 0, 255).astype(np.uint8)
    return gray, microscope.truth(*CENTRE_UM)
