"""The same analysis on images from elsewhere: ``leukolux analyze``."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from device.analysis.cell_finder import FoundCell
from device.analysis.external.image_files import (
    GrayPixels,
    ScanFolder,
    ScanTile,
    collect,
    read_gray,
)
from device.analysis.external.image_report import (
    CellRow,
    FailedFile,
    ImagesOutcome,
    ImageSummary,
    Report,
)
from device.analysis.external.single_image import ImageAnalyzer, normalise
from device.analysis.flatfield import Background
from device.analysis.picture import PictureScale
from device.analysis.registry import CellRegistry
from device.analysis.tile import Tile
from device.analysis.tile_analyzer import TileAnalyzer
from device.results.cell import Cell
from device.results.differential import ScanContext, differential, tally
from device.settings.sections import AnalysisConfig
from device.system.version import versions_with
from hal.errors import InputError, LeukoluxError
from models.runtime import ModelSet, load_models

log = logging.getLogger(__name__)

_FULL_SCALES = (255, 1023, 4095, 16383, 65535)


@dataclass(frozen=True)
class _Setup:
    models: ModelSet
    config: AnalysisConfig
    background: Background | None
    blank_level: float | None


def analyze_images(
    paths: Iterable[Path],
    *,
    pixel_um: float | None,
    out: Path,
    background: Path | None = None,
    blank_level: float | None = None,
    models: ModelSet | None = None,
    config: AnalysisConfig | None = None,
) -> ImagesOutcome:
    """Find, outline and classify the white cells of images, and write what was found.

    ``out`` receives ``cells.csv`` (one row per cell), ``masks/<stem>.png`` (0 background,
    1 cytoplasm, 2 nucleus, at the size of the image) and ``differential.json``.  In an image that
    stands alone a cell cut by the border is reported and marked ``cut``; in a scan folder each
    cell is reported once, from the tile that shows it best.  A file that cannot be used is
    reported and the others are still analysed.

    Args:
        paths: images, folders of images, or folders of ``leukolux simulate``.
        pixel_um: pixel size of the images; a scan folder knows its own.
        out: folder for the output.
        background: image of blank glass to divide by, for images that are not flat.
        blank_level: gray value of blank glass in flat images; None looks for it in each image.
        models: the networks; None loads those that came with the software.
        config: analysis settings; None takes the defaults.

    Raises:
        InputError: nothing to analyse, no pixel size, an unusable background, or ``out`` cannot
            be written.
        ModelError: the networks are damaged.
    """
    sources = collect(paths)
    if sources.images and pixel_um is None:
        raise InputError("IMAGE-PIXEL-SIZE")
    setup = _Setup(
        models=models if models is not None else load_models(),
        config=config if config is not None else AnalysisConfig(),
        background=None if background is None else _background(background),
        blank_level=blank_level,
    )
    report = Report(out)
    if pixel_um is not None:
        _analyze_single_images(sources.images, pixel_um, setup, report)
    unusable: Counter[str] = Counter()
    for scan in sources.scans:
        unusable += _analyze_scan(scan, setup, report)
    context = ScanContext(
        tiles_attempted=len(report.summaries) + len(report.failed),
        tiles_missing=len(report.failed),
        tiles_unusable=unusable,
    )
    result = differential(*tally(report.rows), context)
    return report.finish(result, versions_with(setup.models.versions))


def _background(path: Path) -> Background:
    pixels = read_gray(path)
    return Background(pixels.astype(np.float32), _full_scale(pixels))


def _full_scale(pixels: GrayPixels) -> int:
    """Return the full scale of the smallest usual bit depth that holds all the counts."""
    brightest = int(pixels.max())
    return next(scale for scale in _FULL_SCALES if brightest <= scale)


def _analyze_single_images(
    paths: Sequence[Path], pixel_um: float, setup: _Setup, report: Report
) -> None:
    analyzer = ImageAnalyzer(setup.models, setup.config)
    for path, mask_name in zip(paths, report.mask_names(paths), strict=True):
        try:
            pixels = read_gray(path)
            image = normalise(pixels, setup.background, setup.blank_level)
            seen = analyzer.analyze(image, pixel_um)
        except LeukoluxError as error:
            log.warning("%s: %s", path, error)
            report.failed.append(FailedFile(str(path), error))
            continue
        report.write_mask(mask_name, seen.cells, seen.shape, pixels.shape)
        report.summaries.append(
            ImageSummary(
                file=str(path),
                mask=mask_name,
                cells=len(seen.cells),
                red_cells=seen.red_cell_count,
                platelets=seen.platelet_count,
                usability=seen.usability,
                refused=None,
            )
        )
        report.rows += [
            _row_of_image(cell, str(path), mask_name, seen.scale, pixel_um) for cell in seen.cells
        ]


def _row_of_image(cell: FoundCell, file: str, mask: str, scale: float, pixel_um: float) -> CellRow:
    x_px, y_px = _centre_in_file(cell, scale)
    pixel_um2 = (pixel_um / scale) ** 2
    return CellRow(
        file=file,
        mask=mask,
        x_px=x_px,
        y_px=y_px,
        bbox_px=_box_in_file(cell, scale),
        kind=cell.kind,
        identified=cell.identified,
        probabilities=cell.probabilities,
        area_um2=cell.shape.area_px * pixel_um2,
        nucleus_area_um2=cell.shape.nucleus_area_px * pixel_um2,
        cut=cell.cut,
        x_um=x_px * pixel_um,
        y_um=y_px * pixel_um,
    )


def _centre_in_file(cell: FoundCell | Cell, scale: float) -> tuple[float, float]:
    return (cell.x_px + 0.5) / scale - 0.5, (cell.y_px + 0.5) / scale - 0.5


def _box_in_file(cell: FoundCell | Cell, scale: float) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = (round(edge / scale) for edge in cell.bbox_px)
    return x0, y0, x1, y1


def _analyze_scan(scan: ScanFolder, setup: _Setup, report: Report) -> Counter[str]:
    """Analyse the tiles of a scan; return the number of unusable tiles by reason."""
    background = _background(scan.background)
    analyzer = TileAnalyzer(setup.models, setup.config, background)
    registry = CellRegistry(setup.models.pixel_um, setup.config.merge_distance_um)
    masks = report.mask_names([tile.path for tile in scan.tiles])
    unusable: Counter[str] = Counter()
    for sequence, place in enumerate(scan.tiles):
        try:
            tile = Tile(
                sequence=sequence,
                row=0,
                column=sequence,
                x_um=place.x_um,
                y_um=place.y_um,
                z_um=place.z_um,
                pixels=read_gray(place.path).astype(np.uint16),
                full_scale=background.full_scale,
                pixel_um=place.pixel_um,
                exposure_ms=place.exposure_ms,
            )
            analysis, found = analyzer.outline(tile)
        except LeukoluxError as error:
            log.warning("%s: %s", place.path, error)
            report.failed.append(FailedFile(str(place.path), error))
            continue
        registry.add(analysis, tile.x_um, tile.y_um)
        picture_shape = PictureScale(tile.pixel_um, setup.models.pixel_um).shape(tile.pixels.shape)
        report.write_mask(masks[sequence], found, picture_shape, tile.pixels.shape)
        if analysis.quality.reason is not None:
            unusable[analysis.quality.reason] += 1
        report.summaries.append(
            ImageSummary(
                file=str(place.path),
                mask=masks[sequence],
                cells=len(analysis.cells),
                red_cells=analysis.red_cell_count,
                platelets=analysis.platelet_count,
                usability=float(analysis.quality.usable),
                refused=analysis.quality.reason,
            )
        )
    report.rows += [
        _row_of_scan(
            cell,
            scan.tiles[cell.tile_sequence],
            masks[cell.tile_sequence],
            setup.models.pixel_um,
        )
        for cell in registry.settle().cells
    ]
    return unusable


def _row_of_scan(cell: Cell, tile: ScanTile, mask: str, network_um: float) -> CellRow:
    scale = PictureScale(tile.pixel_um, network_um).factor
    x_px, y_px = _centre_in_file(cell, scale)
    return CellRow(
        file=str(tile.path),
        mask=mask,
        x_px=x_px,
        y_px=y_px,
        bbox_px=_box_in_file(cell, scale),
        kind=cell.kind,
        identified=cell.identified,
        probabilities=cell.probabilities,
        area_um2=cell.area_um2,
        nucleus_area_um2=cell.nucleus_area_um2,
        cut=False,
        x_um=cell.x_um,
        y_um=cell.y_um,
    )
