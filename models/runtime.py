"""The shipped networks, verified and ready to run.

The networks take normalised images: ``clip(round(220 * T), 0, 255)`` with T the flat-fielded
transmission, at ``ModelSet.pixel_um``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from models.classifier import Classifier
from models.errors import ModelError
from models.manifest import read_manifest
from models.scout import Detections, Scout
from models.segmenter import Segmenter
from models.session import Network

__all__ = ["Classifier", "Detections", "ModelSet", "Scout", "Segmenter", "load_models"]

PACKAGE_DIRECTORY = Path(__file__).parent


@dataclass(frozen=True)
class ModelSet:
    """The three networks of the cascade; one set per worker thread.

    Attributes:
        scout: whole-tile detector.
        segmenter: outlines of the central cell of a crop.
        classifier: kind of the central cell of a crop.
        pixel_um: pixel size they expect.
        classes: names of the classifier's outputs, in order.
        versions: short hash of each network file, by name.
    """

    scout: Scout
    segmenter: Segmenter
    classifier: Classifier
    pixel_um: float
    classes: tuple[str, ...]
    versions: Mapping[str, str]


def load_models(directory: Path | None = None) -> ModelSet:
    """Open the networks of a folder; by default those that came with the software.

    Raises:
        ModelError: a file is missing, damaged, of unknown format, or its hash differs from the
            manifest.
    """
    folder = PACKAGE_DIRECTORY if directory is None else directory
    manifest = read_manifest(folder)
    entries = manifest.networks
    missing = {"scout", "segmenter", "classifier"} - set(entries)
    if missing:
        raise ModelError(
            f"The manifest lists no {', '.join(sorted(missing))}.",
            remedy="Install the software again.",
        )
    return ModelSet(
        scout=Scout(Network(folder, entries["scout"]), entries["scout"]),
        segmenter=Segmenter(Network(folder, entries["segmenter"]), entries["segmenter"]),
        classifier=Classifier(Network(folder, entries["classifier"]), entries["classifier"]),
        pixel_um=manifest.pixel_um,
        classes=manifest.classes,
        versions={name: entry.sha256[:12] for name, entry in entries.items()},
    )
