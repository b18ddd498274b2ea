"""The steps of a calibration in their order, and what each of them needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from device.calibration.steps import (
    backlash,
    camera_noise,
    flat_field,
    focus_reference,
    led_power,
    pixel_size,
    settle_time,
    slide_corners,
)
from device.calibration.steps.context import CalibrationContext
from device.calibration.steps.quantities import Outcome
from device.calibration.steps.slide_corners import CORNERS
from hal.errors import InputError


class Need(StrEnum):
    """What a person has to see to before a step."""

    SMEAR = "smear"
    """A slide with a smear in the scan area and blank glass next to it."""
    BLANK = "blank"
    """Clean blank glass at the blank place."""
    LID = "lid"
    """The lid closed: the step uses the light."""
    METER = "meter"
    """A power meter for 260 nm at the place of the sample."""
    PULSES = "pulses"
    """The lid closed for the pulses that the meter reads; not for entering the reading."""


@dataclass(frozen=True)
class Entry:
    """A number that a person enters.

    Attributes:
        name: with its unit.
        low: smallest number that makes sense.
        high: largest.
        required: whether the step needs it.
        marked: whether it comes from a marked place when it is not entered.
    """

    name: str
    unit: str
    low: float
    high: float
    required: bool = True
    marked: bool = False


@dataclass(frozen=True)
class Step:
    """One step; its title and instructions are in the text catalogue under its id.

    Attributes:
        id: stable name, also in the setting ``calibration.valid_days``.
        needs: what a person has to see to.
        measure: does it; raises as the devices do, or CalibrationRefusedError.
        days: how long a result is valid if the settings do not say otherwise; 0 for ever.
        replaces: returns the settings, ``section__key``, that a result takes the place of, from
            its values by name.
        made_for: settings, ``section.key``, that a result belongs to: with another value of one
            of them it says nothing.
        entries: what a person enters.
        may_skip: whether a session may leave it out.
    """

    id: str
    needs: tuple[Need, ...]
    measure: Callable[[CalibrationContext, Mapping[str, float]], Outcome]
    days: int
    replaces: Callable[[Mapping[str, float]], Mapping[str, float]] = lambda values: {}
    made_for: tuple[str, ...] = ()
    entries: tuple[Entry, ...] = ()
    may_skip: bool = True

    @property
    def lit(self) -> bool:
        """Whether the step uses the light."""
        return Need.LID in self.needs

    def check_entries(self, entered: Mapping[str, float]) -> dict[str, float]:
        """Return the entries that the step knows.

        Raises:
            InputError: one is missing, unknown or out of its range.
        """
        known = {entry.name: entry for entry in self.entries}
        for name, value in entered.items():
            entry = known.get(name)
            shown = name[:40].replace("_", " ")
            if not known:
                raise InputError("CALIBRATION-ENTRY-UNWANTED", name=shown)
            if entry is None:
                raise InputError("CALIBRATION-ENTRY-UNKNOWN", name=shown, known=", ".join(known))
            if not entry.low <= value <= entry.high:
                raise InputError(
                    "CALIBRATION-ENTRY",
                    name=shown,
                    value=value,
                    low=entry.low,
                    high=entry.high,
                    unit=entry.unit,
                )
        missing = [e for e in self.entries if e.required and e.name not in entered]
        if missing:
            names = ", ".join(entry.name for entry in missing).replace("_", " ")
            if missing[0].marked:
                raise InputError("CALIBRATION-CORNERS-UNMARKED", names=names)
            raise InputError("CALIBRATION-ENTRY-MISSING", names=names)
        return dict(entered)


def _as(**settings: str) -> Callable[[Mapping[str, float]], Mapping[str, float]]:
    """Return what puts each value, by its name, in the place of one setting, ``section__key``."""
    return lambda values: {
        setting: values[name] for name, setting in settings.items() if name in values
    }


_LIT = (Need.SMEAR, Need.BLANK, Need.LID)

STEPS: tuple[Step, ...] = (
    Step(
        "slide_corners",
        (Need.SMEAR,),
        slide_corners.measure,
        days=365,
        replaces=_as(
            left_um="scan__left_um",
            top_um="scan__top_um",
            width_um="scan__width_um",
            height_um="scan__height_um",
        ),
        entries=tuple(
            Entry(f"{corner}_{axis}_um", "um", 0.0, 500_000.0, marked=True)
            for corner in CORNERS
            for axis in "xy"
        ),
    ),
    Step(
        "flat_field",
        (Need.BLANK, Need.LID),
        flat_field.measure,
        days=30,
        replaces=_as(exposure_ms="camera__exposure_ms"),
        made_for=("light.led", "camera.gain_db"),
        may_skip=False,
    ),
    Step(
        "camera_noise",
        (Need.BLANK, Need.LID),
        camera_noise.measure,
        days=180,
        made_for=("camera.serial", "camera.gain_db", "camera.pixel_format", "camera.binning"),
    ),
    Step(
        "focus_reference",
        _LIT,
        focus_reference.measure,
        days=30,
        replaces=_as(focus_z_um="scan__focus_z_um", offset_um="scan__focus_offset_um"),
        entries=(Entry("offset_um", "um", -5.0, 5.0, required=False),),
        may_skip=False,
    ),
    Step(
        "pixel_size",
        _LIT,
        pixel_size.measure,
        days=180,
        replaces=_as(pixel_um="camera__pixel_um"),
        made_for=("camera.pixel_um", "camera.binning"),
        may_skip=False,
    ),
    Step(
        "backlash",
        _LIT,
        backlash.measure,
        days=90,
        replaces=backlash.approach_settings,
        made_for=("stage.driver",),
    ),
    Step(
        "settle_time",
        _LIT,
        settle_time.measure,
        days=90,
        replaces=_as(settle_xy_ms="scan__settle_xy_ms", settle_z_ms="scan__settle_z_ms"),
        made_for=("stage.driver",),
    ),
    Step(
        "led_power",
        (Need.METER, Need.PULSES),
        led_power.measure,
        days=180,
        replaces=_as(irradiance_mw_per_cm2="light__irradiance_mw_per_cm2"),
        made_for=("light.led",),
        entries=(
            Entry("power_mw", "mW", 1e-6, 10_000.0),
            Entry("field_width_mm", "mm", 0.01, 100.0),
            Entry("field_height_mm", "mm", 0.01, 100.0),
        ),
    ),
)
STEP_IDS = tuple(step.id for step in STEPS)


def step_of(step_id: str) -> Step:
    """Return the step called ``step_id``.  Raises InputError."""
    for step in STEPS:
        if step.id == step_id:
            return step
    raise InputError("CALIBRATION-STEP", step=step_id[:40], steps=", ".join(STEP_IDS))
