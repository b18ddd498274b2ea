"""Step: how long the image moves on after the stage says it has arrived."""

from __future__ import annotations

from collections.abc import Mapping

from device.calibration.steps.context import CalibrationContext
from device.calibration.steps.quantities import Outcome, Quantity, judged
from device.calibration.steps.settling import DELAYS_MS, REPEATS, SettleTime, SettlingMeter

FIELDS = 6
Z_FIELDS = 6
Z_SLOPE_UM = 2.0
"""Below the focus, where the contrast changes most with z."""

MIN_SETTLE_XY_MS = 20.0
MIN_SETTLE_Z_MS = 10.0
"""Shorter is not waited, whatever was measured: the next day's floor may shake more."""

MAX_SETTLE_MS = 1000.0
_CODES = {"settle_xy_ms": "CALIBRATION-SETTLE", "settle_z_ms": "CALIBRATION-SETTLE"}


def measure(context: CalibrationContext, entries: Mapping[str, float]) -> Outcome:
    """Take pairs of frames, early and late after moves across and upwards."""
    context.prepare()
    focus = context.find_focus()
    rig = context.rig
    meter = SettlingMeter(
        rig.hardware.stage, rig.imager, rig.clock, rig.user.cancel, repeats=REPEATS
    )
    context.say("Measuring how long x and y take to come to rest.", 0.2)
    across = meter.measure_xy(context.fields(FIELDS), focus.z_um)
    context.say("Measuring how long z takes to come to rest.", 0.6)
    step_um = context.settings.scan.focus_fine_step_um
    upright = meter.measure_z(context.fields(Z_FIELDS), focus.z_um - Z_SLOPE_UM, step_um)
    quantities = (
        _quantity("settle_xy_ms", across, MIN_SETTLE_XY_MS),
        _quantity("settle_z_ms", upright, MIN_SETTLE_Z_MS),
    )
    details = {"measured_xy_ms": across.measured_ms, "measured_z_ms": upright.measured_ms}
    return judged(_CODES, quantities, details)


def _quantity(name: str, found: SettleTime, least_ms: float) -> Quantity:
    """Return the time to wait; its uncertainty is the gap to the delay before."""
    shorter = [delay_ms for delay_ms in DELAYS_MS if delay_ms < found.measured_ms]
    gap_ms = found.measured_ms - (shorter[-1] if shorter else 0.0)
    return Quantity(name, max(found.time_ms, least_ms), "ms", gap_ms, 0.0, MAX_SETTLE_MS)
