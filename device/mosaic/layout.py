"""Where the tiles of a run lie on one canvas."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from device.analysis.picture import PictureScale, network_pixel_um
from device.analysis.tile_analyzer import centre_px
from device.records.record_types import RunRecord, TileRecord
from device.settings.sections import ScanConfig
from hal.config import CameraConfig

_MARGIN: Final = 0.02
"""Around the scan area, as a share of it: a turned camera sees the area turned."""

_LEAST_MARGIN_UM: Final = 20.0


@dataclass(frozen=True)
class TileGeometry:
    """How large the pictures of the tiles of a run are.

    Attributes:
        pixel_um: size of a pixel.
        height_px: of a picture.
        width_px: of a picture.
        overlap_px: of two neighbours.
    """

    pixel_um: float
    height_px: int
    width_px: int
    overlap_px: int

    @classmethod
    def of(cls, run: RunRecord) -> TileGeometry:
        """Return that of a run, from the settings that it was done with."""
        camera, scan = CameraConfig(), ScanConfig()
        taken = run.settings.get("camera", {})
        scale = PictureScale(taken.get("pixel_um", camera.pixel_um), network_pixel_um())
        height_px, width_px = scale.shape(
            (taken.get("height_px", camera.height_px), taken.get("width_px", camera.width_px))
        )
        overlap_um = run.settings.get("scan", {}).get("overlap_um", scan.overlap_um)
        return cls(scale.pixel_um, height_px, width_px, max(1, round(overlap_um / scale.pixel_um)))


@dataclass(frozen=True)
class MosaicLayout:
    """The canvas of a run and the tiles on it.

    The canvas is the scan area with a margin, so that it stays while a scan runs.

    Attributes:
        picture: how large the tiles' pictures are.
        left_um: x of the middle of the canvas's first pixel.
        top_um: y of the same.
        width_px: of the canvas.
        height_px: of the canvas.
        sequences: of the tiles, (N,).
        corners_px: x and y of their upper left pixels on the canvas, (N, 2).
    """

    picture: TileGeometry
    left_um: float
    top_um: float
    width_px: int
    height_px: int
    sequences: NDArray[np.int64]
    corners_px: NDArray[np.int64]

    @classmethod
    def of(cls, run: RunRecord, tiles: Iterable[TileRecord]) -> MosaicLayout:
        """Return the layout of a run: all its tiles that were taken, usable or not."""
        picture = TileGeometry.of(run)
        scan = ScanConfig().model_dump() | dict(run.settings.get("scan", {}))
        taken = [tile for tile in tiles if tile.sequence is not None]
        centres_um = np.array([tile.centre_um for tile in taken]).reshape(-1, 2)
        middle_px = centre_px((picture.height_px, picture.width_px))
        half_um = np.multiply(middle_px, picture.pixel_um)
        size_um = np.array([scan["width_um"], scan["height_um"]])
        area_um = np.array([scan["left_um"], scan["top_um"]])
        margin_um = max(_LEAST_MARGIN_UM, _MARGIN * float(size_um.max()))
        # Tiles lie outside only if the scan area of the settings is not that of the run.
        first_um = np.vstack([area_um - margin_um, centres_um - half_um]).min(axis=0)
        last_um = np.vstack([area_um + size_um + margin_um, centres_um + half_um]).max(axis=0)
        width_px, height_px = np.ceil((last_um - first_um) / picture.pixel_um).astype(int) + 1
        corners_px = np.rint((centres_um - half_um - first_um) / picture.pixel_um)
        return cls(
            picture,
            float(first_um[0]),
            float(first_um[1]),
            int(width_px),
            int(height_px),
            np.array([tile.sequence for tile in taken], dtype=np.int64),
            corners_px.astype(np.int64),
        )

    @property
    def seen_px(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of what the tiles show; of the canvas without tiles."""
        if not len(self.sequences):
            return 0, 0, self.width_px, self.height_px
        left, top = self.corners_px.min(axis=0)
        right, bottom = self.corners_px.max(axis=0)
        return (
            int(left),
            int(top),
            int(right) + self.picture.width_px,
            int(bottom) + self.picture.height_px,
        )

    def place_px(self, x_um: float, y_um: float) -> tuple[float, float]:
        """Return where a place of the mosaic lies on the canvas."""
        pixel_um = self.picture.pixel_um
        return (x_um - self.left_um) / pixel_um, (y_um - self.top_um) / pixel_um

    def within(self, left_px: int, top_px: int, right_px: int, bottom_px: int) -> NDArray[np.int64]:
        """Return the indices of the tiles that show some of a rectangle of the canvas."""
        size = np.array([self.picture.width_px, self.picture.height_px])
        ends_px = self.corners_px + size
        inside = (self.corners_px < (right_px, bottom_px)) & (ends_px > (left_px, top_px))
        return np.flatnonzero(inside.all(axis=1)).astype(np.int64)
