"""A drawn smear of flat discs and networks that read its gray levels.

Each kind has its own gray in the nucleus, so that detection, outline and kind of every drawn cell
are known exactly and what the pipeline does with them can be tested without trained networks.
"""

from __future__ import annotations

import cv2
import numpy as np

from device.analysis.flatfield import Background
from device.analysis.tile import Tile
from device.analysis.tile_analyzer import TileAnalysis, TileAnalyzer
from device.results.cell import CellKind
from device.settings.sections import AnalysisConfig
from models.layout import BLANK_LEVEL
from models.runtime import ModelSet
from models.scout import Detections

PIXEL_UM = 0.165
# The nuclei of dead cells are pale; a dark one would be taken for alive by the checkpoint.
NUCLEUS_GRAY = {kind: 50 + 10 * i for i, kind in enumerate(CellKind)} | {CellKind.DEAD: 140}
DOUBTFUL_GRAY = 125
DARKEST_RED_CELL_GRAY = 150
CYTOPLASM_GRAY = 190
RED_CELL_GRAY = 165
BLANK_COUNTS = 3000
TILE_SHAPE = (304, 400)


def is_nucleus(image):
    return (image < DARKEST_RED_CELL_GRAY).astype(np.uint8)


def is_white_cell(image):
    return ((image < DARKEST_RED_CELL_GRAY) | ((image > 180) & (image < 205))).astype(np.uint8)


def centres(mask):
    _, _, stats, centroids = cv2.connectedComponentsWithStats(mask, connectivity=4)
    big = stats[1:, cv2.CC_STAT_AREA] > 60
    points = centroids[1:][big]
    scores = np.linspace(0.99, 0.9, len(points)) if len(points) else np.empty(0)
    return np.column_stack([points, scores]).astype(np.float32)


class DrawnScout:
    usability = 1.0

    def find(self, image, threshold=None):
        self.threshold = threshold
        red = ((image > DARKEST_RED_CELL_GRAY) & (image < 178)).astype(np.uint8)
        return Detections(
            centres(is_nucleus(image)), centres(red), np.empty((0, 3), np.float32), self.usability
        )

    def counts(self, red_cells, platelets, area_px):
        return red_cells, platelets


class DrawnSegmenter:
    crop_px = 192

    def segment(self, crops):
        assert crops.dtype == np.uint8
        assert crops.shape[1:] == (192, 192)
        cells = np.stack([is_white_cell(crop) for crop in crops])
        nuclei = np.stack([is_nucleus(crop) for crop in crops])
        return np.stack([cells, nuclei], axis=1).astype(np.float32)


class DrawnClassifier:
    classes = tuple(CellKind)
    crop_px = 144
    threshold = 0.5

    def classify(self, crops, masks):
        assert crops.shape == masks.shape
        rows = [self._probabilities(crop, mask) for crop, mask in zip(crops, masks, strict=True)]
        return np.array(rows, np.float32)

    def _probabilities(self, crop, mask):
        level = float(np.median(crop[mask == 2]))
        apart = np.array([abs(level - gray) for gray in NUCLEUS_GRAY.values()])
        kinds = len(CellKind)
        if apart.min() > 3:
            return np.full(kinds, 1 / kinds)
        row = np.full(kinds, 0.1 / (kinds - 1))
        row[apart.argmin()] = 0.9
        return row


def drawn_models():
    return ModelSet(
        scout=DrawnScout(),
        segmenter=DrawnSegmenter(),
        classifier=DrawnClassifier(),
        pixel_um=PIXEL_UM,
        versions={"scout": "drawn"},
    )


class DrawnSmear:
    """A canvas whose pixel (0, 0) lies at the origin of the stage frame."""

    def __init__(self, width_um=300.0, height_um=200.0):
        shape = (round(height_um / PIXEL_UM), round(width_um / PIXEL_UM))
        self.canvas = np.full(shape, BLANK_LEVEL, np.uint8)
        self.white_cells = []

    def disc(self, x_um, y_um, radius_um, gray):
        centre = (round(x_um / PIXEL_UM * 16), round(y_um / PIXEL_UM * 16))
        cv2.circle(self.canvas, centre, round(radius_um / PIXEL_UM * 16), int(gray), -1, shift=4)

    def white_cell(self, x_um, y_um, kind=CellKind.NEUTROPHIL, radius_um=5.5, doubtful=False):
        self.disc(x_um, y_um, radius_um, CYTOPLASM_GRAY)
        self.disc(x_um, y_um, 0.6 * radius_um, DOUBTFUL_GRAY if doubtful else NUCLEUS_GRAY[kind])
        self.white_cells.append((x_um, y_um, kind))

    def red_cells(self, count, seed):
        rng = np.random.default_rng(seed)
        height, width = self.canvas.shape
        for _ in range(count):
            x, y = rng.uniform(0, width * PIXEL_UM), rng.uniform(0, height * PIXEL_UM)
            free = all(np.hypot(x - cx, y - cy) > 13 for cx, cy, _ in self.white_cells)
            if free:
                self.disc(x, y, rng.uniform(3.2, 4.0), RED_CELL_GRAY)

    def tile(self, sequence, x_um, y_um, error_um=(0.0, 0.0), shape=TILE_SHAPE, light=1.0):
        """The tile the stage takes for (x, y) while it really is ``error_um`` away."""
        height, width = shape
        left = round((x_um + error_um[0]) / PIXEL_UM - (width - 1) / 2)
        top = round((y_um + error_um[1]) / PIXEL_UM - (height - 1) / 2)
        window = self.canvas[top : top + height, left : left + width]
        assert window.shape == shape, "the tile reaches beyond the canvas"
        counts = window.astype(np.float32) * (BLANK_COUNTS / BLANK_LEVEL) * light
        return tile_of(np.rint(counts).astype(np.uint16), sequence, x_um, y_um)


def tile_of(pixels, sequence=0, x_um=0.0, y_um=0.0, pixel_um=PIXEL_UM):
    return Tile(sequence, 0, sequence, x_um, y_um, 0.0, pixels, 4095, pixel_um, 50.0)


def blank_background(shape=TILE_SHAPE):
    return Background(np.full(shape, BLANK_COUNTS, np.float32), 4095)


def analyzer(config=None, shape=TILE_SHAPE, models=None):
    return TileAnalyzer(
        models or drawn_models(), config or AnalysisConfig(), blank_background(shape)
    )


def look(smear, *places, errors=None, shape=TILE_SHAPE) -> list[TileAnalysis]:
    """Analyse tiles of a smear at places (x_um, y_um)."""
    errors = [(0.0, 0.0)] * len(places) if errors is None else errors
    one = analyzer(shape=shape)
    return [
        one.analyze(smear.tile(i, x, y, error, shape))
        for i, ((x, y), error) in enumerate(zip(places, errors, strict=True))
    ]
