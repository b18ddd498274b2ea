"""The picture of a tile: blank glass at 220, at the pixel size of the networks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from device.analysis.flatfield import Background, Image, flat_field
from device.analysis.tile import Tile
from hal.errors import InputError
from models.manifest import read_manifest
from models.runtime import PACKAGE_DIRECTORY

_PIXEL_TOLERANCE = 0.02
_MIN_FACTOR = 0.5


@dataclass(frozen=True)
class PictureScale:
    """From the pixels of a camera to those of the pictures that the networks see.

    Pixels within 2 % of the networks' stay as they are; finer ones, down to half, are resampled.

    Attributes:
        tile_um: size of a pixel of the tiles.
        network_um: pixel size that the networks expect.

    Raises:
        InputError: the pixels are coarser, so that the networks would miss detail, or so fine that
            the camera had better bin them.
    """

    tile_um: float
    network_um: float

    def __post_init__(self) -> None:
        if not _MIN_FACTOR <= self.tile_um / self.network_um <= 1 + _PIXEL_TOLERANCE:
            raise InputError(
                "TILE-PIXEL-SIZE",
                found_um=self.tile_um,
                low_um=_MIN_FACTOR * self.network_um,
                high_um=self.network_um,
            )

    @property
    def factor(self) -> float:
        """Pixels of the picture per pixel of the tile, along each axis."""
        ratio = self.tile_um / self.network_um
        return 1.0 if abs(ratio - 1.0) <= _PIXEL_TOLERANCE else ratio

    @property
    def pixel_um(self) -> float:
        """Size of a pixel of the picture."""
        return self.tile_um / self.factor

    def shape(self, tile_shape: tuple[int, ...]) -> tuple[int, int]:
        """Return height and width of the picture of a tile of this height and width."""
        height, width = (int(side * self.factor) for side in tile_shape)
        return height, width

    def apply(self, image: Image) -> Image:
        """Return the image at the pixel size of the picture; its upper left corner stays."""
        if self.factor == 1.0:
            return image
        height, width = self.shape(image.shape)
        # Given by factors and not by a size, the scale is exact, and all tiles share one grid.
        resampled = cv2.resize(
            image, None, fx=self.factor, fy=self.factor, interpolation=cv2.INTER_LINEAR
        )
        return np.ascontiguousarray(resampled[:height, :width], dtype=np.uint8)


def picture_of(tile: Tile, background: Background, network_um: float) -> Image:
    """Return the picture of a tile, uint8 of :meth:`PictureScale.shape`.

    Raises:
        InputError: the tile fits neither the background nor the networks.
    """
    scale = PictureScale(tile.pixel_um, network_um)
    return scale.apply(flat_field(tile.pixels, background))


@cache
def network_pixel_um() -> float:
    """Return the pixel size of the networks that came with the software.

    Raises:
        ModelError: their manifest is missing or damaged.
    """
    return read_manifest(PACKAGE_DIRECTORY).pixel_um
