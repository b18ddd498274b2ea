"""What the simulated camera looks at: the virtual smear, or a pattern that tells frames apart."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hal.sim.blood.donors import make_donor
from hal.sim.blood.smear import Smear
from hal.sim.optics.camera import Scene
from hal.sim.optics.microscope import VirtualMicroscope

SceneMaker = Callable[[int, int], Scene]
"""Gives the scene for a width and height in pixels."""

_ROW_STEP = 3
_ROWS_PER_FRAME = 12
_PERIOD_ROWS = 4096
"""Number of rows after which the pattern repeats at every full scale."""


class Pattern:
    """A slanted ramp that moves on by twelve rows with every frame, whatever light and place are.

    Costs next to nothing, so that it measures the transport of a frame, not its rendering.
    """

    def __init__(self, width_px: int, height_px: int) -> None:
        self._height_px = height_px
        ramp = np.arange(height_px + _PERIOD_ROWS)[:, None] * _ROW_STEP + np.arange(width_px)
        self._ramp: NDArray[np.uint16] = ramp.astype(np.uint16)
        self._wrapped: dict[int, NDArray[np.uint16]] = {}

    def render(
        self,
        x_um: float,
        y_um: float,
        z_um: float,
        *,
        exposure_ms: float,
        gain_db: float = 0.0,
        full_scale: int = 4095,
        frame_seed: int = 0,
        time_s: float = 0.0,
        lit_fraction: float = 1.0,
    ) -> NDArray[np.uint16]:
        """Return a view of frame ``frame_seed``; ``full_scale`` is a power of 2 less 1."""
        if full_scale not in self._wrapped:
            self._wrapped = {full_scale: self._ramp & np.uint16(full_scale)}
        first = _ROWS_PER_FRAME * frame_seed % _PERIOD_ROWS
        return self._wrapped[full_scale][first : first + self._height_px]


def smear_scenes(smear: str, pixel_um: float) -> SceneMaker:
    """Return the maker of microscopes over the donor ``smear``, NAME:SEED."""
    slide = Smear(make_donor(smear))

    def make(width_px: int, height_px: int) -> Scene:
        microscope = VirtualMicroscope(
            slide, width_px=width_px, height_px=height_px, pixel_um=pixel_um
        )
        # Whatever is prepared at first use is prepared now: a real camera has no slow first frame.
        microscope.transmission(0.0, 0.0, 0.0)
        return microscope

    return make
