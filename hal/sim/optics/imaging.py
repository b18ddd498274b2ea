"""Partially coherent imaging of a thin object through a circular pupil.

Abbe's method: the condenser's source disc is replaced by seven tilted plane waves, each wave
images the object coherently, and the intensities add.  The seven points are the degree-5
quadrature of the disc (Hammer and Stroud 1958): its centre with weight 1/4 and a hexagon at
sqrt(2/3) of the radius with weights 1/8.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hal.sim.blood.masses import Float32Array
from hal.sim.blood.seeds import generator

_HALF_DECADE = math.log(10.0) / 2.0
_MARGIN_PX = 20
_CENTRE_WEIGHT = 1.0 / 4.0
_RING_WEIGHT = 1.0 / 8.0


@dataclass(frozen=True)
class Optics:
    """Objective, condenser and lamp.

    Attributes:
        numerical_aperture: of the objective.
        condenser_sigma: condenser aperture relative to the objective's.
        vignetting: loss of light from the centre to the corners.
        unevenness: slope of the light across the field, peak to mean.
        blank_electrons_per_ms: mean photoelectrons per pixel and millisecond of blank glass.
        warm_up_loss: share of its cold output that the LED loses until it is warm.
        warm_up_s: time constant of that loss; both together give 1-3 %/min at first.
        pulse_jitter: relative standard deviation of the energy of single light pulses.
        seed: alignment of this instrument's lamp.
    """

    numerical_aperture: float = 0.5
    condenser_sigma: float = 0.3
    vignetting: float = 0.14
    unevenness: float = 0.06
    blank_electrons_per_ms: float = 230.0
    warm_up_loss: float = 0.06
    warm_up_s: float = 180.0
    pulse_jitter: float = 0.006
    seed: int = 1

    def illumination(self, height_px: int, width_px: int) -> Float32Array:
        """Return the light on blank glass, (height_px, width_px), mean 1."""
        rng = generator("lamp", self.seed)
        direction = rng.uniform(0.0, 2.0 * math.pi)
        x = np.linspace(-1.0, 1.0, width_px, dtype=np.float32)[None, :]
        y = np.linspace(-1.0, 1.0, height_px, dtype=np.float32)[:, None]
        centre_x, centre_y = rng.uniform(-0.2, 0.2, 2)
        light = 1.0 - self.vignetting * ((x - centre_x) ** 2 + (y - centre_y) ** 2) / 2.0
        light += self.unevenness * (math.cos(direction) * x + math.sin(direction) * y)
        phase_x, phase_y = rng.uniform(0.0, 2.0 * math.pi, 2)
        light += 0.015 * np.sin(4.0 * x + phase_x) * np.sin(3.0 * y + phase_y)
        return np.asarray(light / light.mean(), np.float32)

    def light_output(self, time_s: float) -> float:
        """Return the LED's output ``time_s`` after switch-on, relative to the cold LED."""
        return 1.0 - self.warm_up_loss * (1.0 - math.exp(-max(0.0, time_s) / self.warm_up_s))


class Imager:
    """Images of objects on one pixel grid at one wavelength.

    Args:
        optics: the aperture and the condenser.
        height_px: rows of the image.
        width_px: columns of the image.
        pixel_um: pixel size in the object plane.
        wavelength_nm: of the light.
    """

    def __init__(
        self, optics: Optics, height_px: int, width_px: int, pixel_um: float, wavelength_nm: float
    ) -> None:
        self.height_px = height_px
        self.width_px = width_px
        self.padded_height_px = cv2.getOptimalDFTSize(height_px + 2 * _MARGIN_PX)
        self.padded_width_px = cv2.getOptimalDFTSize(width_px + 2 * _MARGIN_PX)
        self.top_px = (self.padded_height_px - height_px) // 2
        self.left_px = (self.padded_width_px - width_px) // 2
        self._sample_pupil(optics, pixel_um, wavelength_nm * 1e-3)

    def _sample_pupil(self, optics: Optics, pixel_um: float, wavelength_um: float) -> None:
        cutoff = optics.numerical_aperture / wavelength_um
        step_x = 1.0 / (self.padded_width_px * pixel_um)
        step_y = 1.0 / (self.padded_height_px * pixel_um)
        ring = math.sqrt(2.0 / 3.0) * optics.condenser_sigma * cutoff
        angles = [k * math.pi / 3.0 for k in range(6)]
        self._ring_px = [
            (round(ring * math.sin(angle) / step_y), round(ring * math.cos(angle) / step_x))
            for angle in angles
        ]
        self._tilt_y = max(tilt[0] for tilt in self._ring_px)
        self._tilt_x = max(tilt[1] for tilt in self._ring_px)
        # A coarse camera cannot sample the whole pupil; what it can is kept.
        self._half_y = min(
            math.ceil(cutoff / step_y), (self.padded_height_px - 1) // 2 - self._tilt_y
        )
        self._half_x = min(
            math.ceil(cutoff / step_x), (self.padded_width_px - 1) // 2 - self._tilt_x
        )
        y = np.arange(-self._half_y, self._half_y + 1, dtype=np.float32)[:, None] * step_y
        x = np.arange(-self._half_x, self._half_x + 1, dtype=np.float32)[None, :] * step_x
        radius = np.hypot(x, y)
        edge = 0.5 + (cutoff - radius) / max(step_x, step_y)
        samples = self.padded_height_px * self.padded_width_px
        self._aperture = (np.clip(edge, 0.0, 1.0) / samples).astype(np.float32)
        axial = np.sqrt(np.maximum(wavelength_um**-2 - radius**2, 0.0)) - 1.0 / wavelength_um
        self._defocus_rad_per_um = (-2.0 * math.pi * axial).astype(np.float32)

    def spectrum(
        self, optical_density: Float32Array, phase_rad: Float32Array
    ) -> NDArray[np.complex64]:
        """Return the part of an object's spectrum that the pupil can pass.

        Args:
            optical_density: decadic, (padded_height_px, padded_width_px).
            phase_rad: of the same shape.
        """
        amplitude = cv2.exp(optical_density * np.float32(-_HALF_DECADE))
        field = cv2.merge(cv2.polarToCart(amplitude, phase_rad))
        full = cv2.dft(field).view(np.complex64)[..., 0]
        rows, columns = self._half_y + self._tilt_y, self._half_x + self._tilt_x
        low = np.concatenate([full[-rows:], full[: rows + 1]])
        low = np.concatenate([low[:, -columns:], low[:, : columns + 1]], axis=1)
        return np.asarray(np.conj(low), np.complex64)

    def image(self, spectrum: NDArray[np.complex64], defocus_um: float) -> Float32Array:
        """Return the intensity, (height_px, width_px), 1 on blank glass.

        Args:
            spectrum: from :meth:`spectrum`.
            defocus_um: distance of the focal plane from the object.
        """
        real, imaginary = cv2.polarToCart(
            self._aperture, self._defocus_rad_per_um * np.float32(defocus_um)
        )
        pupil = cv2.merge((real, imaginary)).view(np.complex64)[..., 0]
        rows, columns = pupil.shape
        waves = np.zeros((self.padded_height_px, self.padded_width_px), np.complex64)
        squares = np.zeros((self.padded_height_px, self.padded_width_px, 2), np.float32)
        wave = np.empty_like(squares)
        centre = ((0, 0), pupil * np.float32(math.sqrt(_CENTRE_WEIGHT)))
        on_ring = pupil * np.float32(math.sqrt(_RING_WEIGHT))
        for (tilt_y, tilt_x), weighted_pupil in [centre, *((px, on_ring) for px in self._ring_px)]:
            top, left = self._tilt_y + tilt_y, self._tilt_x + tilt_x
            tilted = spectrum[top : top + rows, left : left + columns]
            # Where in the spectrum the passed band lies only tilts the wave: the corner will do.
            np.multiply(tilted, weighted_pupil, out=waves[:rows, :columns])
            cv2.dft(waves.view(np.float32).reshape(squares.shape), wave)
            cv2.accumulateSquare(wave, squares)
        part = squares[
            self.top_px : self.top_px + self.height_px,
            self.left_px : self.left_px + self.width_px,
        ]
        return part[..., 0] + part[..., 1]
