"""The working folder of a training: data, checkpoints and network files before they ship."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hal.errors import InputError
from models.classifier import Classifier
from models.manifest import FileEntry, NetworkEntry, sha256_of
from models.scout import Scout
from models.segmenter import Segmenter
from models.session import Network
from models.train.data import real, simulated
from models.train.data.lab_data import SPLIT_TABLE, SPLITS, write_lab
from models.train.data.samples import CLASSES, CropSet, FieldSet

CALIBRATION_EVERY = 12
"""Every n-th real training image is kept out of training, to calibrate on."""

MINED = "mined.npz"


@dataclass(frozen=True)
class Plan:
    """How much of everything to make.

    Attributes:
        train_donors: simulated donors to train on.
        val_donors: simulated donors to choose thresholds and temperature on.
        test_donors: simulated donors to report on.
        tiles: fields per donor.
        seed: of everything drawn at random.
        labs: folders of a laboratory's own annotated scans.
    """

    train_donors: int = 200
    val_donors: int = 24
    test_donors: int = 64
    tiles: int = 5
    seed: int = 1
    labs: tuple[Path, ...] = ()

    def donors(self) -> dict[str, int]:
        """Return the number of simulated donors per split."""
        counts = (self.train_donors, self.val_donors, self.test_donors)
        return dict(zip(SPLITS, counts, strict=True))


@dataclass(frozen=True)
class Workspace:
    """Where everything lies below one folder."""

    folder: Path

    def simulated(self) -> Path:
        """Folder of the simulated samples."""
        return self.folder / "simulated"

    def lab(self) -> Path:
        """Folder of the samples of laboratories."""
        return self.folder / "lab"

    def domains(self, split: str) -> dict[str, Path]:
        """Return the folders that hold samples of a split, by what they show.

        Raises:
            InputError: nothing was found.
        """
        folders = {"simulated": self.simulated(), "laboratory": self.lab()}
        found = {
            name: folder
            for name, folder in folders.items()
            if next((folder / split).glob("*.cells.npz"), None) is not None
        }
        if not found:
            raise InputError("TRAIN-SAMPLES-MISSING", split=split, folder=self.folder)
        return found

    def real(self, name: str) -> Path:
        """File of real samples."""
        return self.folder / "real" / f"{name}.npz"

    def has_real(self) -> bool:
        """Whether real samples were made."""
        return self.real("cells_train").exists()

    def checkpoint(self, network: str) -> Path:
        """Checkpoint of a network's training."""
        return self.folder / "checkpoints" / f"{network}.pt"

    def network(self, network: str) -> Path:
        """INT8 file of a network."""
        return self.folder / f"{network}.onnx"

    def symmetric(self, network: str) -> Path:
        """INT8 file of a network for TensorRT."""
        return self.folder / f"{network}.tensorrt.onnx"

    def symmetric_entry(self, network: str) -> FileEntry:
        """Name and hash of the INT8 file for TensorRT."""
        path = self.symmetric(network)
        return FileEntry(file=path.name, sha256=sha256_of(path))

    def entry(self, network: str) -> NetworkEntry:
        """Manifest entry of an exported network.

        Raises:
            InputError: it has not been exported yet.
        """
        path = self.folder / f"{network}.json"
        if not path.exists():
            raise InputError("TRAIN-EXPORT-MISSING", path=path, network=network)
        return NetworkEntry.model_validate_json(path.read_text(encoding="utf-8"))

    def write_entry(self, network: str, entry: NetworkEntry) -> None:
        """Keep the manifest entry of an exported network."""
        path = self.folder / f"{network}.json"
        path.write_text(entry.model_dump_json(indent=2), encoding="utf-8")

    def scout(self) -> Scout:
        """Open the exported scout."""
        entry = self.entry("scout")
        return Scout(Network(self.folder, entry), entry)

    def segmenter(self) -> Segmenter:
        """Open the exported segmenter."""
        entry = self.entry("segmenter")
        return Segmenter(Network(self.folder, entry), entry)

    def classifier(self) -> Classifier:
        """Open the exported classifier."""
        entry = self.entry("classifier")
        return Classifier(Network(self.folder, entry), entry, CLASSES)

    def real_cells(self, names: Sequence[str]) -> CropSet:
        """Return real crops of several files as one set."""
        return CropSet.join([CropSet.load(self.real(name)) for name in names])

    def fields(self, split: str) -> FieldSet:
        """Return the simulated and the laboratories' fields of a split."""
        folders = self.domains(split).values()
        return FieldSet.join([simulated.read_fields(folder, split) for folder in folders])

    def cells(self, split: str) -> CropSet:
        """Return the simulated and the laboratories' crops of a split."""
        sets = [simulated.read_cells(folder, split) for folder in self.domains(split).values()]
        return sets[0] if len(sets) == 1 else CropSet.join(sets)


def make_data(work: Workspace, plan: Plan, real_root: Path | None) -> None:
    """Write the samples: simulated ones, those of laboratories and, from a folder, real ones.

    Raises:
        InputError: a split would stay without donors, or a folder cannot be read.
    """
    lab_donors = dict.fromkeys(SPLITS, 0)
    if plan.labs:
        lab_donors = write_lab(work.lab(), plan.labs, plan.seed)
        (work.simulated() / MINED).unlink(missing_ok=True)
    for split, donors in plan.donors().items():
        if donors + lab_donors[split] == 0:
            raise InputError("TRAIN-SPLIT-EMPTY", split=split, path=work.lab() / SPLIT_TABLE)
    for split, donors in plan.donors().items():
        simulated.write_split(work.simulated(), split, donors, plan.tiles)
    if real_root is not None:
        _make_real_data(work, plan, real_root)


def _make_real_data(work: Workspace, plan: Plan, root: Path) -> None:
    def many() -> real.Versions:
        return real.randomised(real.CONVERSIONS, plan.seed)

    plain = real.randomised(1, plan.seed)
    real.field_cells(root, "train", many()).save(work.real("field_cells_train"))
    real.field_cells(root, "val", plain).save(work.real("field_cells_val"))
    real.stained_fields(root, "train", many()).save(work.real("fields_train"))
    real.stained_fields(root, "val", plain).save(work.real("fields_val"))
    real.single_cells(root, "val", plain).save(work.real("cells_val"))
    train = real.single_cells(root, "train", many())
    held_out = np.arange(len(train)) % CALIBRATION_EVERY == 0
    train.select(held_out).save(work.real("cells_calibration"))
    train.select(~held_out).save(work.real("cells_train"))
