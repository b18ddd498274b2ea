"""Step: backlash and repeatability of the stage, by coming to the same place from both sides."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.special import stdtrit

from device.calibration.steps.context import CalibrationContext
from device.calibration.steps.quantities import (
    CalibrationRefusedError,
    Outcome,
    Quantity,
    judged,
)
from device.calibration.steps.shift import Structure, large_shift_px, structure
from device.imaging.field import Field
from device.imaging.focus import Peak, contrast, find_peak

PLACES = 3
REPEATS = 5
"""Visits of each place from each side, across; upwards every place has one stack a side."""

Z_PLACES = 3
SPARE_PLACES = 8
"""For those that show too little."""

OVERSHOOT_UM = 60.0
"""Every visit begins this far away: more than any backlash."""

OVERSHOOT_Z_UM = 12.0
Z_STEP_UM = 1.0
Z_HALF_STEPS = 3

MAX_BACKLASH_UM = 40.0
MAX_BACKLASH_Z_UM = 15.0
MAX_REPEATABILITY_UM = 3.0
MAX_REPEATABILITY_Z_UM = 1.0

APPROACH_FACTOR = 2.0
APPROACH_SPARE_UM = 2.0
"""The last stretch of a move takes up twice the backlash, and a little more."""

_CODES = {
    **{f"backlash_{axis}_um": "CALIBRATION-BACKLASH" for axis in "xyz"},
    **{f"repeatability_{axis}_um": "CALIBRATION-REPEATABILITY" for axis in "xyz"},
}

Visits = tuple[list[float], list[float]]
"""Where the slide was at visits from below and from above, um."""


@dataclass(frozen=True)
class Backlash:
    """What visits of some places from both sides show.

    Attributes:
        backlash_um: how much higher a place is that was come to from above.
        uncertainty_um: half width of its 95 % interval.
        repeatability_um: standard deviation of visits from one side.
    """

    backlash_um: float
    uncertainty_um: float
    repeatability_um: float


def measure(context: CalibrationContext, entries: Mapping[str, float]) -> Outcome:
    """Visit places from below and from above, along x, y and z."""
    context.prepare()
    focus = context.find_focus()
    fields = iter(context.fields(2 * PLACES + Z_PLACES + SPARE_PLACES))
    with context.without_approach():
        across = [
            backlash_of(_collect(fields, PLACES, partial(_visits, context, axis, focus.z_um)))
            for axis in (0, 1)
        ]
        context.say("Coming to the focus from both sides.", 0.8)
        upright = backlash_of(_collect(fields, Z_PLACES, partial(_stacks, context, focus.z_um)))
    quantities = [
        quantity
        for name, found, most_um, spread_um in (
            ("x", across[0], MAX_BACKLASH_UM, MAX_REPEATABILITY_UM),
            ("y", across[1], MAX_BACKLASH_UM, MAX_REPEATABILITY_UM),
            ("z", upright, MAX_BACKLASH_Z_UM, MAX_REPEATABILITY_Z_UM),
        )
        for quantity in (
            Quantity(
                f"backlash_{name}_um",
                found.backlash_um,
                "um",
                found.uncertainty_um,
                -2.0 * max(found.uncertainty_um, 0.25),
                most_um,
            ),
            Quantity(
                f"repeatability_{name}_um", found.repeatability_um, "um", None, None, spread_um
            ),
        )
    ]
    return judged(_CODES, quantities, {"places": PLACES, "repeats": REPEATS})


def approach_settings(values: Mapping[str, float]) -> dict[str, float]:
    """Return the stage's approach, um, that takes up a measured backlash.

    Args:
        values: of the step, by name.
    """
    across_um = max(values.get(f"backlash_{axis}_um", 0.0) for axis in "xy")
    return {
        "stage__approach_xy_um": _approach_um(across_um),
        "stage__approach_z_um": _approach_um(values.get("backlash_z_um", 0.0)),
    }


def _approach_um(backlash_um: float) -> float:
    return float(math.ceil(APPROACH_FACTOR * max(backlash_um, 0.0) + APPROACH_SPARE_UM))


def backlash_of(places: Sequence[tuple[Sequence[float], Sequence[float]]]) -> Backlash:
    """Return the backlash from visits of several places.

    Args:
        places: places of the slide, um from an origin of its own for each: at visits from below,
            and at visits from above.
    """
    differences = [float(np.mean(above) - np.mean(below)) for below, above in places]
    groups = [np.asarray(group, float) for pair in places for group in pair]
    freedom = sum(len(group) - 1 for group in groups)
    squares = sum(float(((group - group.mean()) ** 2).sum()) for group in groups)
    if freedom:
        variance = squares / freedom
        half = float(stdtrit(freedom, 0.975))
    else:
        # Single visits: what the places disagree by is all that is known.
        variance = float(np.var(differences, ddof=1)) / 2.0
        half = float(stdtrit(len(differences) - 1, 0.975))
    per_place = [variance * (1.0 / len(below) + 1.0 / len(above)) for below, above in places]
    return Backlash(
        float(np.mean(differences)),
        half * float(np.sqrt(np.sum(per_place))) / len(places),
        float(np.sqrt(variance)),
    )


def _collect(
    fields: Iterator[Field], count: int, visit: Callable[[Field], Visits | None]
) -> list[Visits]:
    """Return the visits of the next ``count`` fields that show enough to compare."""
    found: list[Visits] = []
    for field in fields:
        visits = visit(field)
        if visits is not None:
            found.append(visits)
        if len(found) == count:
            return found
    raise CalibrationRefusedError("CALIBRATION-BACKLASH-NO-SHIFT")


def _visits(context: CalibrationContext, axis: int, z_um: float, field: Field) -> Visits | None:
    """Come to ``field`` from below and from above in x or y; None if it shows too little."""
    context.say(f"Coming to a place from both sides in {'xy'[axis]}.", 0.2 + 0.3 * axis)
    pixel_um = context.settings.camera.pixel_um
    first: Structure | None = None
    found: Visits = ([], [])
    for _ in range(REPEATS):
        for side, sign in enumerate((-1.0, 1.0)):
            start = [field.x_um, field.y_um]
            start[axis] += sign * OVERSHOOT_UM
            context.rig.mover.to(start[0], start[1], z_um)
            context.rig.mover.to(field.x_um, field.y_um, z_um)
            now = structure(context.rig.imager.take(field).pixels)
            first = now if first is None else first
            shift = large_shift_px(first, now)
            if shift is None:
                return None
            # The image goes back when the slide's place in the stage frame goes on.
            found[side].append(-shift[axis] * pixel_um)
    return found


def _stacks(context: CalibrationContext, z_um: float, field: Field) -> Visits | None:
    """Come to the focus upwards and downwards; None if nothing comes into focus.

    The slide is where it is in focus; from above the stage reads less there, by the backlash.
    """
    heights_um = [z_um + Z_STEP_UM * k for k in range(-Z_HALF_STEPS, Z_HALF_STEPS + 1)]
    found: Visits = ([], [])
    for group, sign in zip(found, (1.0, -1.0), strict=True):
        ordered = heights_um if sign > 0 else heights_um[::-1]
        context.rig.mover.to(field.x_um, field.y_um, ordered[0] - sign * OVERSHOOT_Z_UM)
        points = []
        for height_um in ordered:
            position = context.rig.mover.to_z(height_um)
            points.append((position.z_um, contrast(context.rig.imager.take(field).pixels)))
        peak = find_peak(*zip(*sorted(points), strict=True))
        if not isinstance(peak, Peak):
            return None
        group.append(-peak.z_um)
    return found
