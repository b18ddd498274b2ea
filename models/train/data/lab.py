"""Tiles with the truth a laboratory drew on them, in the layout of ``leukolux simulate``.

The layout is that of :func:`hal.sim.dataset.write_dataset`.  What only a simulator knows may be
missing: ``truth/red_cells.csv``, ``truth/platelets.csv``, all nuclei of the labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hal.errors import InputError
from hal.sim.blood.donors import KINDS
from hal.sim.optics.microscope import CellTruth, FieldTruth
from models.train.data.lab_files import Row, gray_image, table
from models.train.data.lab_files import points as listed_points
from models.train.data.samples import (
    CLASSES,
    NUCLEUS_KNOWN,
    UNKNOWN_CLASS,
    CropSet,
    FieldSet,
)
from models.train.data.simulated import PIXEL_UM, Field, crops_of, in_focus, normalised

TILE_TABLE = "tiles.csv"
TILE_COLUMNS = ("file", "x_um", "y_um", "pixel_um")
CELL_COLUMNS = ("kind", "x_um", "y_um")
UNKNOWN_KIND = "unknown"
KNOWN_KINDS = frozenset({*CLASSES, *KINDS, UNKNOWN_KIND})
STAGE_ERROR_UM = 4.0
SAME_PIXEL = 0.003
"""Pixel sizes that differ by less than this share are not resampled: half a pixel per tile."""

Point = tuple[float, float]


@dataclass(frozen=True)
class LabTile:
    """One tile at the networks' pixel size.

    Attributes:
        field: image, truth and place.
        red_cells_known: whether the red cells were listed.
        platelets_known: whether the platelets were listed.
        nuclei_known: whether nuclei were drawn.
        in_focus: 0..1; NaN where ``tiles.csv`` has no ``defocus_um``.
    """

    field: Field
    red_cells_known: bool
    platelets_known: bool
    nuclei_known: bool
    in_focus: float

    def crops(self, donor: str, rng: np.random.Generator) -> CropSet | None:
        """Return one crop per whole white cell, and some without; None if there are no crops."""
        crops = crops_of(self.field, donor, rng)
        if crops is None:
            return None
        kind = crops.kind.copy()
        whole = [cell.kind for cell in self.field.truth.cells if not cell.cut]
        kind[: len(whole)][[name == UNKNOWN_KIND for name in whole]] = UNKNOWN_CLASS
        known = crops.known.copy()
        if not self.nuclei_known:
            known &= ~np.uint8(NUCLEUS_KNOWN)
        return replace(crops, kind=kind, known=known)


def field_set(tiles: Sequence[LabTile], donor: str) -> FieldSet:
    """Return the fields of a donor's tiles for the scout."""
    truths = [tile.field.truth for tile in tiles]
    centres = [np.array([(c.x_um, c.y_um) for c in t.cells], np.float32) for t in truths]
    return FieldSet(
        gray=[tile.field.gray for tile in tiles],
        nuclei=[tile.field.pixel(points) for tile, points in zip(tiles, centres, strict=True)],
        red_cells=[tile.field.pixel(tile.field.truth.red_cells) for tile in tiles],
        platelets=[tile.field.pixel(tile.field.truth.platelets) for tile in tiles],
        red_cells_known=[tile.red_cells_known for tile in tiles],
        platelets_known=[tile.platelets_known for tile in tiles],
        in_focus=[tile.in_focus for tile in tiles],
        group=[donor] * len(tiles),
    )


def read_scan(folder: Path) -> list[LabTile]:
    """Return the tiles of one annotated scan.

    Raises:
        InputError: a file or a column is missing, or what they say cannot be; it names file and
            line.
    """
    truth = folder / "truth"
    cells = table(truth / "cells.csv", CELL_COLUMNS)
    for row in cells:
        if (row.values["kind"] or UNKNOWN_KIND) not in KNOWN_KINDS:
            raise row.error(
                "ANNOTATION-KIND-UNKNOWN",
                found=row.values["kind"],
                kinds=", ".join(sorted(KNOWN_KINDS)),
            )
    background = gray_image(folder / "background.png").astype(np.float32)
    if float(background.min()) <= 0:
        raise InputError("ANNOTATION-BACKGROUND-DARK", path=folder / "background.png")
    points = {name: listed_points(truth / f"{name}.csv") for name in ("red_cells", "platelets")}
    tiles = [
        _tile(folder, row, background, cells, points)
        for row in table(folder / TILE_TABLE, TILE_COLUMNS)
    ]
    drawn = any((tile.field.truth.labels == 2).any() for tile in tiles)
    return tiles if drawn else [replace(tile, nuclei_known=False) for tile in tiles]


def _tile(
    folder: Path,
    row: Row,
    background: NDArray[np.float32],
    cells: Sequence[Row],
    points: Mapping[str, NDArray[np.float32] | None],
) -> LabTile:
    path = folder / row.values["file"]
    if not path.is_file():
        raise row.error("ANNOTATION-TILE-MISSING", file=row.values["file"])
    image = gray_image(path, background.shape)
    labels = gray_image(folder / "truth" / "labels" / path.name, image.shape)
    instances = gray_image(folder / "truth" / "instances" / path.name, image.shape)
    _check(row, labels, instances, len(cells))
    pixel_um = row.number("pixel_um")
    if not 0.02 < pixel_um < 2:
        raise row.error("ANNOTATION-PIXEL-SIZE", pixel_um=pixel_um)
    centre_um = (row.number("x_um"), row.number("y_um"))
    defocus_um = row.number("defocus_um") if row.values.get("defocus_um") else None
    size = _resampled_size(image.shape, pixel_um)
    gray = _resampled(normalised(image, background), size)
    truth = _truth(row, labels, instances, cells, centre_um, pixel_um, size)
    reach_um = (np.array(size, np.float32) - 1) / 2 * PIXEL_UM

    def inside(listed: NDArray[np.float32] | None) -> NDArray[np.float32]:
        near = np.zeros((0, 2), np.float32) if listed is None else listed
        offset_um = np.abs(near - np.array(centre_um, np.float32))
        return near[(offset_um <= reach_um).all(1)]

    truth = replace(
        truth, red_cells=inside(points["red_cells"]), platelets=inside(points["platelets"])
    )
    byte_gray = np.clip(np.round(gray), 0, 255).astype(np.uint8)
    return LabTile(
        Field(byte_gray, truth, centre_um, 0.0 if defocus_um is None else defocus_um),
        points["red_cells"] is not None,
        points["platelets"] is not None,
        nuclei_known=True,
        in_focus=float("nan") if defocus_um is None else in_focus(defocus_um),
    )


def _check(
    row: Row, labels: NDArray[np.integer], instances: NDArray[np.integer], cells: int
) -> None:
    """Refuse truth images that contradict themselves or the table of cells."""
    if int(labels.max()) > 2:
        raise row.error("ANNOTATION-LABEL-UNKNOWN", found=int(labels.max()))
    if int(instances.max()) > cells:
        raise row.error("ANNOTATION-INSTANCE-UNKNOWN", found=int(instances.max()), cells=cells)
    differing = int(np.count_nonzero((labels > 0) != (instances > 0)))
    if differing:
        raise row.error("ANNOTATION-LABELS-DIFFER", pixels=differing)


def _resampled_size(shape: tuple[int, ...], pixel_um: float) -> tuple[int, int]:
    """Return width and height at the networks' pixel size."""
    scale = pixel_um / PIXEL_UM
    if abs(scale - 1) < SAME_PIXEL:
        scale = 1.0
    return round(shape[1] * scale), round(shape[0] * scale)


def _resampled(image: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    if size == (image.shape[1], image.shape[0]):
        return image
    coarser = size[0] < image.shape[1]
    interpolation = cv2.INTER_AREA if coarser else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=interpolation), np.float32)


def _truth(
    row: Row,
    labels: NDArray[np.integer],
    instances: NDArray[np.integer],
    cells: Sequence[Row],
    centre_um: Point,
    pixel_um: float,
    size: tuple[int, int],
) -> FieldTruth:
    """Return the white cells of a tile, drawn at the networks' pixel size."""
    out = FieldTruth(
        cells=(),
        labels=np.zeros(size[::-1], np.uint8),
        instances=np.zeros(size[::-1], np.uint16),
        red_cells=np.zeros((0, 2), np.float32),
        platelets=np.zeros((0, 2), np.float32),
    )
    seen: list[CellTruth] = []
    for number in np.unique(instances[instances > 0]).tolist():
        own = instances == number
        cell = _resampled(own.astype(np.float32), size) > 0.5
        nucleus = _resampled((own & (labels == 2)).astype(np.float32), size) > 0.5
        listed = cells[number - 1]
        place = (listed.number("x_um"), listed.number("y_um"))
        x0, y0, width, height = cv2.boundingRect(own.astype(np.uint8))
        box = (x0, y0, x0 + width, y0 + height)
        cut = x0 == 0 or y0 == 0 or box[2] == own.shape[1] or box[3] == own.shape[0]
        if not cut:
            _check_place(listed, row, place, box, centre_um, pixel_um, own.shape)
        out.labels[cell] = 1
        out.labels[cell & nucleus] = 2
        out.instances[cell] = len(seen) + 1
        kind = listed.values["kind"] or UNKNOWN_KIND
        seen.append(
            CellTruth(
                id=str(number),
                kind=kind,
                alive=kind != "dead",
                x_um=place[0],
                y_um=place[1],
                area_um2=float(np.count_nonzero(cell)) * PIXEL_UM**2,
                nucleus_area_um2=float(np.count_nonzero(nucleus)) * PIXEL_UM**2,
                nucleic_acid_pg=float("nan"),
                bbox_px=box,
                cut=cut,
            )
        )
    return replace(out, cells=tuple(seen))


def _check_place(
    listed: Row,
    tile: Row,
    place_um: Point,
    box_px: tuple[int, int, int, int],
    centre_um: Point,
    pixel_um: float,
    shape: tuple[int, ...],
) -> None:
    """Refuse a cell that is listed elsewhere than it is drawn: the axes may be flipped."""
    reach_px = STAGE_ERROR_UM / pixel_um
    for axis, name in enumerate("xy"):
        middle_px = (shape[1 - axis] - 1) / 2
        found_px = (place_um[axis] - centre_um[axis]) / pixel_um + middle_px
        if not box_px[axis] - reach_px <= found_px <= box_px[axis + 2] + reach_px:
            raise listed.error(
                "ANNOTATION-CELL-PLACE",
                axis=name,
                low_px=box_px[axis],
                high_px=box_px[axis + 2],
                file=tile.values["file"],
                listed_px=found_px,
            )
