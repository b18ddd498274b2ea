"""Known-answer test: do the networks still say what they said when they were made?

The hash of a file shows that it is the one that shipped.  It does not show that this processor,
this runtime and this preparation of images give the answers that were measured.  So a small image
travels with the networks, together with what each of them made of it.

Decisions are compared (centres, outlines, probabilities), not numbers bit by bit: integer kernels
of other processors round otherwise, and those without INT8 dot products saturate.
"""

from __future__ import annotations

import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.answers import COMPARE, RECORD, Answers
from models.classifier import Classifier
from models.errors import AnswerError, ModelError
from models.manifest import Manifest, NetworkEntry, read_manifest, verified_file
from models.providers import Provider, WantedProvider
from models.runtime import (
    CASCADE,
    PACKAGE_DIRECTORY,
    ModelSet,
    cascade_entries,
    choose_execution,
    load_models,
)
from models.scout import Scout
from models.segmenter import Segmenter
from models.session import Network
from models.stainer import Stainer

_OPEN: Mapping[str, Callable[[Network, NetworkEntry, Manifest], Any]] = {
    "scout": lambda network, entry, _: Scout(network, entry),
    "segmenter": lambda network, entry, _: Segmenter(network, entry),
    "classifier": lambda network, entry, manifest: Classifier(network, entry, manifest.classes),
    "stainer": lambda network, entry, _: Stainer(network, entry),
}


@dataclass(frozen=True)
class Verdict:
    """Outcome of the test of one network.

    Attributes:
        ok: whether its answers are those that were recorded.
        detail: how near they come, or why the network gave no answers.
        time_ms: what they took.
    """

    ok: bool
    detail: str
    time_ms: float


@dataclass(frozen=True)
class NetworkReport:
    """What is known of one network of a folder.

    Attributes:
        name: in the manifest.
        file: in the folder.
        version: short hash by the manifest.
        size_bytes: of the file; 0 when it is missing.
        provider: what ran it.
        verdict: of its test.
    """

    name: str
    file: str
    version: str
    size_bytes: int
    provider: Provider
    verdict: Verdict


def read_answers(directory: Path, manifest: Manifest) -> Answers:
    """Return the arrays of the known answers of a folder, by name.

    Raises:
        ModelError: the manifest does not list them, or their file is missing or damaged.
    """
    if manifest.known_answers is None:
        raise ModelError("MODEL-ANSWERS-NOT-LISTED")
    path = verified_file(directory, manifest.known_answers)
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ModelError("MODEL-ANSWERS-UNREADABLE", file=path.name, reason=error) from error


def open_model(
    directory: Path, name: str, manifest: Manifest, provider: Provider = Provider.CPU
) -> Any:
    """Open one network of a folder in its wrapper.  Raises ModelError as :class:`Network`."""
    entry = manifest.networks[name]
    return _OPEN[name](Network(directory, entry, provider), entry, manifest)


def examine(name: str, model: Any, answers: Answers) -> Verdict:
    """Compare what an opened network says now with the known answers."""
    start_s = time.perf_counter()
    found = RECORD[name](model, answers)
    time_ms = 1000 * (time.perf_counter() - start_s)
    ok, detail = COMPARE[name](answers, found)
    return Verdict(ok, detail, time_ms)


def load_tested_models(
    provider: WantedProvider = "auto", directory: Path | None = None
) -> ModelSet:
    """Open the networks as :func:`load_models` and put them to the test.

    Raises:
        AnswerError: a network gives other answers than recorded.
        ModelError: as :func:`load_models` and :func:`read_answers`.
    """
    folder = PACKAGE_DIRECTORY if directory is None else directory
    models = load_models(folder, provider)
    answers = read_answers(folder, read_manifest(folder))
    for name in CASCADE:
        verdict = examine(name, getattr(models, name), answers)
        if not verdict.ok:
            raise AnswerError(
                "MODEL-ANSWER",
                network=name,
                provider=models.execution.provider,
                difference=verdict.detail,
            )
    return models


def verify(
    directory: Path | None = None, provider: WantedProvider = "auto"
) -> tuple[NetworkReport, ...]:
    """Check hash and answers of every network of a folder.

    Raises:
        ModelError: manifest or known answers are missing or damaged; what is wrong with a network
            is in its report.
    """
    folder = PACKAGE_DIRECTORY if directory is None else directory
    manifest = read_manifest(folder)
    answers = read_answers(folder, manifest)
    chosen = choose_execution(provider, cascade_entries(manifest)).provider
    # What does not count runs on the CPU, as in use.
    places = {name: chosen if name in CASCADE else Provider.CPU for name in manifest.networks}
    return tuple(
        NetworkReport(
            name=name,
            file=entry.file,
            version=entry.sha256[:12],
            size_bytes=_size_bytes(folder / entry.file),
            provider=places[name],
            verdict=_verdict(folder, name, manifest, places[name], answers),
        )
        for name, entry in manifest.networks.items()
    )


def _size_bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _verdict(
    folder: Path, name: str, manifest: Manifest, provider: Provider, answers: Answers
) -> Verdict:
    if not any(key.startswith(f"{name}_") for key in answers):
        return Verdict(ok=False, detail="no answer of this network is recorded", time_ms=0.0)
    try:
        return examine(name, open_model(folder, name, manifest, provider), answers)
    except ModelError as error:
        return Verdict(ok=False, detail=error.cause, time_ms=0.0)
