"""What was calibrated makes checks stricter: they notice that the instrument has changed since."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from check_rig import CheckRig, found

from device.calibration.effective import effective, made_for
from device.calibration.steps.quantities import Outcome, Quantity
from device.checks.report import CheckResult, Level, Verdict
from device.records.calibrations import CalibrationState
from hal.sim.grbl.motion import Mechanics
from hal.sim.optics.sensor import Sensor

FULL_SCALE = 4095
NOISE = {
    "gain_e_per_count": Sensor().full_well_e / FULL_SCALE,
    "read_noise_e": Sensor().read_noise_e,
}


def calibrate(rig: CheckRig, step: str, **values: float) -> None:
    """Let the instrument have been calibrated with these values."""
    store = rig.records.calibrations
    store.begin("simulated", "Ann", [step])
    session = store.open_session("simulated")
    assert session is not None
    outcome = Outcome(
        tuple(Quantity(name, value) for name, value in values.items()),
        {"made_for": made_for(step, rig.settings)},
    )
    document = outcome.document()
    store.add(session, "simulated", step, CalibrationState.ACCEPTED, "1.0", document)
    rig.effective = effective(rig.settings, store.newest_accepted("simulated"), rig.now)


def checked(rig: CheckRig, check_id: str) -> CheckResult:
    return found(rig.run(Level.FULL, [check_id]), check_id)


@pytest.mark.slow
def test_a_calibrated_camera_has_the_noise_it_had(rig: CheckRig) -> None:
    calibrate(rig, "camera_noise", **NOISE)
    result = checked(rig, "CHECK-CAMERA-NOISE")
    assert result.verdict is Verdict.PASS, result
    assert result.measured == pytest.approx(1.0, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(("calibrated", "verdict"), [(False, Verdict.PASS), (True, Verdict.FAIL)])
def test_another_chip_is_noticed_where_the_gain_is_calibrated(
    rig: CheckRig, calibrated: bool, verdict: Verdict
) -> None:
    if calibrated:
        calibrate(rig, "camera_noise", **NOISE)
    microscope = rig.world.microscope
    microscope.sensor = replace(microscope.sensor, full_well_e=8_000.0)
    assert checked(rig, "CHECK-CAMERA-NOISE").verdict is verdict


@pytest.mark.slow
def test_a_stage_that_stops_less_well_than_it_did_is_noticed(rig: CheckRig) -> None:
    worn = replace(Mechanics(), repeatability_um=(2.0, 2.0, 0.1))
    rig.world.emulator.wear(worn)  # type: ignore[attr-defined]
    assert checked(rig, "CHECK-STAGE-RETURN").verdict is Verdict.PASS
    calibrate(rig, "backlash", repeatability_x_um=0.1, repeatability_y_um=0.2)
    result = checked(rig, "CHECK-STAGE-RETURN")
    assert (result.verdict, result.high) == (Verdict.FAIL, 2.0)


@pytest.mark.parametrize(
    ("spreads", "high_um"),
    [({}, 8.0), ({"x": 0.5, "y": 1.0}, 7.0), ({"x": 0.1, "y": 0.1}, 2.0), ({"x": 2.9}, 8.0)],
)
def test_the_limit_of_the_return_follows_the_calibration_and_never_loosens(
    rig: CheckRig, spreads: dict[str, float], high_um: float
) -> None:
    if spreads:
        values: dict[str, Any] = {f"repeatability_{axis}_um": v for axis, v in spreads.items()}
        calibrate(rig, "backlash", **values)
    rig.cancel.set()
    assert checked(rig, "CHECK-STAGE-RETURN").high == high_um
