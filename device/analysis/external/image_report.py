"""What ``leukolux analyze`` writes: ``cells.csv``, masks and ``differential.json``."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from device.analysis.cell_finder import FoundCell
from device.results.cell import CellKind
from device.results.differential import Differential
from hal.errors import InputError, LeukoluxError

CELLS_NAME = "cells.csv"
DIFFERENTIAL_NAME = "differential.json"
MASKS_NAME = "masks"


@dataclass(frozen=True)
class CellRow:
    """One row of ``cells.csv``; pixels are those of the file, positions start at its corner.

    In a scan ``x_um`` and ``y_um`` are in the stage frame, else in that of the image.
    """

    file: str
    mask: str
    x_px: float
    y_px: float
    bbox_px: tuple[int, int, int, int]
    kind: CellKind
    identified: bool
    probabilities: Mapping[CellKind, float]
    area_um2: float
    nucleus_area_um2: float
    cut: bool
    x_um: float
    y_um: float

    def as_columns(self, number: int) -> dict[str, str | int | float]:
        """Return the row by column name; ``number`` counts the cells of the output from 1."""
        x0, y0, x1, y1 = self.bbox_px
        return {
            "file": self.file,
            "cell": number,
            "x_px": round(self.x_px, 2),
            "y_px": round(self.y_px, 2),
            "x0": x0,
            "y0": y0,
            "x1": x1,
            "y1": y1,
            "kind": self.kind.value,
            "unidentified": int(not self.identified),
            **{f"p_{kind.value}": round(self.probabilities[kind], 5) for kind in CellKind},
            "area_um2": round(self.area_um2, 2),
            "nucleus_area_um2": round(self.nucleus_area_um2, 2),
            "cut": int(self.cut),
            "x_um": round(self.x_um, 3),
            "y_um": round(self.y_um, 3),
            "mask": self.mask,
        }


COLUMNS = tuple(
    CellRow(
        "", "", 0, 0, (0, 0, 0, 0), CellKind.OTHER, False, dict.fromkeys(CellKind, 0.0), 0, 0,
        False, 0, 0,
    ).as_columns(0)
)  # fmt: skip


@dataclass(frozen=True)
class ImageSummary:
    """One analysed file: what was counted in it, and why it was refused, if it was."""

    file: str
    mask: str
    cells: int
    red_cells: int
    platelets: int
    usability: float
    refused: str | None


@dataclass(frozen=True)
class FailedFile:
    """A file that could not be analysed."""

    file: str
    error: LeukoluxError


@dataclass(frozen=True)
class ImagesOutcome:
    """What became of all the files.

    Attributes:
        analysed: number of files analysed.
        cells: number of cells reported.
        failed: files that could not be analysed.
        differential: of all reported cells.
        out: the output folder.
    """

    analysed: int
    cells: int
    failed: tuple[FailedFile, ...]
    differential: Differential
    out: Path

    def summary(self) -> str:
        """Return a few lines for a person."""
        lines = [f"{self.analysed} images, {self.cells} white cells. Written to {self.out}."]
        for kind, share in self.differential.shares.items():
            line = f"  {kind.value:<12}{share.n:5d}"
            if share.percent is not None:
                line += f"  {share.percent:5.1f} % ({share.low:.1f}-{share.high:.1f})"
            lines.append(line)
        rest = self.differential
        lines += [
            f"  {name:<12}{count:5d}"
            for name, count in (
                ("dead", rest.dead),
                ("other", rest.other),
                ("unidentified", rest.unidentified),
            )
        ]
        lines += [f"{flag.level.value}: {flag.text} {flag.remedy}" for flag in rest.flags]
        lines += [f"FAILED {failure.file}: {failure.error}" for failure in self.failed]
        return "\n".join(lines)


class Report:
    """Collects the results and writes them to a folder.

    Raises:
        InputError: the folder cannot be written; from the constructor and every method that writes.
    """

    def __init__(self, out: Path) -> None:
        self.rows: list[CellRow] = []
        self.summaries: list[ImageSummary] = []
        self.failed: list[FailedFile] = []
        self._out = out
        self._mask_names: set[str] = set()
        try:
            (out / MASKS_NAME).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(out, error) from error

    def mask_names(self, files: Iterable[Path]) -> list[str]:
        """Return a mask name per file: its stem, numbered where a stem was used before."""
        names = []
        for file in files:
            name, number = f"{file.stem}.png", 1
            while name in self._mask_names:
                number += 1
                name = f"{file.stem}_{number}.png"
            self._mask_names.add(name)
            names.append(name)
        return names

    def write_mask(
        self,
        name: str,
        cells: Sequence[FoundCell],
        shape: tuple[int, int],
        file_shape: tuple[int, ...],
    ) -> None:
        """Write one label image.

        Args:
            name: of the file.
            cells: in pixels of an image of ``shape``.
            shape: height and width the cells were found at.
            file_shape: height and width of the file; the labels are scaled to it.
        """
        labels = _label_image(cells, shape)
        if file_shape != shape:
            labels = _scaled(labels, (file_shape[1], file_shape[0]))
        path = self._out / MASKS_NAME / name
        encoded = cv2.imencode(".png", labels)[1]
        try:
            path.write_bytes(encoded.tobytes())
        except OSError as error:
            raise _unwritable(path, error) from error

    def finish(self, result: Differential, versions: Mapping[str, str]) -> ImagesOutcome:
        """Write ``cells.csv`` and ``differential.json`` and return the outcome."""
        document = {
            **result.as_dict(),
            "cells": len(self.rows),
            "images": [asdict(summary) for summary in self.summaries],
            "failed": [{"file": one.file, **one.error.as_dict()} for one in self.failed],
            "versions": dict(versions),
        }
        path = self._out / CELLS_NAME
        try:
            with path.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS)
                writer.writeheader()
                for number, row in enumerate(self.rows, start=1):
                    writer.writerow(row.as_columns(number))
            path = self._out / DIFFERENTIAL_NAME
            path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise _unwritable(path, error) from error
        return ImagesOutcome(
            analysed=len(self.summaries),
            cells=len(self.rows),
            failed=tuple(self.failed),
            differential=result,
            out=self._out,
        )


def _label_image(cells: Sequence[FoundCell], shape: tuple[int, int]) -> NDArray[np.uint8]:
    labels = np.zeros(shape, np.uint8)
    for cell in cells:
        x0, y0, x1, y1 = cell.bbox_px
        region = labels[y0:y1, x0:x1]
        np.maximum(region, cell.mask, out=region)
    return labels


def _scaled(labels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the labels at another size with smooth outlines."""
    cell, nucleus = (
        np.asarray(cv2.resize((labels >= level) * np.uint8(255), size)) > 127 for level in (1, 2)
    )
    return cell.astype(np.uint8) + (cell & nucleus)


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError("IMAGE-OUTPUT-UNWRITABLE", path=path, reason=error.strerror)
