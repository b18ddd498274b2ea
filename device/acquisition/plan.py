"""Where tiles are taken: pure data, no hardware."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import islice

from device.imaging.field import Field
from device.settings.sections import ScanConfig
from hal.config import CameraConfig
from hal.errors import SettingsError

LARGEST_CELL_UM = 20.0
"""Upper end of the diameters of monocytes and smudge cells on a dried smear."""

ANCHOR_INSET = 0.04
"""How far from the edges the outermost anchors are, as a share of the area."""


@dataclass(frozen=True)
class Plan:
    """The ordered places of a scan.

    Attributes:
        fields: in order of acquisition.
        tile_width_um: size of one tile in the sample.
        tile_height_um: height of one tile in the sample.
        step_x_um: distance of neighbouring columns.
        step_y_um: distance of neighbouring rows.
    """

    fields: tuple[Field, ...]
    tile_width_um: float
    tile_height_um: float
    step_x_um: float
    step_y_um: float

    def area_mm2(self, tiles: int) -> float:
        """Return the area that ``tiles`` tiles show, overlap counted once."""
        return tiles * self.step_x_um * self.step_y_um * 1e-6


def make_plan(scan: ScanConfig, camera: CameraConfig) -> Plan:
    """Cover the scan area row by row, every second row backwards (serpentine).

    The tiles overlap by at least ``scan.overlap_um``, so that every cell is whole in at least one
    of them, and their union covers the area.  Longer plans are cut to ``scan.max_tiles``.

    Raises:
        SettingsError: the overlap is smaller than the largest cell or leaves no step.
    """
    width_um = camera.width_px * camera.pixel_um
    height_um = camera.height_px * camera.pixel_um
    if not LARGEST_CELL_UM < scan.overlap_um < min(width_um, height_um):
        raise SettingsError(
            "SCAN-OVERLAP",
            overlap_um=scan.overlap_um,
            width_um=width_um,
            height_um=height_um,
            cell_um=LARGEST_CELL_UM,
        )
    columns, step_x_um = _steps(scan.width_um, width_um, scan.overlap_um)
    rows, step_y_um = _steps(scan.height_um, height_um, scan.overlap_um)
    fields = (
        Field(
            row,
            column,
            scan.left_um + width_um / 2 + column * step_x_um,
            scan.top_um + height_um / 2 + row * step_y_um,
        )
        for row in range(rows)
        for column in (range(columns) if row % 2 == 0 else reversed(range(columns)))
    )
    return Plan(tuple(islice(fields, scan.max_tiles)), width_um, height_um, step_x_um, step_y_um)


def _steps(length_um: float, tile_um: float, overlap_um: float) -> tuple[int, float]:
    """Return the number of tiles along ``length_um`` and their distance, evenly spread."""
    count = max(1, math.ceil((length_um - overlap_um) / (tile_um - overlap_um)))
    if count == 1:
        return 1, tile_um - overlap_um
    return count, (length_um - tile_um) / (count - 1)


def choose_anchors(plan: Plan, count: int) -> tuple[Field, ...]:
    """Return ``count`` fields of the plan for the focus map (all, when it has fewer).

    Chosen from an even grid that reaches almost to the edges of the area, since a surface is known
    badly beyond its points, as far from each other as possible; ordered from the centre outwards,
    so that each can be predicted from those before it.
    """
    side = max(math.ceil(math.sqrt(count)), 3)
    shares = [ANCHOR_INSET + (1.0 - 2.0 * ANCHOR_INSET) * i / (side - 1) for i in range(side)]
    xs = [field.x_um for field in plan.fields]
    ys = [field.y_um for field in plan.fields]
    centre_um = _centre_um(plan)
    grid = {
        _nearest(
            plan,
            min(xs) + share_x * (max(xs) - min(xs)),
            min(ys) + share_y * (max(ys) - min(ys)),
        )
        for share_x in shares
        for share_y in shares
    }
    left = sorted(grid, key=lambda f: (math.dist(centre_um, _place(f)), f.row, f.column))
    chosen = [left.pop(0)]
    while left and len(chosen) < count:
        farthest = max(left, key=lambda f: min(math.dist(_place(f), _place(c)) for c in chosen))
        left.remove(farthest)
        chosen.append(farthest)
    return tuple(sorted(chosen, key=lambda f: math.dist(centre_um, _place(f))))


def from_the_middle(plan: Plan) -> list[Field]:
    """Return the fields of the plan, those nearest to the middle of the area first."""
    centre_um = _centre_um(plan)
    return sorted(plan.fields, key=lambda f: math.dist(centre_um, _place(f)))


def _centre_um(plan: Plan) -> tuple[float, float]:
    xs = [field.x_um for field in plan.fields]
    ys = [field.y_um for field in plan.fields]
    return (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2


def _nearest(plan: Plan, x_um: float, y_um: float) -> Field:
    return min(plan.fields, key=lambda f: math.dist((x_um, y_um), _place(f)))


def _place(field: Field) -> tuple[float, float]:
    return field.x_um, field.y_um
