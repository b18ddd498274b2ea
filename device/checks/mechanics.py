"""Checks on a smear: does the focus come, and does the stage go where it is sent?

The image shows where the slide really went: the middle of one is looked for in the next, by
normalised cross-correlation (Lewis, Vision Interface, 1995).
"""

from __future__ import annotations

import cmath
import math
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from device.checks.context import CheckContext
from device.checks.optics import steady
from device.checks.report import CheckSkipped, Reading
from device.errors import SelfTestError
from device.imaging.field import Field
from hal.config import CameraConfig

FOCUS_FIELDS: Final = 6
PRESENT_SHARE: Final = 0.97
"""A field brighter than this share of blank glass shows no smear."""

AWAY_UM: Final = 5_000.0
RUN_UP_UM: Final = 300.0
RETURNS: Final = 3
STEPS: Final = 8
STEP_SHARE: Final = 0.18
"""A step of the scale check as a share of the image's width or height."""

STEPS_PER_FIELD: Final = 5
"""After this many steps most of what is seen belongs to the next field."""

MIN_SCORE: Final = 0.5
"""Correlation below which the two images have nothing in common."""

_SMOOTH_PX: Final = 2.0
_SEARCHED_SHARE: Final = 0.25
"""How far a place is looked for, as a share of the image's width or height."""


def focus(context: CheckContext) -> Reading:
    """Search the focus in the middle of the scan area; return how far from where it should be."""
    fields, scan = context.plan.fields[:FOCUS_FIELDS], context.settings.scan
    context.hardware.camera.set_exposure(1000.0 * context.rig.glass.exposure_ms)
    _require_smear(context, context.plan.fields[-1])
    context.focus = context.rig.focuser.search(fields, scan.focus_z_um, coarse=True)
    if context.focus is None:
        raise SelfTestError(
            "CHECK-NO-FOCUS", range_um=scan.focus_range_um, centre_um=scan.focus_z_um
        )
    return Reading(abs(context.focus.z_um - scan.focus_z_um))


def way_back(context: CheckContext) -> Reading:
    """Go far away and come back, three times; return how far the image is off at most, um."""
    field = _field(context)
    _arrive(context, field)
    before = _image(context, field)
    farthest = Reading(0.0)
    for _ in range(RETURNS):
        context.rig.mover.to(max(0.0, field.x_um - AWAY_UM), field.y_um, _height_um(context))
        _arrive(context, field)
        off = _length(context, before, _image(context, field))
        farthest = max(farthest, off, key=lambda found: found.value)
    return farthest


def walk_um(camera: CameraConfig) -> float:
    """Return the shorter one of the ways that :func:`scale` goes."""
    return STEPS * STEP_SHARE * min(camera.width_px, camera.height_px) * camera.pixel_um


def scale(context: CheckContext) -> Reading:
    """Take steps along x and y; return by how much the image moves too far or too little, %."""
    walks = [_walk(context, axis) for axis in (0, 1)]
    context.walks = tuple(walk for walk in walks if walk is not None)
    if len(context.walks) < len(walks):
        most = 100.0 * (_SEARCHED_SHARE / STEP_SHARE - 1.0)
        return Reading(
            float("inf"),
            f"The image does not follow the stage, or goes more than {most:.0f} % too far.",
        )
    pixel_um = context.settings.camera.pixel_um
    x_um, y_um = (pixel_um / abs(walk) for walk in context.walks)
    return Reading(
        100.0 * max(abs(abs(walk) - 1.0) for walk in context.walks),
        f"By the stage's steps a pixel is {x_um:.3f} um along x and {y_um:.3f} um along y; "
        f"{pixel_um:g} um is set.",
    )


def direction(context: CheckContext) -> Reading:
    """Return how far aside the camera's rotation puts the next field, um, from the steps taken."""
    along_x, along_y = (walk / abs(walk) for walk in context.walks)
    if (along_x * along_y.conjugate()).real <= 0.0:
        return Reading(float("inf"), "The image is mirrored, or an axis goes the wrong way.")
    return Reading(abs(cmath.phase(along_x + along_y)) * context.plan.step_x_um)


def _walk(context: CheckContext, axis: int) -> complex | None:
    """Take steps along an axis; return how the image moved for each unit of the stage.

    1 for a straight camera, its angle is the rotation of a turned one; None if the image does not
    follow.
    """
    # Fields of their own: the dose of the others is spent.
    first = FOCUS_FIELDS + 1 + axis * math.ceil(STEPS / STEPS_PER_FIELD)
    field = _nth_field(context, first)
    step_um = STEP_SHARE * (context.plan.tile_width_um, context.plan.tile_height_um)[axis]
    _arrive(context, field)
    image = _image(context, field)
    moved_um = 0j
    for number in range(1, STEPS + 1):
        target = [field.x_um, field.y_um]
        target[axis] += number * step_um
        context.rig.mover.to(target[0], target[1], _height_um(context))
        following = _image(context, _nth_field(context, first + number // STEPS_PER_FIELD))
        shift_um = _shift_um(context, image, following)
        if shift_um is None:
            return None
        moved_um += complex(*shift_um)
        image = following
    # The image goes back when the slide goes on.
    return moved_um / -(STEPS * step_um * (1.0, 1j)[axis])


def backlash(context: CheckContext) -> Reading:
    """Come to a place from both sides; return how far the images are from each other, um."""
    field = _field(context)
    _arrive(context, field)
    before = _image(context, field)
    context.rig.mover.to(field.x_um + RUN_UP_UM, field.y_um + RUN_UP_UM, _height_um(context))
    context.rig.mover.to(field.x_um, field.y_um, _height_um(context))
    return _length(context, before, _image(context, field))


def homing(context: CheckContext) -> Reading:
    """Home again and come back; return how far the image is from where it was, um."""
    field = _field(context)
    _arrive(context, field)
    before = _image(context, field)
    context.rig.mover.home(even_if_homed=True)
    _arrive(context, field)
    return _length(context, before, _image(context, field))


def _require_smear(context: CheckContext, field: Field) -> None:
    """Raise CheckSkipped when the scan area shows nothing but glass."""
    blank = context.blank
    if blank is None:
        raise CheckSkipped("The exposure is not known.")
    context.rig.mover.to(field.x_um, field.y_um, context.settings.scan.focus_z_um)
    seen = float(context.lit(context.rig.imager.take(field)).mean())
    if seen > PRESENT_SHARE * float(context.lit(blank).mean()):
        raise CheckSkipped("There is no smear in the scan area; load one for this check.")


def _field(context: CheckContext) -> Field:
    """Return a place of its own, so that its dose is not that of the focus search."""
    return _nth_field(context, FOCUS_FIELDS)


def _nth_field(context: CheckContext, number: int) -> Field:
    return context.plan.fields[min(number, len(context.plan.fields) - 1)]


def _height_um(context: CheckContext) -> float:
    scan = context.settings.scan
    z_um = context.focus.z_um if context.focus is not None else scan.focus_z_um
    return z_um + scan.focus_offset_um


def _arrive(context: CheckContext, field: Field) -> None:
    """Come to ``field`` from the same side each time."""
    x_um, y_um = max(0.0, field.x_um - RUN_UP_UM), max(0.0, field.y_um - RUN_UP_UM)
    context.rig.mover.to(x_um, y_um, _height_um(context))
    context.rig.mover.to(field.x_um, field.y_um, _height_um(context))


def _image(context: CheckContext, field: Field) -> NDArray[np.float32]:
    """Return the image without what stays in place: that would hide a shift."""
    flat = context.lit(context.rig.imager.take(field)) / steady(context)
    return np.asarray(cv2.GaussianBlur(flat, (0, 0), _SMOOTH_PX), np.float32)


def _length(
    context: CheckContext, before: NDArray[np.float32], after: NDArray[np.float32]
) -> Reading:
    shift_um = _shift_um(context, before, after)
    if shift_um is None:
        return Reading(float("inf"), "The place was not found again.")
    return Reading(math.hypot(*shift_um))


def _shift_um(
    context: CheckContext, before: NDArray[np.float32], after: NDArray[np.float32]
) -> tuple[float, float] | None:
    """Return how far the image moved, um; None when it shows another place."""
    height, width = before.shape
    top, left = (int(_SEARCHED_SHARE * side) for side in (height, width))
    middle = before[top : height - top, left : width - left]
    scores = cv2.matchTemplate(after, middle, cv2.TM_CCOEFF_NORMED)
    _, best, _, (x_px, y_px) = cv2.minMaxLoc(scores)
    if best < MIN_SCORE:
        return None
    pixel_um = context.settings.camera.pixel_um
    return (x_px - left) * pixel_um, (y_px - top) * pixel_um
