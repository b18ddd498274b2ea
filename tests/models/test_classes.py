"""The manifest alone says which output of the classifier is which class."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from device.analysis.cell_finder import CellFinder
from device.results.cell import CellKind
from device.settings.sections import AnalysisConfig
from hal.sim.optics.microscope import FieldTruth
from models.errors import AnswerError, ModelError
from models.manifest import MANIFEST_NAME, read_manifest
from models.runtime import ModelSet, load_models
from models.verify import load_tested_models, verify
from webui.cli.main import cli

NAMES = [kind.value for kind in CellKind]
SWAPPED = ["lymphocyte", "eosinophil", "basophil", "neutrophil", "monocyte", "dead", "other"]


def write_classes(folder: Path, classes: object) -> None:
    path = folder / MANIFEST_NAME
    content = json.loads(path.read_text(encoding="utf-8"))
    content["classes"] = classes
    path.write_text(json.dumps(content), encoding="utf-8")


def kinds_in(models: ModelSet, image: Any) -> list[CellKind]:
    found = CellFinder(models, AnalysisConfig()).find(image, models.scout.find(image).nuclei)
    return [cell.kind for cell in found]


@pytest.mark.slow
def test_names_swapped_in_a_copied_manifest_swap_what_the_cells_are_called(
    copied_models: Path, models: ModelSet, simulated_field: tuple[Any, FieldTruth]
) -> None:
    image, _ = simulated_field
    as_shipped = kinds_in(models, image)
    write_classes(copied_models, SWAPPED)
    renamed = dict(zip(NAMES, SWAPPED, strict=True))
    assert {"neutrophil", "lymphocyte"} & set(as_shipped)
    assert kinds_in(load_models(copied_models), image) == [renamed[kind] for kind in as_shipped]


def test_names_swapped_in_a_copied_manifest_do_not_verify(copied_models: Path) -> None:
    write_classes(copied_models, SWAPPED)
    with pytest.raises(AnswerError, match="classifier"):
        load_tested_models(directory=copied_models)
    result = CliRunner().invoke(cli, ["models", "verify", "--directory", str(copied_models)])
    assert result.exit_code == 4
    assert "MODEL-VERIFY-FAILED: classifier" in result.output


def test_a_network_with_its_outputs_in_another_order_verifies_if_the_manifest_says_so(
    copied_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_classes(copied_models, SWAPPED)
    models = load_models(copied_models)
    network = models.classifier._network
    run, order = network.run, [NAMES.index(name) for name in SWAPPED]
    monkeypatch.setattr(network, "run", lambda crops: np.ascontiguousarray(run(crops)[:, order]))
    monkeypatch.setattr("models.verify.load_models", lambda *_: models)
    assert load_tested_models(directory=copied_models) is models


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ([*NAMES, "blast"], "unknown: blast"),
        (NAMES[1:], "missing: neutrophil"),
        ([*NAMES, "dead"], "doubled: dead"),
        (["neutrophile", *NAMES[1:]], "unknown: neutrophile; missing: neutrophil"),
        ([], "missing: basophil, dead, eosinophil"),
    ],
)
def test_an_unknown_missing_or_doubled_name_is_refused(
    copied_models: Path, classes: Sequence[str], said: str
) -> None:
    write_classes(copied_models, classes)
    for use in (read_manifest, load_models, verify):
        with pytest.raises(ModelError, match=said) as caught:
            use(copied_models)
        assert caught.value.error_code == "MODEL-CLASSES"


@pytest.mark.parametrize("classes", [None, "neutrophil", [1, 2, 3], {"neutrophil": 0}])
def test_what_is_no_list_of_names_is_refused_by_the_key(
    copied_models: Path, classes: object
) -> None:
    write_classes(copied_models, classes)
    with pytest.raises(ModelError, match="classes"):
        read_manifest(copied_models)
