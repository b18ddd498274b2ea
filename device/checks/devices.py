"""Checks of the devices one by one: light, panel, stage, camera."""

from __future__ import annotations

from typing import Final

import numpy as np

from device.checks.context import CheckContext
from device.checks.report import CheckSkipped, Reading
from device.imaging.imager import take_unlit
from hal.errors import FrameError, InterlockError, LeukoluxError, StageError, SupervisorError

DARK_FRAMES: Final = 4
NOT_HOMED: Final = "STAGE-NOT-HOMED"
HOT_LEVEL: Final = 0.05
"""Share of full scale above the others at which a pixel without light counts as hot."""


def supervisor(context: CheckContext) -> Reading:
    """Close the light and open it again: its line goes low, and its supervisor must answer."""
    light = context.hardware.light
    context.light_was_on = light.is_on
    light.off()
    context.light_error = None
    light.close()
    try:
        light.open()
    except SupervisorError:
        raise
    except LeukoluxError as error:
        # The supervisor answered; the line is the next check's.
        context.light_error = error
    if not context.settings.light.supervisor:
        raise CheckSkipped("The settings say that there is no supervisor (light.supervisor).")
    return Reading(0)


def light_line(context: CheckContext) -> Reading:
    """The light's line obeyed when it was opened, is low, and was low before."""
    if context.light_error is not None:
        raise context.light_error
    if context.light_was_on:
        return Reading(1, "The UV light was on without a pulse; it was switched off.")
    return Reading(int(context.hardware.light.is_on))


def panel(context: CheckContext) -> Reading:
    """Open the panel, read its switches, drive its lamps."""
    front = context.hardware.panel
    front.open()
    front.tick()
    front.take_press()
    # Which way the lid is does not matter here, only that the line can be read.
    _ = front.lid_closed
    return Reading(0)


def lid(context: CheckContext) -> Reading:
    """Read the lid switch."""
    closed = context.hardware.panel.lid_closed
    return Reading(int(closed), "" if closed else "The lid is open.")


def stage_link(context: CheckContext) -> Reading:
    """Ask the stage where it is; before the first homing it need not know it."""
    stage = context.hardware.stage
    stage.open()
    try:
        stage.position()
    except StageError as error:
        if error.error_code != NOT_HOMED:
            raise
    return Reading(0)


def camera_frames(context: CheckContext) -> Reading:
    """Take frames without light and return how many were lost."""
    camera = context.hardware.camera
    camera.open()
    context.rig.set_camera()
    context.dark_frames = []
    lost: FrameError | None = None
    for _ in range(DARK_FRAMES):
        context.go_on()
        try:
            context.dark_frames.append(take_unlit(camera, context.settings.camera.frame_timeout_ms))
        except FrameError as error:
            lost = error
    if lost is not None and not context.dark_frames:
        raise lost
    count = DARK_FRAMES - len(context.dark_frames)
    return Reading(count, f"{count} of {DARK_FRAMES} frames were lost." if count else "")


def dark_level(context: CheckContext) -> Reading:
    """Return the mean level without light, percent of full scale."""
    full_scale = context.dark_frames[0].pixel_format.full_scale
    percent = 100.0 * context.dark_level() / full_scale
    return Reading(percent)


def hot_pixels(context: CheckContext) -> Reading:
    """Return how many pixels are bright in every dark frame, per million."""
    frames = context.dark_frames
    pixels = [np.asarray(frame.pixels, np.float32) for frame in frames]
    steady = np.median(np.stack(pixels), axis=0)
    limit = float(np.median(steady)) + HOT_LEVEL * frames[0].pixel_format.full_scale
    return Reading(1e6 * float(np.count_nonzero(steady > limit)) / steady.size)


def home(context: CheckContext) -> Reading:
    """Run the homing cycle, then go to the blank glass."""
    context.rig.mover.home(even_if_homed=True)
    scan = context.settings.scan
    at = context.rig.mover.to(scan.blank_x_um, scan.blank_y_um, scan.focus_z_um)
    return Reading(float(np.hypot(at.x_um - scan.blank_x_um, at.y_um - scan.blank_y_um)))


def light_pulse(context: CheckContext) -> Reading:
    """Give light for one exposure; return how long it was on, ms."""
    light = context.hardware.light
    try:
        # Whoever starts a check has seen that the lid is closed.
        light.acknowledge_lid()
    except InterlockError as error:
        raise CheckSkipped(error.cause) from error
    context.blank_frame(context.settings.camera.exposure_ms)
    before_s = light.on_time_s
    context.blank_frame(context.settings.camera.exposure_ms)
    return Reading(1000.0 * (light.on_time_s - before_s))
