"""Step: the height of the focus and how well it repeats; the offset to the plane of absorption.

Cells turn light as well as absorb it, so the contrast is highest a little off the plane in which
absorption is sharp.  One image at one wavelength cannot tell the two apart: the offset is read off
a series of pictures by a person, and entered, or stays as the settings have it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from device.calibration.steps.context import CalibrationContext
from device.calibration.steps.quantities import (
    CalibrationRefusedError,
    Outcome,
    Quantity,
    judged,
)
from device.imaging.field import Field
from device.imaging.focus import Peak, contrasts, find_common_peak

REPEATS = 6
HALF_STEPS = 4
STEP_UM = 1.0
MAX_REPEATABILITY_UM = 1.0
MIN_RISE = 0.2

_CODES = {
    "focus_z_um": "CALIBRATION-FOCUS",
    "repeatability_um": "CALIBRATION-FOCUS-REPEATABILITY",
    "rise": "CALIBRATION-FOCUS-RISE",
    "offset_um": "CALIBRATION-FOCUS-OFFSET",
}


def measure(context: CalibrationContext, entries: Mapping[str, float]) -> Outcome:
    """Measure the curve of contrast over height at neighbouring fields."""
    context.prepare()
    focus = context.find_focus()
    heights_um, rises, curve = [], [], []
    for number, field in enumerate(context.fields(REPEATS)):
        context.say("Measuring the contrast over the height.", 0.3 + 0.7 * number / REPEATS)
        stack = _stack(context, field, focus.z_um)
        curve = [(z_um, float(blocks.mean())) for z_um, blocks in stack]
        values = [value for _, value in curve]
        peak = find_common_peak(*zip(*stack, strict=True))
        if isinstance(peak, Peak):
            heights_um.append(peak.z_um)
            rises.append(max(values) / min(values) - 1.0)
    if len(heights_um) < REPEATS / 2:
        raise CalibrationRefusedError(
            "CALIBRATION-FEW-FOCUSED",
            focused=len(heights_um),
            places=REPEATS,
            range_um=HALF_STEPS * STEP_UM,
        )
    sigma_um = float(np.std(heights_um, ddof=1))
    count = len(heights_um)
    half_um = float(stdtrit(count - 1, 0.975)) * sigma_um / np.sqrt(count)
    quantities = [
        Quantity("focus_z_um", float(np.mean(heights_um)), "um", float(half_um), 0.0, 100_000.0),
        Quantity("repeatability_um", sigma_um, "um", None, None, MAX_REPEATABILITY_UM),
        Quantity("rise", float(np.median(rises)), "", None, MIN_RISE, None),
    ]
    if "offset_um" in entries:
        quantities.append(Quantity("offset_um", entries["offset_um"], "um", None, -5.0, 5.0))
    details = {
        "curve": [[z_um, value] for z_um, value in curve],
        "heights_um": heights_um,
    }
    return judged(_CODES, quantities, details)


def _stack(
    context: CalibrationContext, field: Field, z_um: float
) -> list[tuple[float, NDArray[np.float64]]]:
    context.rig.mover.to(field.x_um, field.y_um, z_um - STEP_UM * (HALF_STEPS + 1))
    points = []
    for k in range(-HALF_STEPS, HALF_STEPS + 1):
        position = context.rig.mover.to_z(z_um + STEP_UM * k)
        points.append((position.z_um, contrasts(context.rig.imager.take(field).pixels)))
    return points
