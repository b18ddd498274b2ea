"""Step: gain and read noise of the camera by the photon transfer method, on blank glass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from device.acquisition.background import BLANK_ROW, MAX_PULSE_SHARE
from device.acquisition.plan import Field
from device.calibration.steps.bench import Bench, pixels_of
from device.calibration.steps.photon_transfer import (
    PhotonTransfer,
    TransferPoint,
    dark_level,
    measure_point,
    photon_transfer,
)
from device.calibration.steps.quantities import Outcome, Quantity, judged

CODE = "CALIBRATION-NOISE"
SHORTEST_MS = 0.05
EXPOSURES = 10
LONGEST_SHARE = 1.2
"""Of the exposure that suits blank glass: nearly saturated."""

MAX_LINEARITY_ERROR = 0.05
MAX_READ_NOISE_E = 50.0
MAX_GAIN_UNCERTAINTY = 0.1

_REMEDIES = {
    "gain_e_per_count": "Check that the camera's gamma and filters are off, then repeat.",
    "gain_relative_uncertainty": "Check that the light is steady, then repeat.",
    "read_noise_e": "Let the camera cool down and repeat; when it stays, have it replaced.",
    "linearity_error": "Check that the LED is warm and steady and the camera's gamma is off.",
}


def measure(bench: Bench, entries: Mapping[str, float]) -> Outcome:
    """Take pairs of frames of one blank place from dark to nearly saturated."""
    bench.home()
    bench.take_background()
    scan, camera = bench.settings.scan, bench.hardware.camera
    bench.mover.to(scan.blank_x_um, scan.blank_y_um, scan.focus_z_um)
    camera.set_exposure(1000.0 * SHORTEST_MS)
    dark = (pixels_of(bench.imager.take_dark()), pixels_of(bench.imager.take_dark()))
    level = dark_level(dark)
    longest_ms = min(
        LONGEST_SHARE * bench.exposure_ms, MAX_PULSE_SHARE * bench.hardware.light.max_pulse_ms
    )
    points = []
    for number, exposure_ms in enumerate(
        np.linspace(longest_ms / EXPOSURES, longest_ms, EXPOSURES)
    ):
        bench.say("Taking pairs of frames.", 0.3 + 0.7 * number / EXPOSURES)
        camera.set_exposure(1000.0 * float(exposure_ms))
        # Blank glass has no dose to keep: every exposure goes under a name of its own.
        field = Field(BLANK_ROW, -1 - number, scan.blank_x_um, scan.blank_y_um)
        first, second = (bench.imager.take(field) for _ in range(2))
        points.append(
            measure_point(
                pixels_of(first),
                pixels_of(second),
                first.exposure_us / 1000.0,
                level,
                first.pixel_format.full_scale,
            )
        )
    found = photon_transfer(dark, points, first.pixel_format.full_scale)
    return _outcome(found, dark[0].size)


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
    return judged(CODE, _REMEDIES, quantities, {"points": [asdict(p) for p in found.points]})


def gain_uncertainty(points: tuple[TransferPoint, ...], gain: float) -> float:
    """Return the half width of the 95 % interval of the gain, from how the points scatter."""
    signal: NDArray[np.float64] = np.array([p.signal for p in points if not p.saturated])
    variance: NDArray[np.float64] = np.array([p.variance for p in points if not p.saturated])
    floor = float(np.mean(variance - signal / gain))
    rest = variance - floor - signal / gain
    slope_sigma = float(np.sqrt((rest**2).sum() / max(1, len(rest) - 2) / (signal @ signal)))
    return 2.0 * gain**2 * slope_sigma
