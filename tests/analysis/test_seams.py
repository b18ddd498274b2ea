"""Simulated tiles agree where they overlap, gray and stained, so that blending leaves no seam."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from device.analysis.picture import picture_of
from device.analysis.quality import PREVIEW_STEP, shrink
from device.analysis.registration.links import TileLinker
from device.analysis.registration.placement import place_tiles
from device.laboratory.virtual_scan import virtual_background, virtual_tiles
from hal.factory import virtual_microscope
from models.stainer import load_stainer

TILES = 16
LEAST_PX = 60
RIM_PX = 8
"""Where the network of the stain sees only one side."""

GLASS = 205
NOISE = 3.2
"""Of the difference of two pixels of glass: measured on these tiles."""

Image = NDArray[np.uint8]
Pair = tuple[NDArray[np.float64], NDArray[np.float64]]


@pytest.fixture(scope="module")
def placed() -> tuple[list[Image], NDArray[np.int64]]:
    """Return the pictures of a block of tiles, and where registration places their corners."""
    microscope = virtual_microscope("healthy:3000")
    background = virtual_background(microscope)
    pictures, links, places_um = [], [], []
    linker = TileLinker(microscope.pixel_um * PREVIEW_STEP)
    for tile, _ in virtual_tiles(microscope, TILES, seed=3000):
        pictures.append(picture_of(tile, background, microscope.pixel_um))
        links += linker.add(shrink(pictures[-1]), tile.x_um, tile.y_um)[1]
        places_um.append((tile.x_um, tile.y_um))
    centres_um = place_tiles(np.array(places_um), links).centres_um
    return pictures, np.rint(centres_um / microscope.pixel_um).astype(np.int64)


def overlaps(pictures: list[Image], corners_px: NDArray[np.int64]) -> Iterator[Pair]:
    """Yield what each two neighbours show of the same blood, gray."""
    height, width = pictures[0].shape[:2]
    for i, one in enumerate(pictures):
        for j in range(i):
            x, y = corners_px[i] - corners_px[j]
            wide, high = width - abs(x), height - abs(y)
            if min(wide, high) < LEAST_PX:
                continue
            other = pictures[j][max(0, y) :, max(0, x) :][:high, :wide]
            shown = one[max(0, -y) :, max(0, -x) :][:high, :wide]
            first, second = (
                (part if part.ndim == 2 else part.mean(axis=2)).astype(np.float64)[
                    RIM_PX:-RIM_PX, RIM_PX:-RIM_PX
                ]
                for part in (other, shown)
            )
            yield first, second


@pytest.mark.slow
@pytest.mark.parametrize("stained", [False, True])
def test_neighbours_show_the_same_within_the_noise(
    placed: tuple[list[Image], NDArray[np.int64]], stained: bool
) -> None:
    pictures, corners_px = placed
    if stained:
        stainer = load_stainer()
        pictures = [stainer.stain(picture, wide_field=True) for picture in pictures]
    pairs = list(overlaps(pictures, corners_px))
    assert len(pairs) > 2 * TILES
    apart = [np.sqrt(((one - other) ** 2).mean()) for one, other in pairs]
    # A tile that lies 1 px off doubles it.
    assert np.median(apart) < 1.6 * NOISE
    levels = [abs((one - other)[(one > GLASS) & (other > GLASS)].mean()) for one, other in pairs]
    # Blending spreads the difference over the whole overlap of 145 px.
    assert max(levels) < 3.0
