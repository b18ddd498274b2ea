from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from drawn_smear import PIXEL_UM, TILE_SHAPE, DrawnSmear, drawn_models

from device.cell import CellKind
from device.config import AnalysisConfig, ScanConfig
from device.evaluation.donors import FIRST_UNSEEN_SEED, evaluate_donor, unseen_donors
from device.evaluation.scores import Evaluation, Proportion

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


@dataclass(frozen=True)
class DrawnField:
    cells: tuple[DrawnCell, ...]
    labels: np.ndarray
    instances: np.ndarray


class DrawnMicroscope:
    """The drawn smear in the middle of the scan area, blank glass elsewhere."""

    height_px, width_px = TILE_SHAPE
    pixel_um = PIXEL_UM

    def __init__(self, radius_um=5.0, true_radius_um=5.0, dead_kind=CellKind.DEAD):
        self.smear = self
        self.true_radius_um = true_radius_um
        self.drawn = DrawnSmear(260, 220)
        self.origin_um = (MIDDLE_UM[0] - 130, MIDDLE_UM[1] - 110)
        kinds = [CellKind.NEUTROPHIL, CellKind.LYMPHOCYTE, CellKind.DEAD, CellKind.MONOCYTE]
        rng = np.random.default_rng(1)
        self.kinds = []
        for i, (x, y) in enumerate((x, y) for y in range(40, 190, 15) for x in range(40, 230, 15)):
            kind = kinds[i % 4]
            drawn = dead_kind if kind is CellKind.DEAD else kind
            self.drawn.white_cell(x + rng.uniform(-1, 1), y + rng.uniform(-1, 1), drawn, radius_um)
            self.kinds.append(kind)
        self.drawn.red_cells(100, seed=1)

    def focus_z_um(self, x_um, y_um):
        return 5000.0

    def render(self, x_um, y_um, z_um, *, exposure_ms, full_scale=4095, frame_seed=0, time_s=0.0):
        if frame_seed < 0:
            return np.full(TILE_SHAPE, 3000, np.uint16)
        place = (x_um - self.origin_um[0], y_um - self.origin_um[1])
        return self.drawn.tile(0, *place).pixels

    def truth(self, x_um, y_um):
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
            cells.append(DrawnCell(str(i), self.kinds[i].value, *world, box, cut))
            instances[region > 0] = len(cells)
            labels[region > 0] = 1
            cv2.circle(labels, centre, round(0.6 * self.true_radius_um / PIXEL_UM), 2, -1)
        return DrawnField(tuple(cells), labels, instances)


def evaluated(microscope, tiles=9):
    result = evaluate_donor(
        "drawn:1", microscope, drawn_models(), AnalysisConfig(), tiles=tiles, seed=5
    )
    return Evaluation((result,))


def test_perfect_networks_reach_perfect_scores_through_the_whole_pipeline():
    scores = evaluated(DrawnMicroscope())
    assert scores.found.n > 40
    assert scores.found.k == scores.found.n
    assert scores.false_finds.k == 0
    assert scores.five_part == Proportion(scores.five_part.n, scores.five_part.n)
    assert scores.alive_or_dead.k == scores.alive_or_dead.n > scores.five_part.n
    assert scores.unidentified.k == 0
    assert scores.interval_coverage == Proportion(5, 5)
    assert min(scores.dice()) > 0.93


def test_wrong_outlines_lower_dice_but_not_the_count():
    scores = evaluated(DrawnMicroscope(radius_um=4.0, true_radius_um=5.0))
    assert scores.found.k == scores.found.n
    # Concentric discs of radius 4 and 5: 2 * 16 / (16 + 25).
    assert scores.dice()[0] == pytest.approx(32 / 41, abs=0.03)


def test_dead_cells_called_alive_lower_alive_or_dead():
    scores = evaluated(DrawnMicroscope(dead_kind=CellKind.LYMPHOCYTE))
    wrong = scores.alive_or_dead.n - scores.alive_or_dead.k
    assert wrong == scores.called[(CellKind.DEAD, "lymphocyte")] > 5
    assert scores.five_part.k == scores.five_part.n


def test_evaluation_is_repeatable_but_for_its_times():
    documents = [evaluated(DrawnMicroscope(), tiles=4).as_dict() for _ in range(2)]
    for document in documents:
        del document["tile_ms"]
    assert documents[0] == documents[1]


def test_table_and_document_tell_the_same():
    scores = evaluated(DrawnMicroscope(), tiles=4)
    document = scores.as_dict()
    assert f"{document['found']['k']}/{document['found']['n']}" in scores.table()
    assert document["tiles"] == 4


def test_unseen_donors_are_never_trained_ones():
    names = unseen_donors(12)
    assert len(set(names)) == 12
    assert {int(name.split(":")[1]) for name in names} == set(range(3000, 3012))
    assert sum(name.startswith("neutropenia") for name in names) == 6
    with pytest.raises(ValueError, match="2999"):
        unseen_donors(1, FIRST_UNSEEN_SEED - 1)
