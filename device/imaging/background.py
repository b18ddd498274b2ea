"""Blank glass: the exposure that suits it, and the image every tile is divided by."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from device.analysis.flatfield import Background
from device.errors import SampleRefusedError
from device.imaging.field import Field
from device.imaging.imager import Imager
from device.imaging.moving import Mover
from device.settings.sections import ScanConfig
from hal.interfaces.camera import Camera, Frame

BLANK_ROW = -1
"""Row under which the ledger keeps the exposures of blank glass, one column per exposure."""

TARGET_LEVEL = 0.75
ACCEPTED_LEVELS = (0.5, 0.85)
SATURATED_LEVEL = 0.97
WEAKEST_LEVEL = 0.25
EXPOSURE_TRIES = 6
MIN_EXPOSURE_MS = 1.0
MAX_EXPOSURE_MS = 100.0
MAX_PULSE_SHARE = 0.8
"""Share of the longest pulse that an exposure may take, so that its pulse is never cut."""

STEP_UM = 80.0
FRAMES_PER_ROW = 8
"""Each frame is taken next to the last one, so that a speck of dust is in few of them."""

MAX_ROUGHNESS = 0.025
"""Relative variation on the scale of cells: clean glass 0.002, the thinnest smear 0.03."""


JudgeLed = Callable[[float, bool], None]
"""Takes the brightness, full scales per second without gain, and whether a background was taken
at it, so that it can be the measure of later ones."""


class BlankGlass:
    """Takes frames of the blank part of the slide.

    Args:
        longest_pulse_ms: hard maximum of the light.
        exposure_ms: exposure to begin with.
        note: stores what was found, as kind and data.
        judge_led: raises LedError when the LED is worn.
    """

    def __init__(
        self,
        camera: Camera,
        imager: Imager,
        mover: Mover,
        scan: ScanConfig,
        *,
        exposure_ms: float,
        longest_pulse_ms: float,
        note: Callable[[str, dict[str, Any]], None],
        judge_led: JudgeLed,
    ) -> None:
        self._camera = camera
        self._imager = imager
        self._mover = mover
        self._scan = scan
        self._note = note
        self._judge_led = judge_led
        self._exposure_ms = exposure_ms
        self._longest_ms = min(MAX_EXPOSURE_MS, MAX_PULSE_SHARE * longest_pulse_ms)
        self._frames = 0

    def take_background(self) -> Background:
        """Set the camera's exposure to suit blank glass, and take the median of frames of it.

        Raises:
            SampleRefusedError: no exposure is neither saturated nor too dark, or the place is not
                blank.
            LedError: the LED is worn.
            LeukoluxError: as camera and light raise.
        """
        suitable = self.find_exposure()
        full_scale = suitable.pixel_format.full_scale
        dark_level = float(self._imager.take_dark().pixels.mean())
        count = self._scan.background_frames
        frames = [np.asarray(self.take().pixels, np.float32) for _ in range(count)]
        blank: NDArray[np.float32] = np.median(np.stack(frames), axis=0)
        found = roughness(blank)
        self._note(
            "background",
            {
                "exposure_ms": self._exposure_ms,
                "level": float(blank.mean()) / full_scale,
                "dark_level": dark_level / full_scale,
                "roughness": found,
            },
        )
        if found > MAX_ROUGHNESS:
            raise SampleRefusedError("SAMPLE-NOT-BLANK", roughness_percent=100.0 * found)
        self._judge_led(brightness_per_s(float(blank.mean()) - dark_level, suitable), True)
        return Background(blank, full_scale, dark_level)

    @property
    def exposure_ms(self) -> float:
        """The exposure that suits, as found last."""
        return self._exposure_ms

    def find_exposure(self) -> Frame:
        """Set the exposure that suits blank glass; return a frame of it.

        Raises:
            SampleRefusedError: no exposure is neither saturated nor too dark.
            LeukoluxError: as camera, light and stage raise.
        """
        for _ in range(EXPOSURE_TRIES):
            self._camera.set_exposure(1000.0 * self._exposure_ms)
            frame = self.take()
            level = bright_level(frame)
            if ACCEPTED_LEVELS[0] <= level <= ACCEPTED_LEVELS[1]:
                return frame
            wanted_ms = self._better_exposure_ms(level)
            if wanted_ms == self._exposure_ms:
                break
            self._exposure_ms = wanted_ms
        if WEAKEST_LEVEL <= level < SATURATED_LEVEL:
            return frame
        if level < WEAKEST_LEVEL:
            self._judge_led(brightness_per_s(float(frame.pixels.mean()), frame), False)
        raise SampleRefusedError(
            "SAMPLE-EXPOSURE", level_percent=100.0 * level, exposure_ms=self._exposure_ms
        )

    def _better_exposure_ms(self, level: float) -> float:
        # A saturated level does not show how far above it the light is.
        factor = 0.25 if level >= SATURATED_LEVEL else TARGET_LEVEL / max(level, 0.01)
        return min(max(factor * self._exposure_ms, MIN_EXPOSURE_MS), self._longest_ms)

    def take(self) -> Frame:
        """Return a frame of blank glass next to the last one."""
        row, column = divmod(self._frames, FRAMES_PER_ROW)
        x_um = self._scan.blank_x_um + column * STEP_UM
        y_um = self._scan.blank_y_um + row * STEP_UM
        self._mover.to(x_um, y_um, self._scan.focus_z_um)
        self._frames += 1
        return self._imager.take(Field(BLANK_ROW, self._frames, x_um, y_um))


def bright_level(frame: Frame) -> float:
    """Return the 99.9th percentile of a frame as a share of full scale."""
    pixels: NDArray[np.uint16] = np.asarray(frame.pixels, np.uint16)
    full_scale = frame.pixel_format.full_scale
    counts = cv2.calcHist([pixels], [0], None, [full_scale + 1], [0, full_scale + 1]).ravel()
    return float(np.searchsorted(np.cumsum(counts), 0.999 * pixels.size)) / full_scale


def brightness_per_s(level: float, frame: Frame) -> float:
    """Return a mean level of blank glass, counts, as full scales per second without gain."""
    gain = math.pow(10.0, frame.gain_db / 20.0)
    return level / frame.pixel_format.full_scale / (frame.exposure_us / 1e6) / gain


def roughness(image: NDArray[np.float32]) -> float:
    """Return the relative variation between 3 and 40 px: cells count, noise and vignetting not."""
    fine = cv2.GaussianBlur(image, (0, 0), 3.0)
    coarse = cv2.GaussianBlur(image, (0, 0), 40.0)
    return float(np.std(fine / coarse))
