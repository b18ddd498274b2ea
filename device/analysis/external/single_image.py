"""One image without a stage: any brightness, any pixel size, any extent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from device.analysis.cell_finder import CellFinder, FoundCell
from device.analysis.external.image_files import GrayPixels
from device.analysis.flatfield import Background, Image, flat_field
from device.settings.sections import AnalysisConfig
from hal.errors import InputError
from models.blank_glass import bright_mode
from models.layout import BLANK_LEVEL
from models.runtime import ModelSet

_MIN_SIDE_PX = 24
_WINDOW_PX = 1280
_WINDOW_OVERLAP_PX = 192
_SCOUT_MIN_PX = 256
_BLANK_SAMPLE = 100_000
_SINGLE_CELL_SIDE_UM = 40.0
_CENTRAL_REACH_UM = 4.0


@dataclass(frozen=True)
class ImageCells:
    """What one image shows, in pixels of the networks' size.

    Attributes:
        cells: all white cells, those the border cuts included.
        shape: height and width at the networks' pixel size.
        scale: networks' pixels per pixel of the file.
        red_cell_count: red cells.
        platelet_count: platelets.
        usability: how far the image can be read, 0 to 1.
    """

    cells: list[FoundCell]
    shape: tuple[int, int]
    scale: float
    red_cell_count: int
    platelet_count: int
    usability: float


def normalise(
    pixels: GrayPixels, background: Background | None, blank_level: float | None
) -> Image:
    """Return an image with blank glass at 220.

    Args:
        pixels: 8 or 16 bit, (h, w).
        background: blank glass to divide by, or None for an image that is already flat.
        blank_level: gray value of blank glass without a background; None looks for it.

    Raises:
        InputError: the image is black, or does not fit the background.
    """
    if background is not None:
        return flat_field(pixels.astype(np.uint16), background)
    level = blank_level if blank_level is not None else find_blank_level(pixels)
    return np.asarray(cv2.convertScaleAbs(pixels, alpha=BLANK_LEVEL / level), dtype=np.uint8)


def find_blank_level(pixels: GrayPixels) -> float:
    """Return the gray value of blank glass: the brightest clear peak of the histogram.

    Where no peak stands out, the 99th percentile.  Raises InputError for a black image.
    """
    step = max(1, int((pixels.size / _BLANK_SAMPLE) ** 0.5))
    sample = np.ascontiguousarray(pixels[::step, ::step], dtype=np.float32)
    top = float(sample.max())
    if top <= 0:
        raise InputError("IMAGE-BLACK")
    mode = bright_mode(sample, 1.01 * top)
    return mode if mode is not None else float(np.percentile(sample, 99))


def resample(image: Image, scale: float) -> Image:
    """Return the image enlarged by ``scale``, averaged where that shrinks it."""
    if abs(scale - 1.0) < 0.01:
        return image
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=how), dtype=np.uint8)


class ImageAnalyzer:
    """Finds the cells of normalised images of any size."""

    def __init__(self, models: ModelSet, config: AnalysisConfig) -> None:
        self._models = models
        self._threshold = config.scout_threshold or None
        self._finder = CellFinder(models, config)

    def analyze(self, normalised: Image, pixel_um: float) -> ImageCells:
        """Find the cells of an image.

        An image no larger than 40 um is taken for a crop of one cell: when a cell covers its
        centre, only that cell is reported.

        Args:
            normalised: blank glass at 220, (h, w).
            pixel_um: its pixel size.

        Raises:
            InputError: the image is too small for any cell.
        """
        scale = pixel_um / self._models.pixel_um
        if min(normalised.shape) * scale < _MIN_SIDE_PX:
            raise InputError(
                "IMAGE-TOO-SMALL",
                found_um=min(normalised.shape) * pixel_um,
                least_um=_MIN_SIDE_PX * self._models.pixel_um,
            )
        image = resample(normalised, scale)
        nuclei, red_cells, platelets, usability = self._scout(image)
        if max(image.shape) * self._models.pixel_um <= _SINGLE_CELL_SIDE_UM:
            cells = self._central_or_all(image, nuclei)
        else:
            cells = self._finder.find(image, nuclei)
        return ImageCells(cells, image.shape, scale, red_cells, platelets, usability)

    def _central_or_all(self, image: Image, nuclei: NDArray[np.float32]) -> list[FoundCell]:
        middle = np.array([(image.shape[1] - 1) / 2.0, (image.shape[0] - 1) / 2.0], np.float32)
        cells = self._finder.find(image, nuclei)
        central = _covering(cells, middle, _CENTRAL_REACH_UM / self._models.pixel_um)
        if central is None:
            asked = np.array([[*middle, 1.0]], np.float32)
            central = _covering(self._finder.find(image, asked), middle, 0.0)
        return cells if central is None else [central]

    def _scout(self, image: Image) -> tuple[NDArray[np.float32], int, int, float]:
        nuclei, usabilities = [], []
        red_cells = platelets = 0
        for x0, y0, window, core in _windows(image):
            seen = self._models.scout.find(window, self._threshold)
            nuclei.append(_within(seen.nuclei, core) + np.array([x0, y0, 0], np.float32))
            red_cells += len(_within(seen.red_cells, core))
            platelets += len(_within(seen.platelets, core))
            usabilities.append(seen.usability)
        found = np.concatenate(nuclei)
        order = np.argsort(-found[:, 2], kind="stable")
        red_cells, platelets = self._models.scout.counts(red_cells, platelets, image.size)
        return found[order], red_cells, platelets, float(np.mean(usabilities))


_Core = tuple[float, float, float, float]


def _windows(image: Image) -> Iterator[tuple[int, int, Image, _Core]]:
    """Yield overlapping windows: corner, pixels, and the core whose finds belong to the window.

    The cores tile the image, so that every place belongs to exactly one window.
    """
    height, width = image.shape
    for y0, top, bottom in _spans(height):
        for x0, left, right in _spans(width):
            window = image[y0 : y0 + _WINDOW_PX, x0 : x0 + _WINDOW_PX]
            yield x0, y0, _at_least(window, _SCOUT_MIN_PX), (left, top, right, bottom)


def _spans(length: int) -> Iterator[tuple[int, float, float]]:
    """Yield start of each window along one axis, and start and end of its core in the window."""
    step = _WINDOW_PX - _WINDOW_OVERLAP_PX
    starts = range(0, max(1, length - _WINDOW_OVERLAP_PX), step)
    for start in starts:
        first, last = start == starts[0], start == starts[-1]
        low = -0.5 if first else _WINDOW_OVERLAP_PX / 2 - 0.5
        high = length - start - 0.5 if last else _WINDOW_PX - _WINDOW_OVERLAP_PX / 2 - 0.5
        yield start, low, high


def _within(points: NDArray[np.float32], core: _Core) -> NDArray[np.float32]:
    x, y = points[:, 0], points[:, 1]
    left, top, right, bottom = core
    return points[(x >= left) & (x < right) & (y >= top) & (y < bottom)]


def _at_least(image: Image, side_px: int) -> Image:
    """Return the image, continued with blank glass to the right and below up to ``side_px``."""
    below, right = (max(0, side_px - side) for side in image.shape)
    return np.asarray(
        cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_CONSTANT, value=[BLANK_LEVEL]),
        dtype=np.uint8,
    )


def _covering(
    cells: list[FoundCell], point: NDArray[np.float32], reach_px: float
) -> FoundCell | None:
    """Return the cell whose region covers a point or, failing that, lies within reach of it."""
    for cell in cells:
        x0, y0, x1, y1 = cell.bbox_px
        column, row = (int(v) for v in np.rint(point))
        if x0 <= column < x1 and y0 <= row < y1 and cell.mask[row - y0, column - x0]:
            return cell
    apart = [float(np.hypot(cell.x_px - point[0], cell.y_px - point[1])) for cell in cells]
    if apart and min(apart) <= reach_px:
        return cells[int(np.argmin(apart))]
    return None
