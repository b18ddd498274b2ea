"""Tables and images of a laboratory's folder, read with errors that name file and line."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hal.errors import InputError

POINT_COLUMNS = ("x_um", "y_um")
CODE = "INPUT-LAB"


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    path: Path
    line: int
    values: Mapping[str, str]

    def error(self, what: str, remedy: str) -> InputError:
        """Return an error that names file and line."""
        return InputError(f"{self.path}, line {self.line}: {what}.", remedy=remedy, code=CODE)

    def number(self, column: str) -> float:
        """Return the number in a column."""
        text = self.values[column] or ""
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not np.isfinite(value):
            raise self.error(f"{column} is {text!r}, no number", "Write a decimal number.")
        return value


def table(path: Path, columns: Sequence[str]) -> list[Row]:
    """Return the lines of a table.

    Raises:
        InputError: it is missing, no text, or has not all ``columns``.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            rows = [Row(path, reader.line_num, values) for values in reader]
            names = reader.fieldnames or ()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{path} cannot be read: {error}.",
            remedy="A laboratory's folder has the files that `leukolux simulate` writes.",
            code=CODE,
        ) from error
    missing = [name for name in columns if name not in names]
    if missing:
        raise InputError(
            f"{path}, line 1: there is no column {', '.join(missing)}.",
            remedy=f"The columns needed are {', '.join(columns)}.",
            code=CODE,
        )
    return rows


def gray_image(path: Path, shape: tuple[int, ...] | None = None) -> NDArray[np.integer]:
    """Read a gray image, of a given shape if one is given."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.is_file() else None
    if image is None or image.ndim != 2:
        what = "is no gray image" if path.is_file() else "is missing"
        raise InputError(
            f"{path} {what}.", remedy="Write an 8- or 16-bit gray PNG with this name.", code=CODE
        )
    if shape is not None and image.shape != shape:
        raise InputError(
            f"{path} is {image.shape[1]}x{image.shape[0]} px, its tile {shape[1]}x{shape[0]} px.",
            remedy="Background, tile, labels and instances are of one size.",
            code=CODE,
        )
    return np.asarray(image)


def points(path: Path) -> NDArray[np.float32] | None:
    """Return a list of centres (n, 2) in um; None where there is no list."""
    if not path.exists():
        return None
    rows = table(path, POINT_COLUMNS)
    places = [(row.number("x_um"), row.number("y_um")) for row in rows]
    return np.array(places, np.float32).reshape(-1, 2)
