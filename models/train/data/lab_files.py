"""Tables and images of a laboratory's folder, read with errors that name file and line."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hal.errors import InputError

POINT_COLUMNS = ("x_um", "y_um")


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    path: Path
    line: int
    values: Mapping[str, str]

    def error(self, code: str, **values: Any) -> InputError:
        """Return an error that names file and line."""
        return InputError(code, path=self.path, line=self.line, **values)

    def number(self, column: str) -> float:
        """Return the number in a column."""
        text = self.values[column] or ""
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not np.isfinite(value):
            raise self.error("ANNOTATION-NUMBER", column=column, found=text)
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
        raise InputError("ANNOTATION-TABLE-UNREADABLE", path=path, reason=error) from error
    missing = [name for name in columns if name not in names]
    if missing:
        raise InputError(
            "ANNOTATION-COLUMN-MISSING",
            path=path,
            missing=", ".join(missing),
            columns=", ".join(columns),
        )
    return rows


def gray_image(path: Path, shape: tuple[int, ...] | None = None) -> NDArray[np.integer]:
    """Read a gray image, of a given shape if one is given."""
    if not path.is_file():
        raise InputError("ANNOTATION-IMAGE-MISSING", path=path)
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim != 2:
        raise InputError("ANNOTATION-IMAGE-NOT-GRAY", path=path)
    if shape is not None and image.shape != shape:
        raise InputError(
            "ANNOTATION-IMAGE-SIZE",
            path=path,
            width_px=image.shape[1],
            height_px=image.shape[0],
            expected_width_px=shape[1],
            expected_height_px=shape[0],
        )
    return np.asarray(image)


def points(path: Path) -> NDArray[np.float32] | None:
    """Return a list of centres (n, 2) in um; None where there is no list."""
    if not path.exists():
        return None
    rows = table(path, POINT_COLUMNS)
    places = [(row.number("x_um"), row.number("y_um")) for row in rows]
    return np.array(places, np.float32).reshape(-1, 2)
