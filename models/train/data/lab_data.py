"""Samples from a laboratory's own annotated scans, split by donor.

A folder with a ``tiles.csv`` is one scan of the donor after whom it is named; in any other
folder every folder below it with a ``tiles.csv`` is a scan, of the donor after whom the first
folder on the way is named.  Scans of one donor stay together.
"""

from __future__ import annotations

import csv
import hashlib
import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from hal.errors import InputError
from models.train.data.lab import TILE_TABLE, field_set, read_scan
from models.train.data.lab_files import table
from models.train.data.samples import CropSet

SPLITS = ("train", "val", "test")
TRAIN_SHARE, VAL_SHARE = 0.70, 0.15
SPLIT_TABLE = "split.csv"


def scans_of(roots: Iterable[Path]) -> dict[str, list[Path]]:
    """Return the folders of the scans of each donor.

    Raises:
        InputError: a folder holds no scan.
    """
    scans: dict[str, list[Path]] = defaultdict(list)
    for root in roots:
        tables = sorted(root.rglob(TILE_TABLE))
        if not tables:
            raise InputError("ANNOTATION-SCAN-MISSING", table=TILE_TABLE, folder=root)
        for path in tables:
            way = path.parent.relative_to(root).parts
            scans[way[0] if way else root.resolve().name].append(path.parent)
    return dict(scans)


def split_of(donor: str, seed: int) -> str:
    """Return the split that a donor's name and the seed give: 70 % train, 15 % val, 15 % test."""
    digest = hashlib.sha256(f"{seed}/{donor}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < TRAIN_SHARE:
        return "train"
    return "val" if place < TRAIN_SHARE + VAL_SHARE else "test"


def assigned(path: Path, donors: Iterable[str], seed: int) -> dict[str, str]:
    """Return the split of each donor in ``path``, and of each other donor by its name.

    Raises:
        InputError: the table names another split.
    """
    written = {}
    for row in table(path, ("donor", "split")) if path.exists() else ():
        if row.values["split"] not in SPLITS:
            raise row.error(
                "ANNOTATION-SPLIT-UNKNOWN", found=row.values["split"], splits=", ".join(SPLITS)
            )
        written[row.values["donor"]] = row.values["split"]
    return {donor: split_of(donor, seed) for donor in sorted(donors)} | written


def write_lab(folder: Path, roots: Sequence[Path], seed: int) -> dict[str, int]:
    """Write ``<split>/<donor>.cells.npz`` and ``.fields.npz`` per donor, and ``split.csv``.

    Samples of an earlier call are replaced; its splits stay, also where a person edited them.

    Args:
        folder: for the samples.
        roots: folders of scans.
        seed: of the splits of new donors and of the crops without white cells.

    Returns:
        number of donors in each split.

    Raises:
        InputError: a scan cannot be read.
    """
    scans = scans_of(roots)
    splits = assigned(folder / SPLIT_TABLE, scans, seed)
    folder.mkdir(parents=True, exist_ok=True)
    _write_splits(folder / SPLIT_TABLE, splits)
    for split in SPLITS:
        shutil.rmtree(folder / split, ignore_errors=True)
    for donor, paths in tqdm(sorted(scans.items()), desc="laboratory", mininterval=5):
        tiles = [tile for path in paths for tile in read_scan(path)]
        rng = np.random.default_rng([seed, *donor.encode()])
        sets = [crops for tile in tiles if (crops := tile.crops(donor, rng)) is not None]
        stem = folder / splits[donor] / donor
        if sets:
            CropSet.join(sets).save(stem.with_name(f"{donor}.cells.npz"))
        field_set(tiles, donor).save(stem.with_name(f"{donor}.fields.npz"))
    return {split: sum(splits[donor] == split for donor in scans) for split in SPLITS}


def _write_splits(path: Path, splits: Mapping[str, str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("donor", "split"))
        writer.writerows(splits.items())
