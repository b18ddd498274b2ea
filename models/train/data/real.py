"""Real cells: stained public images turned into UV-like samples.

Expected folder: ``pbc/{train,val}/<class>/*.jpg`` (Acevedo et al. 2020), ``bccd/{images,masks}``
with ``split.csv`` and ``wbc_types.csv`` (BCCD_Dataset; masks Banik et al. 2020), ``rbc_fields``
with ``boxes.csv`` (Aslan 2020).
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from hal.errors import InputError
from models.layout import BLANK_LEVEL
from models.train.data.conversions import unmix, uv_like
from models.train.data.pseudo_masks import PIXEL_AREA_UM2, PIXEL_UM, pseudo_labels
from models.train.data.samples import (
    CELL_KNOWN,
    CLASSES,
    NUCLEUS_KNOWN,
    STORED_CROP_PX,
    UNKNOWN_CLASS,
    CropSet,
    FieldSet,
    cut,
)

PBC_PIXEL_UM = 0.10
BCCD_PIXEL_UM = 0.078
RBC_FIELDS_PIXEL_UM = 0.165
CONVERSIONS = 3
OTHER = ("ig", "erythroblast", "platelet")
MASK_NUCLEUS = 255

Versions = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""From a BGR image (h, w, 3) to UV-like images (v, h, w), all uint8."""


def _read(path: Path, pixel_um: float) -> NDArray[np.uint8]:
    """Read a BGR image and resample it to the networks' pixel size."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise InputError("TRAIN-REAL-IMAGE-UNREADABLE", path=path)
    scale = pixel_um / PIXEL_UM
    return np.asarray(
        cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
    )


def _read_mask(path: Path) -> NDArray[np.uint8]:
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise InputError("TRAIN-REAL-MASK-UNREADABLE", path=path)
    return np.asarray(mask, np.uint8)


def _shrunk(mask: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the mask at a coarser pixel size: pixels of which it covers more than half."""
    size = (shape[1], shape[0])
    return np.asarray(
        cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.5, bool
    )


def randomised(count: int, seed: int) -> Versions:
    """Return what makes ``count`` UV-like images of one; a single one is the plain formula."""
    rng = np.random.default_rng(seed)

    def versions(image_bgr: NDArray[np.uint8]) -> NDArray[np.uint8]:
        maps = unmix(image_bgr)
        if count == 1:
            return uv_like(maps)[None]
        return np.stack([uv_like(maps, rng) for _ in range(count)])

    return versions


def _centred(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pad a single-cell picture to the stored size, or cut it, around its middle."""
    missing = [max(STORED_CROP_PX - size, 0) for size in image.shape[:2]]
    padded = cv2.copyMakeBorder(
        image,
        missing[0] // 2,
        missing[0] - missing[0] // 2,
        missing[1] // 2,
        missing[1] - missing[1] // 2,
        cv2.BORDER_REPLICATE,
    )
    y0, x0 = ((size - STORED_CROP_PX) // 2 for size in padded.shape[:2])
    return np.asarray(padded[y0 : y0 + STORED_CROP_PX, x0 : x0 + STORED_CROP_PX], np.uint8)


def single_pictures(
    root: Path, split: str, scale: float = 1.0
) -> Iterator[tuple[Path, int, NDArray[np.uint8]]]:
    """Yield path, class index and BGR image of each single-cell picture of a split.

    Args:
        root: the folder of stained images.
        split: train or val.
        scale: by which the cells are drawn larger than they are.

    Raises:
        InputError: nothing was found.
    """
    paths = sorted((root / "pbc" / split).glob("*/*.jpg"))
    if not paths:
        raise InputError("TRAIN-REAL-IMAGES-MISSING", folder=root / "pbc" / split)
    for path in paths:
        name = path.parent.name
        kind = CLASSES.index("other" if name in OTHER else name)
        yield path, kind, _centred(_read(path, PBC_PIXEL_UM * scale))


def single_cells(root: Path, split: str, versions: Versions) -> CropSet:
    """Return the single-cell pictures of ``split`` (train or val) with pseudo masks."""
    rows: list[tuple[NDArray[np.uint8], NDArray[np.uint8], int, int, str]] = []
    pictures = single_pictures(root, split)
    for path, kind, image in tqdm(pictures, desc=f"single cells, {split}", mininterval=5):
        name = path.parent.name
        if name == "platelet":
            labels, known = np.zeros(image.shape[:2], np.uint8), CELL_KNOWN | NUCLEUS_KNOWN
        else:
            labels, known = pseudo_labels(image, unmix(image), name)
        rows.append((versions(image), labels, known, kind, path.stem))
    return _crop_set(rows)


def _crop_set(
    rows: list[tuple[NDArray[np.uint8], NDArray[np.uint8], int, int, str]],
) -> CropSet:
    gray, labels, known, kind, group = zip(*rows, strict=True)
    return CropSet(
        np.stack(gray),
        np.stack(labels),
        np.array(known, np.uint8),
        np.array(kind, np.uint8),
        np.array(group),
    )


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def _stained_fields(
    root: Path, split: str, scale: float
) -> Iterator[tuple[str, NDArray[np.uint8], NDArray[np.uint8], int]]:
    """Yield name, BGR image, labels 0/1/2 and class index of each whole field of a split."""
    kinds = {row["field"]: row["types"] for row in _table(root / "bccd" / "wbc_types.csv")}
    for row in _table(root / "bccd" / "split.csv"):
        if row["split"] != split:
            continue
        name = row["field"]
        image = _read(root / "bccd" / "images" / f"{name}.jpg", BCCD_PIXEL_UM * scale)
        mask = _read_mask(root / "bccd" / "masks" / f"{name}.png")
        cell = _shrunk(mask > 0, image.shape[:2])
        nucleus = _shrunk(mask == MASK_NUCLEUS, image.shape[:2]) & cell
        labels = cell.astype(np.uint8) + nucleus.astype(np.uint8)
        kind = kinds.get(name, "")
        yield name, image, labels, CLASSES.index(kind) if kind in CLASSES else UNKNOWN_CLASS


def _components(
    labels: NDArray[np.uint8], least_um2: float
) -> list[tuple[NDArray[np.uint8], float, float]]:
    """Return labels, centre x_px and y_px of each connected cell of a field."""
    count, label, stats, centroids = cv2.connectedComponentsWithStats((labels > 0).astype(np.uint8))
    return [
        (
            np.where(label == i, labels, 0).astype(np.uint8),
            float(centroids[i, 0]),
            float(centroids[i, 1]),
        )
        for i in range(1, count)
        if stats[i, cv2.CC_STAT_AREA] * PIXEL_AREA_UM2 >= least_um2
    ]


def field_cells(root: Path, split: str, versions: Versions, scale: float = 1.0) -> CropSet:
    """Return the white cells of the annotated stained fields, with their drawn masks."""
    rows: list[tuple[NDArray[np.uint8], NDArray[np.uint8], int, int, str]] = []
    for name, image, labels, kind in _stained_fields(root, split, scale):
        grays = versions(image)
        cells = _components(labels, least_um2=30.0)
        for own, x, y in cells:
            edge = np.concatenate([own[0], own[-1], own[:, 0], own[:, -1]])
            if np.count_nonzero(edge) > 12:
                continue
            crops = [cut(gray, x, y, STORED_CROP_PX, BLANK_LEVEL) for gray in grays]
            sole = kind if len(cells) == 1 else UNKNOWN_CLASS
            own_crop = cut(own, x, y, STORED_CROP_PX, 0)
            rows.append((np.stack(crops), own_crop, CELL_KNOWN | NUCLEUS_KNOWN, sole, name))
    return _crop_set(rows)


def _box_centres(rows: list[dict[str, str]], kind: str) -> NDArray[np.float32]:
    centres = [
        ((float(row["x0"]) + float(row["x1"])) / 2, (float(row["y0"]) + float(row["y1"])) / 2)
        for row in rows
        if row["kind"] == kind
    ]
    return np.array(centres, np.float32).reshape(-1, 2)


def stained_fields(root: Path, split: str, versions: Versions, scale: float = 1.0) -> FieldSet:
    """Return whole stained fields with the centres of white cells for the scout.

    Red-cell lists of these fields are incomplete, so they count as unknown, except in the
    red-cell fields, which belong to the training split.
    """
    out = FieldSet([], [], [], [], [], [], [], [])
    nothing = np.zeros((0, 2), np.float32)

    def add(gray: NDArray[np.uint8], nuclei: NDArray[np.float32], name: str) -> None:
        out.gray.append(gray)
        out.nuclei.append(nuclei)
        out.platelets.append(nothing)
        out.platelets_known.append(False)
        out.in_focus.append(float("nan"))
        out.group.append(name)

    for name, image, labels, _ in _stained_fields(root, split, scale):
        centres = [(x, y) for _, x, y in _components(labels, least_um2=10.0)]
        for gray in versions(image):
            add(gray, np.array(centres, np.float32).reshape(-1, 2), name)
            out.red_cells.append(nothing)
            out.red_cells_known.append(False)
    if split != "train":
        return out
    boxes: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in _table(root / "rbc_fields" / "boxes.csv"):
        boxes[row["image"]].append(row)
    for name, rows in sorted(boxes.items()):
        for gray in versions(_read(root / "rbc_fields" / "images" / name, RBC_FIELDS_PIXEL_UM)):
            add(gray, _box_centres(rows, "wbc"), name)
            out.red_cells.append(_box_centres(rows, "rbc"))
            out.red_cells_known.append(True)
    return out
