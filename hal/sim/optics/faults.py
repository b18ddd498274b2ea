"""What can go wrong between LED and camera chip of the simulated microscope."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hal.sim.blood.masses import Float32Array
from hal.sim.blood.seeds import generator

_SPECKS = 40
_SPECK_PX = (3, 14)


@dataclass
class OpticalFaults:
    """Switches; the next frame shows them.

    Attributes:
        led_output: share of its light that the LED still gives.
        leak_e_per_ms: photoelectrons per pixel and millisecond of stray light, LED on or off.
        dirt: loss of light in specks that stay in place whatever the stage does, 0 to 1.
        misalignment: further slope of the light across the field, peak to mean.
        defocus_um: how far the objective has slipped from its seat.
    """

    led_output: float = 1.0
    leak_e_per_ms: float = 0.0
    dirt: float = 0.0
    misalignment: float = 0.0
    defocus_um: float = 0.0

    def light(self, height_px: int, width_px: int) -> Float32Array:
        """Return the share of the light that is left, (height_px, width_px)."""
        light = np.full((height_px, width_px), self.led_output, np.float32)
        if self.misalignment:
            light *= 1.0 + np.float32(self.misalignment) * np.linspace(
                -1.0, 1.0, width_px, dtype=np.float32
            )
        if self.dirt:
            specks = np.zeros_like(light)
            rng = generator("dirt", 1)
            for x, y, radius in zip(
                rng.uniform(0, width_px, _SPECKS),
                rng.uniform(0, height_px, _SPECKS),
                rng.uniform(*_SPECK_PX, _SPECKS),
                strict=True,
            ):
                cv2.circle(specks, (int(x), int(y)), int(radius), 1.0, -1)
            light *= 1.0 - np.float32(self.dirt) * cv2.GaussianBlur(specks, (0, 0), 3.0)
        return light
