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
    """A slide with a smear in the scan area and blank glass beside it."""
    BLANK = "blank"
    """Clean blank glass at the blank place."""
    LID = "lid"
    """The lid closed: the step uses the light."""
    METER = "meter"
    """A power meter for 260 nm at the place of the sample."""
    PULSES = "pulses"
    """The lid closed before the pulses that the meter reads; entering the reading needs none."""


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
        id: stable name, also of the setting ``calibration.<id>_days``.
        needs: what a person has to see to.
        measure: does it; raises as the devices do, or CalibrationRefusedError.
        entries: what a person enters.
        may_skip: whether a session may leave it out.
    """

    id: str
    needs: tuple[Need, ...]
    measure: Callable[[CalibrationContext, Mapping[str, float]], Outcome]
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
            if entry is None or not entry.low <= value <= entry.high:
                allowed = (
                    f"Enter {entry.low:g} to {entry.high:g} {entry.unit}."
                    if entry is not None
                    else f"It takes {', '.join(known) or 'no numbers'}."
                )
                raise InputError(
                    f"{name[:40].replace('_', ' ')} = {value:g} does not fit this step.",
                    remedy=allowed,
                    code="CALIBRATION-ENTRY",
                )
        missing = [e.name for e in self.entries if e.required and e.name not in entered]
        if missing:
            raise InputError(
                f"Not entered: {', '.join(missing).replace('_', ' ')}.",
                remedy="Mark both corners first."
                if known[missing[0]].marked
                else "Enter every number.",
                code="CALIBRATION-ENTRY",
            )
        return dict(entered)


_LIT = (Need.SMEAR, Need.BLANK, Need.LID)
_CORNER_ENTRIES = tuple(
    Entry(f"{corner}_{axis}_um", "um", 0.0, 500_000.0, marked=True)
    for corner in CORNERS
    for axis in "xy"
)

STEPS: tuple[Step, ...] = (
    Step("slide_corners", (Need.SMEAR,), slide_corners.measure, _CORNER_ENTRIES),
    Step("flat_field", (Need.BLANK, Need.LID), flat_field.measure, may_skip=False),
    Step("camera_noise", (Need.BLANK, Need.LID), camera_noise.measure),
    Step(
        "focus_reference",
        _LIT,
        focus_reference.measure,
        (Entry("offset_um", "um", -5.0, 5.0, required=False),),
        may_skip=False,
    ),
    Step("pixel_size", _LIT, pixel_size.measure, may_skip=False),
    Step("backlash", _LIT, backlash.measure),
    Step("settle_time", _LIT, settle_time.measure),
    Step(
        "led_power",
        (Need.METER, Need.PULSES),
        led_power.measure,
        (
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
    raise InputError(
        f"There is no calibration step {step_id[:40]!r}.",
        remedy=f"Use one of: {', '.join(STEP_IDS)}.",
        code="CALIBRATION-STEP",
    )
