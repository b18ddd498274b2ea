"""The catalogue of checks, in the order in which they are done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from device.analysis.registration.links import STAGE_ERROR_UM
from device.calibration.effective import Effective
from device.checks import devices, mechanics, optics, software
from device.checks.report import Check, Level, Limit, Verdict

_LINES: Final = ("CHECK-LIGHT-SUPERVISOR", "CHECK-LIGHT-LINE", "CHECK-PANEL")
_FRAMES: Final = ("CHECK-LID", "CHECK-CAMERA-FRAMES", "CHECK-CAMERA-DARK")
_LIT: Final = (*_LINES, *_FRAMES, "CHECK-STAGE-HOME")
_BLANK: Final = (*_LIT, "CHECK-LIGHT-PULSE", "CHECK-BLANK-LEVEL")
_SEEN: Final = (*_BLANK, "CHECK-FOCUS")

MAX_RETURN_UM: Final = 8.0
MIN_RETURN_UM: Final = 2.0
RETURN_SPREADS: Final = 7.0
"""Two visits differ by more than this many standard deviations of one once in 200,000 times."""

MIN_SCALE_PERCENT: Final = 3.0
"""Finer than this is the task of the calibration."""


def _at_most(high: float, unit: str = "") -> Callable[[Effective], Limit]:
    return lambda effective: Limit(unit, high=high)


def _at_least(low: float, unit: str = "") -> Callable[[Effective], Limit]:
    return lambda effective: Limit(unit, low=low)


def _return(effective: Effective) -> Limit:
    """What registration can take out, and not much worse than when the stage was calibrated."""
    known = [effective.value("backlash", f"repeatability_{axis}_um") for axis in "xy"]
    spreads_um = [spread_um for spread_um in known if spread_um is not None]
    high_um = MAX_RETURN_UM
    if spreads_um:
        high_um = min(high_um, max(MIN_RETURN_UM, RETURN_SPREADS * max(spreads_um)))
    return Limit("um", high=high_um)


def _scale(effective: Effective) -> Limit:
    """What a stage that comes back to its places may err on the way that is walked."""
    error_um = _return(effective).high or MAX_RETURN_UM
    share = error_um / mechanics.walk_um(effective.settings.camera)
    return Limit("%", high=max(MIN_SCALE_PERCENT, round(100.0 * share, 1)))


def _works(effective: Effective) -> Limit:
    return Limit("")


CATALOGUE: Final[Sequence[Check]] = (
    Check(
        "CHECK-LIGHT-SUPERVISOR",
        "Light supervisor",
        "The light is closed and opened again; its supervisor must answer.",
        Level.STARTUP,
        _works,
        devices.supervisor,
        "Start the light supervisor (`leukolux light-supervisor`).",
    ),
    Check(
        "CHECK-LIGHT-LINE",
        "Light line",
        "The line of the UV light is driven low and must read low; it was low before.",
        Level.STARTUP,
        _at_most(0, "lit"),
        devices.light_line,
        "Switch the instrument off and have the light's wiring checked.",
        needs=("CHECK-LIGHT-SUPERVISOR",),
    ),
    Check(
        "CHECK-PANEL",
        "Front panel",
        "Lamps are driven, button and lid switch are read.",
        Level.STARTUP,
        _works,
        devices.panel,
        "Have the panel's cable checked.",
    ),
    Check(
        "CHECK-LID",
        "Lid",
        "The lid switch is read; checks with light need it closed.",
        Level.STARTUP,
        _at_least(1),
        devices.lid,
        "Close the lid.",
        needs=("CHECK-PANEL",),
        miss=Verdict.WARN,
    ),
    Check(
        "CHECK-CAMERA-FRAMES",
        "Camera frames",
        f"{devices.DARK_FRAMES} frames are taken without light, and all must arrive.",
        Level.STARTUP,
        _at_most(0, "lost"),
        devices.camera_frames,
        "Check the camera's cable. If frames are still lost, have the camera checked.",
        miss=Verdict.WARN,
    ),
    Check(
        "CHECK-CAMERA-DARK",
        "Dark frame",
        "The mean of the frames without light, lid closed: stray light or a light that is on.",
        Level.STARTUP,
        _at_most(5.0, "% of full scale"),
        devices.dark_level,
        "Close the lid tightly. If the level stays high, have the camera and the light checked.",
        needs=("CHECK-LIGHT-LINE", "CHECK-LID", "CHECK-CAMERA-FRAMES"),
        dark=True,
    ),
    Check(
        "CHECK-CAMERA-HOT",
        "Hot pixels",
        "Pixels that are bright in every frame without light.",
        Level.STARTUP,
        _at_most(200.0, "per million"),
        devices.hot_pixels,
        "Let the camera cool down. If the pixels stay hot, have the camera replaced.",
        needs=_FRAMES,
        dark=True,
        miss=Verdict.WARN,
    ),
    Check(
        "CHECK-STAGE-LINK",
        "Stage controller",
        "The controller is connected, is the right one, and answers.",
        Level.STARTUP,
        _works,
        devices.stage_link,
        "Check the stage's cable and power.",
    ),
    Check(
        "CHECK-SETTINGS",
        "Settings",
        "Scan area, blank glass and focus search lie within the stage's limits; the exposure fits "
        "a pulse.",
        Level.STARTUP,
        _at_most(0, "unreachable"),
        software.settings,
        "Correct scan.left_um, scan.top_um, scan.width_um, scan.height_um, scan.blank_x_um, "
        "scan.blank_y_um, scan.focus_z_um or camera.exposure_ms, or the stage.limit_ settings.",
    ),
    Check(
        "CHECK-NETWORKS",
        "Networks",
        "Every network has the hash of the manifest and gives its known answers.",
        Level.STARTUP,
        _at_least(1, "loaded"),
        software.networks,
        "Install the software again.",
        bound_s=300.0,
    ),
    Check(
        "CHECK-RECORDS-WRITE",
        "Records",
        "A row is written to the records and taken back.",
        Level.STARTUP,
        _works,
        software.writable,
        "Check the disk and the folder of the records.",
    ),
    Check(
        "CHECK-DISK-SPACE",
        "Disk space",
        "Free space of the disk that holds the records.",
        Level.STARTUP,
        lambda effective: Limit("MB", low=effective.settings.records.min_free_mb),
        software.free_space,
        "Free disk space.",
        miss=Verdict.WARN,
    ),
    Check(
        "CHECK-CLOCK",
        "Clock",
        "The clock is not behind the newest record, nor behind this software.",
        Level.STARTUP,
        _at_most(60.0, "s behind"),
        software.clock,
        "Set date and time of the computer.",
        needs=("CHECK-RECORDS-WRITE",),
        miss=Verdict.WARN,
    ),
    Check(
        "CHECK-RECORDS-INTEGRITY",
        "Integrity of the records",
        "The database checks itself.",
        Level.DAILY,
        _at_most(0, "problems"),
        software.integrity,
        "Move the damaged file aside and restore it from a backup.",
        bound_s=300.0,
    ),
    Check(
        "CHECK-KNOWN-TILE",
        "Known tile",
        "A stored tile goes through the whole analysis and must give its known cells.",
        Level.DAILY,
        _at_least(100.0, "% of cells"),
        software.known_tile,
        "Compare the settings under [analysis] and camera.pixel_um with their defaults; install "
        "the software again.",
        needs=("CHECK-NETWORKS",),
    ),
    Check(
        "CHECK-STAGE-HOME",
        "Homing",
        "The stage finds its switches and goes to the blank glass.",
        Level.DAILY,
        _at_most(2.0, "um"),
        devices.home,
        "Check that nothing blocks the stage, and have its switches checked.",
        needs=("CHECK-STAGE-LINK", "CHECK-SETTINGS"),
        bound_s=120.0,
    ),
    Check(
        "CHECK-LIGHT-PULSE",
        "Light pulse",
        "One exposure's light: leased, bounded, and its current as it should be.",
        Level.DAILY,
        lambda effective: Limit("ms", high=effective.settings.light.max_pulse_ms),
        devices.light_pulse,
        "Keep the lid closed and have the light checked.",
        needs=_LIT,
        dark=True,
    ),
    Check(
        "CHECK-BLANK-LEVEL",
        "Brightness of the LED",
        "Light through blank glass, compared with the same LED's first brightness.",
        Level.DAILY,
        lambda effective: Limit("% of new", low=100.0 * effective.settings.light.worn_fraction),
        optics.blank_level,
        "Clean the optics and the blank glass. If the light stays too weak, have the LED replaced "
        "and enter its new name as light.led.",
        needs=(*_LIT, "CHECK-LIGHT-PULSE"),
        dark=True,
    ),
    Check(
        "CHECK-BLANK-EVENNESS",
        "Evenness of the light",
        "The darkest part of the field compared with the brightest, on blank glass.",
        Level.DAILY,
        _at_least(60.0, "% of brightest"),
        optics.evenness,
        "Have lamp and condenser aligned.",
        needs=_BLANK,
        dark=True,
    ),
    Check(
        "CHECK-BLANK-CLEAN",
        "Cleanness of the optics",
        "What varies on the scale of cells in all frames of blank glass alike.",
        Level.DAILY,
        _at_most(1.0, "%"),
        optics.cleanness,
        "Clean objective, window and camera, and the blank part of the slide.",
        needs=_BLANK,
        dark=True,
    ),
    Check(
        "CHECK-CAMERA-LINEAR",
        "Linearity of the camera",
        "Level per exposure time at a quarter, half and all of the exposure.",
        Level.DAILY,
        _at_most(4.0, "%"),
        optics.linearity,
        "Have the camera checked; its counts are no longer a measure of light.",
        needs=_BLANK,
        dark=True,
    ),
    Check(
        "CHECK-CAMERA-NOISE",
        "Noise of the camera",
        "Variance at little light compared with what photons and the calibrated camera would give.",
        Level.DAILY,
        lambda effective: Limit("x expected", low=0.7, high=1.5),
        optics.noise,
        "Check the camera's cable and grounding, and let it cool down. Calibrate camera gain and "
        "noise if the camera was changed; otherwise have it checked.",
        needs=(*_BLANK, "CHECK-CAMERA-LINEAR"),
        dark=True,
    ),
    Check(
        "CHECK-FOCUS",
        "Focus",
        "Contrast over height in the middle of the scan area, if a smear is loaded.",
        Level.DAILY,
        lambda effective: Limit("um", high=effective.settings.scan.focus_range_um),
        mechanics.focus,
        "Check the seat of slide and objective, then set scan.focus_z_um.",
        needs=_BLANK,
        dark=True,
        bound_s=120.0,
    ),
    Check(
        "CHECK-STAGE-RETURN",
        "Return to a place",
        "The stage goes away and comes back; the image shows how far it is off.",
        Level.DAILY,
        _return,
        mechanics.way_back,
        "Check that nothing brakes the stage; have belts, couplings and motor current checked.",
        needs=_SEEN,
        dark=True,
    ),
    Check(
        "CHECK-STAGE-SCALE",
        "Scale of image and stage",
        "The stage takes steps; the image must move as far.",
        Level.DAILY,
        _scale,
        mechanics.scale,
        "Set camera.pixel_um to what objective and camera.binning give; if it is right, correct "
        "the stage's steps per mm. Then calibrate pixel size and rotation.",
        needs=(*_SEEN, "CHECK-STAGE-RETURN"),
        dark=True,
    ),
    Check(
        "CHECK-CAMERA-ANGLE",
        "Rotation of the camera",
        "From the same steps: how far aside the camera's rotation puts the next field.",
        Level.DAILY,
        _at_most(STAGE_ERROR_UM, "um"),
        mechanics.direction,
        "Turn the camera straight on its mount, switch its mirroring off, then calibrate pixel "
        "size and rotation.",
        needs=(*_SEEN, "CHECK-STAGE-SCALE"),
        dark=True,
    ),
    Check(
        "CHECK-STAGE-PLAY",
        "Backlash of the stage",
        "The stage comes to one place from both sides; the image shows the difference.",
        Level.FULL,
        _at_most(8.0, "um"),
        mechanics.backlash,
        "Raise stage.approach_xy_um above the backlash, and have the spindles checked.",
        needs=(*_SEEN, "CHECK-STAGE-RETURN"),
        dark=True,
    ),
    Check(
        "CHECK-STAGE-SWITCHES",
        "Repeatability of homing",
        "The stage homes again and comes back; the image shows how far it is off.",
        Level.FULL,
        _at_most(10.0, "um"),
        mechanics.homing,
        "Have the home switches fixed and cleaned.",
        needs=(*_SEEN, "CHECK-STAGE-RETURN"),
        dark=True,
        bound_s=120.0,
    ),
)
