"""Step: gain and read noise of the camera by the photon transfer method, on blank glass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from itertools import count

import numpy as np
from numpy.typing import NDArray

from device.calibration.steps.context import CalibrationContext
from device.calibration.steps.photon_transfer import (
    PhotonTransfer,
    TransferPoint,
    dark_level,
    measure_point,
    photon_transfer,
)
from device.calibration.steps.quantities import Outcome, Quantity, judged
from device.imaging.background import BLANK_ROW, MAX_PULSE_SHARE
from device.imaging.field import Field
from hal.interfaces.camera import Camera, Frame

SHORTEST_MS = 0.05
EXPOSURES = 10
LONGEST_SHARE = 1.2
"""Of the exposure that suits blank glass: nearly saturated."""

MAX_LINEARITY_ERROR = 0.05
MAX_READ_NOISE_E = 50.0
MAX_GAIN_UNCERTAINTY = 0.1

_CODES = {
    "gain_e_per_count": "CALIBRATION-GAIN",
    "gain_relative_uncertainty": "CALIBRATION-GAIN-UNCERTAIN",
    "read_noise_e": "CALIBRATION-NOISE",
    "linearity_error": "CALIBRATION-LINEARITY",
}


def measure(context: CalibrationContext, entries: Mapping[str, float]) -> Outcome:
    """Take pairs of frames of one blank place from dark to nearly saturated."""
    context.prepare()
    rig, scan = context.rig, context.settings.scan
    camera = rig.hardware.camera
    rig.mover.to(scan.blank_x_um, scan.blank_y_um, scan.focus_z_um)
    camera.set_exposure(1000.0 * SHORTEST_MS)
    dark = (rig.imager.take_dark().pixels, rig.imager.take_dark().pixels)
    longest_ms = min(
        LONGEST_SHARE * rig.glass.exposure_ms, MAX_PULSE_SHARE * rig.hardware.light.max_pulse_ms
    )
    numbers = count(1)

    def take() -> Frame:
        number = next(numbers)
        context.say("Taking pairs of frames.", 0.3 + 0.35 * number / EXPOSURES)
        # Blank glass has no dose to keep: every exposure goes under a name of its own.
        return rig.imager.take(Field(BLANK_ROW, -number, scan.blank_x_um, scan.blank_y_um))

    points = measure_points(
        camera,
        np.linspace(longest_ms / EXPOSURES, longest_ms, EXPOSURES),
        dark_level(dark),
        take,
    )
    found = photon_transfer(dark, points, camera.pixel_format.full_scale)
    return _outcome(found, dark[0].size)


def measure_points(
    camera: Camera, exposures_ms: Iterable[float], level: float, take: Callable[[], Frame]
) -> list[TransferPoint]:
    """Take a pair of frames at each exposure.

    Args:
        camera: gets the exposures.
        exposures_ms: ascending.
        level: counts in the dark.
        take: takes a frame of the same place under the same light.
    """
    points = []
    for exposure_ms in exposures_ms:
        camera.set_exposure(1000.0 * exposure_ms)
        first, second = take(), take()
        points.append(
            measure_point(
                first.pixels,
                second.pixels,
                first.exposure_us / 1000.0,
                level,
                first.pixel_format.full_scale,
            )
        )
    return points


def _outcome(found: PhotonTransfer, pixels: int) -> Outcome:
    gain = found.gain_e_per_count
    spread = gain_uncertainty(found.points, gain)
    # Of a variance of n values the standard deviation is 2 / n of its square.
    read_noise_uncertainty_e = found.read_noise_e * float(
        np.hypot(spread / gain, 2.0 * np.sqrt(0.5 / pixels))
    )
    quantities = (
        Quantity("gain_e_per_count", gain, "e/count", spread, 0.01, 1000.0),
        Quantity(
            "read_noise_e", found.read_noise_e, "e", read_noise_uncertainty_e, 0.0, MAX_READ_NOISE_E
        ),
        Quantity("full_well_e", found.full_well_e, "e"),
        Quantity("linearity_error", found.linearity_error, "", None, None, MAX_LINEARITY_ERROR),
        Quantity("gain_relative_uncertainty", spread / gain, "", high=MAX_GAIN_UNCERTAINTY),
    )
    return judged(_CODES, quantities, {"points": [asdict(p) for p in found.points]})


def gain_uncertainty(points: tuple[TransferPoint, ...], gain: float) -> float:
    """Return the half width of the 95 % interval of the gain, from how the points scatter."""
    signal: NDArray[np.float64] = np.array([p.signal for p in points if not p.saturated])
    variance: NDArray[np.float64] = np.array([p.variance for p in points if not p.saturated])
    floor = float(np.mean(variance - signal / gain))
    rest = variance - floor - signal / gain
    slope_sigma = float(np.sqrt((rest**2).sum() / max(1, len(rest) - 2) / (signal @ signal)))
    return 2.0 * gain**2 * slope_sigma
