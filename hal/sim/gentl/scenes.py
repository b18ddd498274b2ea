"""What the simulated camera looks at: the virtual smear, or a pattern that tells frames apart."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hal.sim.camera import Scene
from hal.sim.donors import make_donor
from hal.sim.microscope import VirtualMicroscope
from hal.sim.smear import Smear

SceneMaker = Callable[[int, int], Scene]
"""Gives the scene for a width and height in pixels."""

PATTERN_STEP = 37
"""How much brighter every pixel of the pattern is than in the frame before."""


class Pattern:
    """A ramp that differs from frame to frame, whatever light and place are."""

    def __init__(self, width_px: int, height_px: int) -> None:
        ramp = np.arange(height_px)[:, None] * 3 + np.arange(width_px)
        self._ramp: NDArray[np.uint16] = ramp.astype(np.uint16)

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
        """Return the ramp of frame ``frame_seed``; it wraps at ``full_scale``, a power of 2 - 1."""
        shift = np.uint16(PATTERN_STEP * frame_seed & 0xFFFF)
        return (self._ramp + shift) & np.uint16(full_scale)


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
