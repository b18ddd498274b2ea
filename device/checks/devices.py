"""Checks of the devices one by one: light, panel, stage, camera."""

from __future__ import annotations

from typing import Final

import numpy as np

from device.checks.report import CheckSkipped, Reading
from device.checks.workplace import Workplace
from hal.errors import FrameError, InterlockError, LeukoluxError, StageError, SupervisorError
from hal.interfaces.camera import Frame

DARK_FRAMES: Final = 4
NOT_HOMED: Final = "STAGE-NOT-HOMED"
HOT_LEVEL: Final = 0.05
"""Share of full scale above the others at which a pixel without light counts as hot."""


def supervisor(place: Workplace) -> Reading:
    """Open the light anew: its line goes low, and its supervisor must answer."""
    light = place.hardware.light
    place.light_was_on = light.is_on
    light.off()
    place.light_error = None
    light.close()
    try:
        light.open()
    except SupervisorError:
        raise
    except LeukoluxError as error:
        # The supervisor answered; the line is the next check's.
        place.light_error = error
    if not place.settings.light.supervisor:
        raise CheckSkipped("The settings say that there is no supervisor (light.supervisor).")
    return Reading(0)


def light_line(place: Workplace) -> Reading:
    """The light's line obeyed when it was opened, is low, and was low before."""
    if place.light_error is not None:
        raise place.light_error
    if place.light_was_on:
        return Reading(1, "The UV light was on without a pulse; it was switched off.")
    return Reading(int(place.hardware.light.is_on))


def panel(place: Workplace) -> Reading:
    """Open the panel, read its switches, drive its lamps."""
    front = place.hardware.panel
    front.open()
    front.tick()
    front.take_press()
    # Which way the lid is does not matter here, only that the line can be read.
    _ = front.lid_closed
    return Reading(0)


def lid(place: Workplace) -> Reading:
    """Read the lid switch."""
    closed = place.hardware.panel.lid_closed
    return Reading(int(closed), "" if closed else "The lid is open.")


def stage_link(place: Workplace) -> Reading:
    """Ask the stage where it is; before the first homing it need not know."""
    stage = place.hardware.stage
    stage.open()
    try:
        stage.position()
    except StageError as error:
        if error.error_code != NOT_HOMED:
            raise
    return Reading(0)


def camera_frames(place: Workplace) -> Reading:
    """Take frames without light and return how many were lost."""
    camera = place.hardware.camera
    camera.open()
    camera.set_gain(place.settings.camera.gain_db)
    camera.set_exposure(1000.0 * place.settings.camera.exposure_ms)
    place.dark_frames = []
    lost: FrameError | None = None
    for _ in range(DARK_FRAMES):
        place.go_on()
        try:
            place.dark_frames.append(_dark_frame(place))
        except FrameError as error:
            lost = error
    if lost is not None and not place.dark_frames:
        raise lost
    count = DARK_FRAMES - len(place.dark_frames)
    return Reading(count, f"{count} of {DARK_FRAMES} frames were lost." if count else "")


def _dark_frame(place: Workplace) -> Frame:
    camera = place.hardware.camera
    camera.trigger()
    camera.wait_exposed()
    return camera.read(place.settings.camera.frame_timeout_ms)


def dark_level(place: Workplace) -> Reading:
    """Return the mean level without light, percent of full scale."""
    full_scale = place.dark_frames[0].pixel_format.full_scale
    percent = 100.0 * place.dark_level() / full_scale
    return Reading(percent)


def hot_pixels(place: Workplace) -> Reading:
    """Return how many pixels are bright in every dark frame, per million."""
    frames = place.dark_frames
    pixels = [np.asarray(frame.pixels, np.float32) for frame in frames]
    steady = np.median(np.stack(pixels), axis=0)
    limit = float(np.median(steady)) + HOT_LEVEL * frames[0].pixel_format.full_scale
    return Reading(1e6 * float(np.count_nonzero(steady > limit)) / steady.size)


def home(place: Workplace) -> Reading:
    """Run the homing cycle, then go to the blank glass."""
    place.mover.home(anew=True)
    scan = place.settings.scan
    at = place.mover.to(scan.blank_x_um, scan.blank_y_um, scan.focus_z_um)
    return Reading(float(np.hypot(at.x_um - scan.blank_x_um, at.y_um - scan.blank_y_um)))


def pulse(place: Workplace) -> Reading:
    """Give light for one exposure; return how long it was on, ms."""
    light = place.hardware.light
    try:
        # Whoever starts a check has seen that the lid is closed.
        light.acknowledge_lid()
    except InterlockError as error:
        raise CheckSkipped(error.cause) from error
    place.blank_frame(place.settings.camera.exposure_ms)
    before_s = light.on_time_s
    place.blank_frame(place.settings.camera.exposure_ms)
    return Reading(1000.0 * (light.on_time_s - before_s))
