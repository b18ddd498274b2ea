"""A virtual microscope over the drawn smear, with the truth of every disc."""

from dataclasses import dataclass

import cv2
import numpy as np
from drawn_smear import PIXEL_UM, RED_CELL_GRAY, TILE_SHAPE, DrawnSmear, drawn_models

from device.laboratory.donors import evaluate_donor
from device.laboratory.scores import Evaluation
from device.results.cell import CellKind
from device.settings.sections import AnalysisConfig, ScanConfig

SCAN = ScanConfig()
MIDDLE_UM = (SCAN.left_um + SCAN.width_um / 2, SCAN.top_um + SCAN.height_um / 2)


@dataclass(frozen=True)
class DrawnCell:
    id: str
    kind: str
    x_um: float
    y_um: float
    bbox_px: tuple[int, int, int, int]
    cut: bool
    area_um2: float


@dataclass(frozen=True)
class DrawnField:
    cells: tuple[DrawnCell, ...]
    labels: np.ndarray
    instances: np.ndarray
    red_cells: np.ndarray
    platelets: np.ndarray


class DrawnMicroscope:
    """The drawn smear in the middle of the scan area, blank glass elsewhere."""

    height_px, width_px = TILE_SHAPE
    pixel_um = PIXEL_UM
    camera_axes = np.eye(2)

    def __init__(
        self, radius_um=5.0, true_radius_um=5.0, dead_kind=CellKind.DEAD, spacing_um=15, hidden=0
    ):
        self.smear = self
        self.true_radius_um = true_radius_um
        self.drawn = DrawnSmear(260, 220)
        self.origin_um = (MIDDLE_UM[0] - 130, MIDDLE_UM[1] - 110)
        kinds = [CellKind.NEUTROPHIL, CellKind.LYMPHOCYTE, CellKind.DEAD, CellKind.MONOCYTE]
        rng = np.random.default_rng(1)
        self.kinds = []
        lattice = ((x, y) for y in range(40, 190, spacing_um) for x in range(40, 230, spacing_um))
        for i, (x, y) in enumerate(lattice):
            kind = kinds[i % 4]
            drawn = dead_kind if kind is CellKind.DEAD else kind
            self.drawn.white_cell(x + rng.uniform(-1, 1), y + rng.uniform(-1, 1), drawn, radius_um)
            self.kinds.append(kind)
        self.red_um = [
            (x, y)
            for y in range(20, 210, 11)
            for x in range(20, 250, 11)
            if min(np.hypot(x - cx, y - cy) for cx, cy, _ in self.drawn.white_cells) > 13
        ]
        # Red cells that are there but cannot be seen.
        for x, y in self.red_um[hidden:]:
            self.drawn.disc(x, y, 3.6, RED_CELL_GRAY)

    def red_inside(self, x_um, y_um):
        place = np.add(self.red_um, self.origin_um)
        half_um = np.array([self.width_px, self.height_px]) / 2 * PIXEL_UM
        return place[(np.abs(place - (x_um, y_um)) <= half_um).all(axis=1)].astype(np.float32)

    def focus_z_um(self, x_um, y_um):
        return 5000.0

    def render(
        self,
        x_um,
        y_um,
        z_um,
        *,
        exposure_ms,
        full_scale=4095,
        frame_seed=0,
        time_s=0.0,
        lit_fraction=1.0,
    ):
        if lit_fraction == 0.0:
            return np.zeros(TILE_SHAPE, np.uint16)
        if frame_seed < 0:
            return np.full(TILE_SHAPE, 3000, np.uint16)
        place = (x_um - self.origin_um[0], y_um - self.origin_um[1])
        return self.drawn.tile(0, *place).pixels

    def truth(self, x_um, y_um):
        nothing = np.empty((0, 2), np.float32)
        labels = np.zeros(TILE_SHAPE, np.uint8)
        instances = np.zeros(TILE_SHAPE, np.uint16)
        cells = []
        for i, (x, y, _) in enumerate(self.drawn.white_cells):
            world = (self.origin_um[0] + x, self.origin_um[1] + y)
            column = (world[0] - x_um) / PIXEL_UM + (self.width_px - 1) / 2
            row = (world[1] - y_um) / PIXEL_UM + (self.height_px - 1) / 2
            centre = (round(column), round(row))
            radius = round(self.true_radius_um / PIXEL_UM)
            region = cv2.circle(np.zeros(TILE_SHAPE, np.uint8), centre, radius, 1, -1)
            if not region.any():
                continue
            x0, y0, width, height = cv2.boundingRect(region)
            box = (x0, y0, x0 + width, y0 + height)
            cut = width < 2 * radius + 1 or height < 2 * radius + 1
            area_um2 = np.pi * self.true_radius_um**2
            cells.append(DrawnCell(str(i), self.kinds[i].value, *world, box, cut, area_um2))
            instances[region > 0] = len(cells)
            labels[region > 0] = 1
            cv2.circle(labels, centre, round(0.6 * self.true_radius_um / PIXEL_UM), 2, -1)
        return DrawnField(tuple(cells), labels, instances, self.red_inside(x_um, y_um), nothing)


def evaluated(microscope, tiles=9):
    result = evaluate_donor(
        "drawn:1", microscope, drawn_models(), AnalysisConfig(), tiles=tiles, seed=5
    )
    return Evaluation((result,))
