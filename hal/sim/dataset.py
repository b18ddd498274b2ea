"""Write a simulated scan with its ground truth to a folder."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hal.errors import InputError
from hal.sim.blood.donors import make_donor
from hal.sim.blood.masses import Float32Array
from hal.sim.blood.seeds import generator
from hal.sim.blood.smear import BLANK_XY_UM, MONOLAYER_X_UM, MONOLAYER_Y_UM, Smear
from hal.sim.optics.microscope import CellTruth, FieldTruth, VirtualMicroscope

OVERLAP_UM = 25.0
EXPOSURE_MS = 50.0
TILE_PERIOD_S = 0.5
FOCUS_RESIDUAL_UM = 0.25
BLANK_FRAMES = 8


@dataclass(frozen=True)
class TilePosition:
    """Centre of a tile in the stage frame."""

    x_um: float
    y_um: float
    z_um: float


def serpentine(smear: Smear, tiles: int, width_um: float, height_um: float) -> list[TilePosition]:
    """Return a compact block of tiles in the middle of the monolayer, row by row, there and back.

    Args:
        smear: whose focal plane to follow, within what an autofocus leaves.
        tiles: number of tiles.
        width_um: of one tile.
        height_um: of one tile.

    Raises:
        InputError: the monolayer does not hold that many tiles.
    """
    step_x_um, step_y_um = width_um - OVERLAP_UM, height_um - OVERLAP_UM
    most_columns = int((MONOLAYER_X_UM[1] - MONOLAYER_X_UM[0] - width_um) // step_x_um) + 1
    most_rows = int((MONOLAYER_Y_UM[1] - MONOLAYER_Y_UM[0] - height_um) // step_y_um) + 1
    if not 1 <= tiles <= most_columns * most_rows:
        raise InputError("INPUT-TILES", tiles=tiles, most=most_columns * most_rows)
    columns = min(most_columns, math.ceil(math.sqrt(tiles * step_y_um / step_x_um)))
    columns = max(columns, math.ceil(tiles / most_rows))
    rows = math.ceil(tiles / columns)
    left_um = sum(MONOLAYER_X_UM) / 2.0 - (columns - 1) * step_x_um / 2.0
    top_um = sum(MONOLAYER_Y_UM) / 2.0 - (rows - 1) * step_y_um / 2.0
    rng = generator("autofocus", smear.donor.name)
    positions = []
    for index in range(tiles):
        row, column = divmod(index, columns)
        if row % 2:
            column = columns - 1 - column
        x_um, y_um = left_um + column * step_x_um, top_um + row * step_y_um
        residual_um = float(rng.normal(0.0, FOCUS_RESIDUAL_UM))
        z_um = smear.focus_z_um(x_um, y_um) + residual_um
        positions.append(TilePosition(round(x_um, 3), round(y_um, 3), round(z_um, 3)))
    return positions


def background(microscope: VirtualMicroscope, time_s: float = 0.0) -> Float32Array:
    """Return the mean of several frames of blank glass, counts, float32 (h, w)."""
    x_um, y_um = BLANK_XY_UM
    total = np.zeros((microscope.height_px, microscope.width_px), np.float64)
    for index in range(BLANK_FRAMES):
        # Each frame shows other glass, so that a speck of dust is averaged away.
        place_um = x_um + 300.0 * index
        total += microscope.render(
            place_um,
            y_um,
            microscope.smear.focus_z_um(place_um, y_um),
            exposure_ms=EXPOSURE_MS,
            frame_seed=-1 - index,
            time_s=time_s,
        )
    return (total / BLANK_FRAMES).astype(np.float32)


def write_dataset(spec: str, tiles: int, out: Path) -> None:
    """Scan the smear of donor ``spec`` and write the tiles and their truth.

    Layout, all paths relative to ``out``: ``background.png`` and ``tiles/tile_0000.png`` (16-bit,
    counts 0 to 4095), ``tiles.csv`` (file, x_um, y_um, z_um, exposure_ms, pixel_um; the position
    is the centre of the tile, image x and y run with the stage's), ``truth/cells.csv`` (each
    white cell once), ``truth/red_cells.csv``, ``truth/platelets.csv``, and per tile
    ``truth/labels/`` (8-bit: 0 background, 1 cytoplasm, 2 nucleus of white cells) and
    ``truth/instances/`` (16-bit: 0 or the 1-based row in ``truth/cells.csv``).

    Raises:
        InputError: an unknown donor, an impossible number of tiles, or ``out`` is not an empty
            or new folder.
    """
    smear = Smear(make_donor(spec))
    microscope = VirtualMicroscope(smear)
    positions = serpentine(
        smear,
        tiles,
        microscope.width_px * microscope.pixel_um,
        microscope.height_px * microscope.pixel_um,
    )
    _claim(out)
    _write_image(out / "background.png", np.rint(background(microscope)).astype(np.uint16))
    truths: list[FieldTruth] = []
    for index, position in enumerate(positions):
        tile = microscope.render(
            position.x_um,
            position.y_um,
            position.z_um,
            exposure_ms=EXPOSURE_MS,
            frame_seed=index,
            time_s=index * TILE_PERIOD_S,
        )
        _write_image(out / _tile_name(index), tile)
        truths.append(microscope.truth(position.x_um, position.y_um))
    _write_csv(
        out / "tiles.csv",
        ("file", "x_um", "y_um", "z_um", "exposure_ms", "pixel_um"),
        (
            (
                _tile_name(index),
                place.x_um,
                place.y_um,
                place.z_um,
                EXPOSURE_MS,
                microscope.pixel_um,
            )
            for index, place in enumerate(positions)
        ),
    )
    _write_truth(out / "truth", truths)


def _tile_name(index: int) -> str:
    return f"tiles/tile_{index:04d}.png"


def _claim(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        occupied = any(out.iterdir())
        if not occupied:
            for name in ("tiles", "truth/labels", "truth/instances"):
                (out / name).mkdir(parents=True)
    except OSError as error:
        raise InputError("DATASET-UNWRITABLE", folder=out, reason=error.strerror) from error
    if occupied:
        raise InputError("INPUT-FOLDER", folder=out)


def _write_truth(truth_dir: Path, truths: Sequence[FieldTruth]) -> None:
    rows: dict[str, int] = {}
    cells: list[CellTruth] = []
    for index, truth in enumerate(truths):
        for cell in truth.cells:
            if cell.id not in rows:
                cells.append(cell)
                rows[cell.id] = len(cells)
        row_of_instance = np.array([0, *(rows[cell.id] for cell in truth.cells)], np.uint16)
        name = Path(_tile_name(index)).name
        _write_image(truth_dir / "labels" / name, truth.labels)
        _write_image(truth_dir / "instances" / name, row_of_instance[truth.instances])
    _write_csv(
        truth_dir / "cells.csv",
        ("id", "kind", "x_um", "y_um", "area_um2", "nucleus_area_um2", "alive"),
        (
            (
                cell.id,
                cell.kind,
                round(cell.x_um, 3),
                round(cell.y_um, 3),
                round(cell.area_um2, 3),
                round(cell.nucleus_area_um2, 3),
                int(cell.alive),
            )
            for cell in cells
        ),
    )
    for name, groups in (
        ("red_cells.csv", [truth.red_cells for truth in truths]),
        ("platelets.csv", [truth.platelets for truth in truths]),
    ):
        points = np.unique(np.concatenate(groups), axis=0)
        _write_csv(truth_dir / name, ("x_um", "y_um"), np.round(points, 3).tolist())


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def _write_image(path: Path, image: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    if not cv2.imwrite(str(path), image):
        raise InputError("DATASET-IMAGE", path=path)
