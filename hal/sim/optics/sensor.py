"""A monochrome UV camera chip: photoelectrons to counts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from hal.sim.blood.masses import Float32Array
from hal.sim.blood.seeds import generator

_HOT_SHARE = 0.5


@dataclass(frozen=True)
class Sensor:
    """The chip of the paper's 1392 x 1040 camera.

    Attributes:
        full_well_e: photoelectrons that give full scale at 0 dB.
        read_noise_e: standard deviation.
        dark_current_e_per_s: per pixel.
        black_level: offset of a dark frame, share of full scale.
        response_spread: relative standard deviation of the pixels' sensitivity.
        seed: which chip.
        compression: share of its signal that a full well loses; 0 is a linear chip.
        hot_pixels: pixels that are bright without light.
    """

    full_well_e: float = 16_000.0
    read_noise_e: float = 6.0
    dark_current_e_per_s: float = 4.0
    black_level: float = 0.008
    response_spread: float = 0.004
    seed: int = 1
    compression: float = 0.0
    hot_pixels: int = 0

    def response(self, height_px: int, width_px: int) -> Float32Array:
        """Return the pixels' relative sensitivity, (height_px, width_px), mean 1."""
        return _response(self, height_px, width_px)

    def read_out(
        self,
        photoelectrons: Float32Array,
        *,
        exposure_ms: float,
        gain_db: float,
        full_scale: int,
        frame_seed: int,
    ) -> NDArray[np.uint16]:
        """Return the counts of one frame, 0 to ``full_scale``.

        Shot noise is drawn from the normal distribution of the Poisson distribution's variance:
        the two agree to well under one count at the hundreds of electrons of a lit pixel.

        Args:
            photoelectrons: expected number per pixel.
            exposure_ms: over which dark current collects.
            gain_db: analog gain.
            full_scale: largest count.
            frame_seed: of the noise.
        """
        expected = photoelectrons + np.float32(self.dark_current_e_per_s * exposure_ms * 1e-3)
        noise = np.empty_like(expected)
        cv2.setRNGSeed(int(generator("frame", self.seed, frame_seed).integers(1, 2**31 - 1)))
        cv2.randn(noise, np.zeros(1), np.ones(1))
        noise *= cv2.sqrt(expected + np.float32(self.read_noise_e**2))
        electrons = np.minimum(expected + noise, np.float32(self.full_well_e))
        if self.compression:
            electrons -= np.float32(self.compression / self.full_well_e) * electrons**2
        if self.hot_pixels:
            places = generator("hot", self.seed).integers(0, electrons.size, self.hot_pixels)
            electrons.flat[places] += np.float32(_HOT_SHARE * self.full_well_e)
        counts_per_e = full_scale / self.full_well_e * 10.0 ** (gain_db / 20.0)
        counts = electrons * np.float32(counts_per_e) + np.float32(
            self.black_level * full_scale + 0.5
        )
        return np.asarray(np.clip(counts, 0.0, full_scale), np.uint16)


@lru_cache(maxsize=4)
def _response(sensor: Sensor, height_px: int, width_px: int) -> Float32Array:
    noise = generator("chip", sensor.seed).standard_normal((height_px, width_px), np.float32)
    response = 1.0 + np.float32(sensor.response_spread) * noise
    response.setflags(write=False)
    return response
