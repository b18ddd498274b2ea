"""Images from elsewhere: which files, what is in them, and the folders of a simulated scan."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from device.settings.numbers import parse_number
from hal.errors import InputError

SUFFIXES = (".png", ".tif", ".tiff")
SCAN_TABLE = "tiles.csv"
SCAN_BACKGROUND = "background.png"

GrayPixels = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True)
class ScanTile:
    """One row of a scan's table; the position is the centre of the tile in the stage frame."""

    path: Path
    x_um: float
    y_um: float
    z_um: float
    exposure_ms: float
    pixel_um: float


@dataclass(frozen=True)
class ScanFolder:
    """A folder as ``leukolux simulate`` writes it."""

    background: Path
    tiles: tuple[ScanTile, ...]


@dataclass(frozen=True)
class Sources:
    """What a list of paths stands for."""

    images: tuple[Path, ...]
    scans: tuple[ScanFolder, ...]


def collect(paths: Iterable[Path]) -> Sources:
    """Expand folders; a folder with a ``tiles.csv`` is a scan, any other a set of images.

    A file named twice counts once.

    Raises:
        InputError: a path does not exist, a folder holds no image, or a ``tiles.csv`` cannot be
            read.
    """
    images: dict[Path, Path] = {}
    scans: list[ScanFolder] = []
    for path in paths:
        if path.is_file():
            images.setdefault(path.resolve(), path)
        elif (path / SCAN_TABLE).is_file():
            scans.append(_read_scan(path))
        elif path.is_dir():
            inside = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
            if not inside:
                raise InputError("IMAGE-FOLDER-EMPTY", path=path, suffixes=", ".join(SUFFIXES))
            for file in inside:
                images.setdefault(file.resolve(), file)
        else:
            raise InputError("IMAGE-NOT-FOUND", path=path)
    return Sources(tuple(images.values()), tuple(scans))


def read_gray(path: Path) -> GrayPixels:
    """Read an 8- or 16-bit gray image, (height, width).

    Raises:
        InputError: the file is missing, damaged, in colour, of another depth, or has many pages.
    """
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise InputError("IMAGE-UNREADABLE", path=path, reason=error.strerror) from error
    pages = _decode(data, path)
    if len(pages) > 1:
        raise InputError("IMAGE-PAGES", path=path, pages=len(pages))
    pixels = pages[0]
    if pixels.ndim != 2:
        raise InputError("IMAGE-COLOUR", path=path)
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint8, copy=False)
    if pixels.dtype == np.uint16:
        return pixels.astype(np.uint16, copy=False)
    raise InputError("IMAGE-PIXEL-TYPE", path=path, found=pixels.dtype)


def _decode(data: NDArray[np.uint8], path: Path) -> Sequence[NDArray[np.generic]]:
    try:
        read, pages = cv2.imdecodemulti(data, cv2.IMREAD_UNCHANGED) if data.size else (False, ())
    except cv2.error:
        read, pages = False, ()
    if not read or not pages:
        raise InputError("IMAGE-FORMAT", path=path)
    return [np.asarray(page) for page in pages]


def _read_scan(folder: Path) -> ScanFolder:
    table = folder / SCAN_TABLE
    background = folder / SCAN_BACKGROUND
    if not background.is_file():
        raise InputError(
            "IMAGE-SCAN-BACKGROUND", folder=folder, table=SCAN_TABLE, background=SCAN_BACKGROUND
        )
    try:
        with table.open(encoding="utf-8", newline="") as file:
            tiles = tuple(_scan_tile(folder, row) for row in csv.DictReader(file))
    except (OSError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise InputError("IMAGE-SCAN-TABLE", path=table, reason=repr(error)) from error
    return ScanFolder(background, tiles)


def _scan_tile(folder: Path, row: dict[str, str]) -> ScanTile:
    return ScanTile(
        path=folder / row["file"],
        x_um=parse_number(row["x_um"]),
        y_um=parse_number(row["y_um"]),
        z_um=parse_number(row["z_um"]),
        exposure_ms=parse_number(row["exposure_ms"]),
        pixel_um=parse_number(row["pixel_um"]),
    )
