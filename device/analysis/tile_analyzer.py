"""One tile in, its cells and its quality out.  Pure: no state between tiles, one per thread."""

from __future__ import annotations

import time
from dataclasses import dataclass

from device.analysis.cell_finder import CellFinder, FoundCell
from device.analysis.flatfield import Background, Image, saturated_fraction
from device.analysis.picture import PictureScale, picture_of
from device.analysis.quality import TileQuality, Unusable, assess, shrink
from device.analysis.tile import Tile
from device.results.cell import Cell
from device.settings.sections import AnalysisConfig
from models.runtime import ModelSet


@dataclass(frozen=True)
class TileAnalysis:
    """What one tile shows.

    Attributes:
        sequence: of the tile.
        quality: whether it counts; the cells of an unusable tile are not looked for.
        cells: those that are whole in this tile; the ones its border cuts are left to the
            neighbour.  A cell in the overlap is reported by each tile that sees it whole.
        red_cell_count: red cells in the tile, corrected for hidden ones.
        platelet_count: platelets in the tile, corrected for hidden ones.
        elapsed_ms: time of the analysis.
        preview: uint8, the tile's picture at a quarter of its size.
    """

    sequence: int
    quality: TileQuality
    cells: tuple[Cell, ...]
    red_cell_count: int
    platelet_count: int
    elapsed_ms: float
    preview: Image


class TileAnalyzer:
    """Analyses tiles taken under one background.

    Raises:
        InputError: the tiles' pixels are too coarse or too fine; from :meth:`analyze`.
    """

    def __init__(self, models: ModelSet, config: AnalysisConfig, background: Background) -> None:
        self._models = models
        self._config = config
        self._background = background
        self._finder = CellFinder(models, config)

    def analyze(self, tile: Tile) -> TileAnalysis:
        """Analyse one tile; several analyzers may do so at once, in any order.

        Raises:
            InputError: the tile does not fit the background or the networks.
        """
        return self.outline(tile)[0]

    def outline(self, tile: Tile) -> tuple[TileAnalysis, list[FoundCell]]:
        """Analyse one tile and also return all its cells, the cut ones included.

        All pixels are those of the tile's picture: see :mod:`device.analysis.picture`.

        Raises:
            InputError: as :meth:`analyze`.
        """
        start_s = time.perf_counter()
        image = picture_of(tile, self._background, self._models.pixel_um)
        preview = shrink(image)
        saturated = saturated_fraction(tile.pixels, tile.full_scale)
        quality = assess(image, preview, saturated, self._config)
        found: list[FoundCell] = []
        red_cells = platelets = 0
        if quality.usable:
            seen = self._models.scout.find(image, self._config.scout_threshold or None)
            red_cells, platelets = self._models.scout.counts(
                len(seen.red_cells), len(seen.platelets), image.size
            )
            if seen.usability < self._config.min_usability:
                quality = quality.refused(Unusable.OUT_OF_FOCUS)
            else:
                found = self._finder.find(image, seen.nuclei)
        pixel_um = PictureScale(tile.pixel_um, self._models.pixel_um).pixel_um
        analysis = TileAnalysis(
            sequence=tile.sequence,
            quality=quality,
            cells=tuple(
                _located(cell, tile, image.shape, pixel_um) for cell in found if not cell.cut
            ),
            red_cell_count=red_cells,
            platelet_count=platelets,
            elapsed_ms=(time.perf_counter() - start_s) * 1e3,
            preview=preview,
        )
        return analysis, found


def centre_px(shape: tuple[int, ...]) -> tuple[float, float]:
    """Return x and y of the middle of an image of ``shape`` (height, width)."""
    return (shape[1] - 1) / 2.0, (shape[0] - 1) / 2.0


def _located(cell: FoundCell, tile: Tile, shape: tuple[int, ...], pixel_um: float) -> Cell:
    middle_x_px, middle_y_px = centre_px(shape)
    pixel_um2 = pixel_um**2
    return Cell(
        tile_sequence=tile.sequence,
        x_um=tile.x_um + (cell.x_px - middle_x_px) * pixel_um,
        y_um=tile.y_um + (cell.y_px - middle_y_px) * pixel_um,
        x_px=cell.x_px,
        y_px=cell.y_px,
        bbox_px=cell.bbox_px,
        kind=cell.kind,
        probabilities=cell.probabilities,
        identified=cell.identified,
        area_um2=cell.shape.area_px * pixel_um2,
        nucleus_area_um2=cell.shape.nucleus_area_px * pixel_um2,
        thumbnail=cell.thumbnail,
        mask=cell.thumbnail_mask,
    )
