"""Step: irradiance at the sample from a power meter's reading that a person enters."""

from __future__ import annotations

from collections.abc import Mapping

from device.calibration.steps.context import CalibrationContext
from device.calibration.steps.quantities import Outcome, Quantity, judged

PULSES = 10
PULSE_MS = 50.0
PERIOD_S = 1.0
METER_UNCERTAINTY = 0.1
"""Relative; what makers of ultraviolet photodiode sensors state at 260 nm, and the field's edge."""

_CODES = {"irradiance_mw_per_cm2": "CALIBRATION-LED"}


def give_pulses(context: CalibrationContext) -> None:
    """Give ordinary pulses in a steady rhythm; nothing moves, because the meter may be in the way.

    The ledger has them as light on one field: nobody can see that no sample lies there.

    Raises as :meth:`device.imaging.imager.Imager.flash`.
    """
    context.rig.hardware.camera.set_exposure(1000.0 * PULSE_MS)
    field = context.plan.fields[0]
    begun_s = context.rig.clock.monotonic_s()
    for number in range(PULSES):
        context.wait_until(begun_s + number * PERIOD_S)
        context.say(f"Pulse {number + 1} of {PULSES}.", number / PULSES)
        context.rig.imager.flash(field)


def measure(context: CalibrationContext, entries: Mapping[str, float]) -> Outcome:
    """Divide the entered power by the entered field; no light and no motion."""
    power_mw = entries["power_mw"]
    width_mm, height_mm = entries["field_width_mm"], entries["field_height_mm"]
    irradiance = power_mw / (width_mm * height_mm / 100.0)
    quantities = (
        Quantity(
            "irradiance_mw_per_cm2",
            irradiance,
            "mW/cm2",
            METER_UNCERTAINTY * irradiance,
            0.05,
            1000.0,
        ),
        Quantity("power_mw", power_mw, "mW", METER_UNCERTAINTY * power_mw),
        Quantity("field_width_mm", width_mm, "mm"),
        Quantity("field_height_mm", height_mm, "mm"),
    )
    return judged(_CODES, quantities)
