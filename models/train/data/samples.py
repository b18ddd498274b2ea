"""Training samples as they lie on disk: crops around single cells, and fields with centres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.cell_kind import CellKind

CLASSES = tuple(CellKind)
UNKNOWN_CLASS = 255
STORED_CROP_PX = 224
CELL_KNOWN = 1
NUCLEUS_KNOWN = 2


def _save(path: Path, arrays: dict[str, NDArray[np.generic]]) -> None:
    """Write a file at once: samples that are there are whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]
    part.replace(path)


@dataclass(frozen=True)
class CropSet:
    """Crops of ``STORED_CROP_PX`` around one candidate each, at the networks' pixel size.

    Attributes:
        gray: uint8 (n, v, S, S), normalised images; v conversions or exposures of one cell.
        labels: uint8 (n, S, S), 0 outside, 1 cytoplasm, 2 nucleus of the cell at the centre.
        known: uint8 (n,), bits ``CELL_KNOWN`` and ``NUCLEUS_KNOWN``: which labels are truth.
        kind: uint8 (n,), index into ``CLASSES`` or ``UNKNOWN_CLASS``.
        group: str (n,), donor or field: what a split must not divide.
    """

    gray: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    known: NDArray[np.uint8]
    kind: NDArray[np.uint8]
    group: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.kind)

    @cached_property
    def by_kind(self) -> dict[int, NDArray[np.intp]]:
        """Indices of the crops of each kind, the kinds in ascending order."""
        return {int(kind): np.flatnonzero(self.kind == kind) for kind in np.unique(self.kind)}

    def save(self, path: Path) -> None:
        """Write an uncompressed npz file."""
        _save(path, {field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote."""
        with np.load(path) as archive:
            return cls(**{field.name: archive[field.name] for field in fields(cls)})

    def select(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> CropSet:
        """Return the crops at ``index``; all of them without a copy."""
        if index.dtype == np.bool_ and index.all():
            return self
        return CropSet(*(getattr(self, field.name)[index] for field in fields(self)))

    @staticmethod
    def join(sets: Sequence[CropSet]) -> CropSet:
        """Concatenate sets that have the same number of conversions."""
        return CropSet(
            *(np.concatenate([getattr(s, field.name) for s in sets]) for field in fields(CropSet))
        )


@dataclass(frozen=True)
class FieldSet:
    """Whole fields with the centres of what lies in them, at the networks' pixel size.

    Attributes:
        gray: one uint8 (h, w) normalised image per field.
        nuclei: per field float32 (n, 2), x_px, y_px of the centre of each white cell.
        red_cells: of each red cell; an empty array, ``red_cells_known`` False, if not listed.
        platelets: of each platelet, in the same way.
        red_cells_known: per field.
        platelets_known: per field.
        in_focus: per field 0..1, how sharp the field is; NaN where nobody knows.
        group: per field donor or image name.
    """

    gray: list[NDArray[np.uint8]]
    nuclei: list[NDArray[np.float32]]
    red_cells: list[NDArray[np.float32]]
    platelets: list[NDArray[np.float32]]
    red_cells_known: list[bool]
    platelets_known: list[bool]
    in_focus: list[float]
    group: list[str]

    def __len__(self) -> int:
        return len(self.gray)

    def save(self, path: Path) -> None:
        """Write an uncompressed npz file."""
        arrays: dict[str, NDArray[np.generic]] = {
            "red_cells_known": np.array(self.red_cells_known),
            "platelets_known": np.array(self.platelets_known),
            "in_focus": np.array(self.in_focus, np.float32),
            "group": np.array(self.group),
        }
        for i in range(len(self)):
            for name in ("gray", "nuclei", "red_cells", "platelets"):
                arrays[f"{name}_{i}"] = getattr(self, name)[i]
        _save(path, arrays)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote."""
        with np.load(path) as archive:
            count = len(archive["group"])
            return cls(
                **{
                    name: [archive[f"{name}_{i}"] for i in range(count)]
                    for name in ("gray", "nuclei", "red_cells", "platelets")
                },
                **{
                    name: archive[name].tolist()
                    for name in ("red_cells_known", "platelets_known", "in_focus", "group")
                },
            )

    @staticmethod
    def join(sets: Sequence[FieldSet]) -> FieldSet:
        """Concatenate sets."""
        return FieldSet(
            *([item for s in sets for item in getattr(s, field.name)] for field in fields(FieldSet))
        )


def cut(
    image: NDArray[np.uint8], x_px: float, y_px: float, size_px: int, fill: int
) -> NDArray[np.uint8]:
    """Return the square of ``size_px`` around a point; outside the image lies ``fill``."""
    out = np.full((size_px, size_px), fill, image.dtype)
    x0, y0 = round(x_px - size_px / 2), round(y_px - size_px / 2)
    rows = slice(max(y0, 0), min(y0 + size_px, image.shape[0]))
    columns = slice(max(x0, 0), min(x0 + size_px, image.shape[1]))
    if rows.start < rows.stop and columns.start < columns.stop:
        out[
            rows.start - y0 : rows.stop - y0,
            columns.start - x0 : columns.stop - x0,
        ] = image[rows, columns]
    return out
