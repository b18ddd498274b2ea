"""The shipped networks, verified and ready to run.

The networks take normalised images: ``clip(round(220 * T), 0, 255)`` with T the flat-fielded
transmission, at ``ModelSet.pixel_um``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from models.classifier import Classifier
from models.errors import ModelError, ProviderError
from models.manifest import Manifest, NetworkEntry, read_manifest
from models.providers import (
    ON_CPU,
    Execution,
    Provider,
    WantedProvider,
    choose_provider,
    memory_gb,
)
from models.scout import Detections, Scout
from models.segmenter import Segmenter
from models.session import RUNTIME, Network, available_providers

__all__ = ["Classifier", "Detections", "ModelSet", "Scout", "Segmenter", "load_models"]

log = logging.getLogger(__name__)

PACKAGE_DIRECTORY = Path(__file__).parent
CASCADE = ("scout", "segmenter", "classifier")


@dataclass(frozen=True)
class ModelSet:
    """The three networks of the cascade; one set per worker thread.

    Attributes:
        scout: whole-tile detector.
        segmenter: outlines of the central cell of a crop.
        classifier: kind of the central cell of a crop.
        pixel_um: pixel size they expect.
        versions: short hash of each of these network files by name, and ``runtime``: what ran
            them.
        execution: where they run.
    """

    scout: Scout
    segmenter: Segmenter
    classifier: Classifier
    pixel_um: float
    versions: Mapping[str, str]
    execution: Execution = ON_CPU


def load_models(directory: Path | None = None, provider: WantedProvider = "auto") -> ModelSet:
    """Open the networks of a folder; by default those that came with the software.

    A faster provider that does not open them all is given up for the CPU with a warning.

    Raises:
        ModelError: a file is missing, damaged, of unknown format, or its hash differs from the
            manifest.
    """
    folder = PACKAGE_DIRECTORY if directory is None else directory
    manifest = read_manifest(folder)
    entries = cascade_entries(manifest)
    execution = choose_execution(provider, entries)
    try:
        networks = _open(folder, entries, execution.provider)
    except ProviderError as error:
        log.warning("%s The CPU takes over.", error.cause)
        passed_over = (*execution.passed_over, f"{execution.provider} failed")
        execution = Execution(Provider.CPU, passed_over)
        networks = _open(folder, entries, Provider.CPU)
    return ModelSet(
        scout=Scout(networks["scout"], entries["scout"]),
        segmenter=Segmenter(networks["segmenter"], entries["segmenter"]),
        classifier=Classifier(networks["classifier"], entries["classifier"], manifest.classes),
        pixel_um=manifest.pixel_um,
        versions={name: entry.sha256[:12] for name, entry in entries.items()}
        | {"runtime": f"{RUNTIME}, {execution.provider}"},
        execution=execution,
    )


def cascade_entries(manifest: Manifest) -> dict[str, NetworkEntry]:
    """Return the entries of the networks that count; raise ModelError when one is missing."""
    missing = set(CASCADE) - set(manifest.networks)
    if missing:
        raise ModelError("MODEL-NOT-LISTED", networks=", ".join(sorted(missing)))
    return {name: manifest.networks[name] for name in CASCADE}


def choose_execution(wanted: WantedProvider, entries: Mapping[str, NetworkEntry]) -> Execution:
    """Return where these networks are to run on this computer.

    Logs a warning when that is not what was wanted.
    """
    symmetric = all(entry.symmetric is not None for entry in entries.values())
    execution = choose_provider(wanted, available_providers(), memory_gb(), symmetric=symmetric)
    if wanted not in ("auto", execution.provider.lower()):
        log.warning("%s: the CPU runs the networks.", execution.passed_over[-1])
    return execution


def builds_engines(wanted: WantedProvider) -> bool:
    """Return whether opening the networks may take minutes, because TensorRT prepares itself."""
    execution = choose_provider(wanted, available_providers(), memory_gb(), symmetric=True)
    return execution.provider is Provider.TENSORRT


def _open(
    folder: Path, entries: Mapping[str, NetworkEntry], provider: Provider
) -> dict[str, Network]:
    return {name: Network(folder, entry, provider) for name, entry in entries.items()}
