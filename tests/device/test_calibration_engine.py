"""A calibration is a state of the engine: its light rules hold, it can be stopped, runs use it."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_instrument import SmallInstrument, small_instrument

from device.calibration.effective import made_for
from device.engine.state.states import State
from device.errors import RequestRefusedError, StartRefusedError
from device.records.calibrations import CalibrationState
from device.settings.file import parse_settings

POWER = {"power_mw": 0.02, "field_width_mm": 0.5, "field_height_mm": 0.5}


def begun(rig: SmallInstrument) -> SmallInstrument:
    rig.idle()
    rig.instrument.calibration.begin("Ann")
    return rig


def accept(rig: SmallInstrument, step: str, entries: dict[str, float] | None = None) -> None:
    rig.instrument.calibration.measure(step, entries)
    rig.idle()
    rig.instrument.calibration.accept(step)


def test_the_state_and_the_share_are_told(rig: SmallInstrument) -> None:
    begun(rig)
    seen = []
    rig.camera.at[rig.camera.exposures + 2] = lambda: seen.append(rig.instrument.status())
    rig.instrument.calibration.measure("flat_field")
    rig.idle()
    (status,) = seen
    assert status.state == State.CALIBRATING
    assert status.calibrating == "flat_field"
    assert 0.0 < status.calibrating_share < 1.0
    assert rig.instrument.status().calibrating is None


@pytest.mark.parametrize("exposure", [1, 5, 11])
def test_abort_ends_the_step_at_once_with_nothing_stored(
    rig: SmallInstrument, exposure: int
) -> None:
    begun(rig)
    last = rig.camera.exposures + exposure
    rig.camera.at[last] = rig.instrument.abort
    rig.instrument.calibration.measure("focus_reference")
    rig.idle()
    assert rig.light_is_off()
    assert rig.camera.exposures <= last + 1
    assert rig.instrument.calibration.results() == {}
    # The next step is not cancelled with it.
    accept(rig, "flat_field")


def test_a_long_press_of_the_button_aborts(tmp_path: Path) -> None:
    with small_instrument(tmp_path, panel={"long_press_ms": 500.0, "debounce_ms": 0.0}) as rig:
        begun(rig)
        rig.camera.at[rig.camera.exposures + 2] = lambda: rig.world.hold_start(down=True)
        rig.instrument.calibration.measure("settle_time")
        rig.idle()
        rig.world.hold_start(down=False)
        assert rig.light_is_off()
        assert rig.instrument.calibration.results() == {}


def test_an_opened_lid_ends_the_step_with_the_light_off(rig: SmallInstrument) -> None:
    begun(rig)
    rig.camera.at[rig.camera.exposures + 3] = lambda: rig.world.set_lid(closed=False)
    rig.instrument.calibration.measure("focus_reference")
    rig.idle()
    assert rig.light_is_off()
    result = rig.instrument.calibration.results()["focus_reference"]
    assert result.state is CalibrationState.REFUSED
    assert result.refusal is not None
    assert result.refusal["code"] == "LIGHT-LID-OPENED"
    exposures = rig.camera.exposures
    with pytest.raises(StartRefusedError, match="missing: lid closed"):
        rig.instrument.calibration.measure("focus_reference")
    assert rig.camera.exposures == exposures
    rig.world.set_lid(closed=True)
    rig.wait_until(lambda s: all(c.met for c in s.start_conditions if c.name == "lid_closed"))
    accept(rig, "flat_field")


def test_a_device_that_fails_is_a_fault_and_the_session_goes_on_after_it(
    rig: SmallInstrument,
) -> None:
    begun(rig)

    def unplug() -> None:
        rig.sensor.unplug()

    rig.camera.at[rig.camera.exposures + 3] = unplug
    rig.instrument.calibration.measure("flat_field")
    rig.wait_for(State.FAULT)
    assert rig.light_is_off()
    result = rig.instrument.calibration.results()["flat_field"]
    assert result.refusal is not None
    assert result.refusal["code"] == "CAMERA-UNPLUGGED"
    rig.sensor.unplug(False)
    rig.instrument.acknowledge()
    rig.idle()
    accept(rig, "flat_field")


def test_a_bug_in_a_step_is_a_fault(rig: SmallInstrument, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(rig)

    def broken(pixels: object) -> float:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("device.calibration.steps.focus_reference.contrasts", broken)
    rig.instrument.calibration.measure("focus_reference")
    status = rig.wait_for(State.FAULT)
    assert status.error is not None
    assert status.error["code"] == "INTERNAL"
    assert rig.light_is_off()


def test_the_light_of_a_calibration_counts_for_the_led(rig: SmallInstrument) -> None:
    begun(rig)
    accept(rig, "flat_field")
    led = rig.records.light.judge("1", 1.0, sound=False)
    assert led.exposures >= 3
    assert led.light_s > 0.0


def test_nothing_is_measured_while_a_run_goes_on(rig: SmallInstrument) -> None:
    begun(rig)
    rig.start()
    with pytest.raises(RequestRefusedError):
        rig.instrument.calibration.measure("led_power", POWER)


def test_a_run_uses_and_shows_the_calibration(rig: SmallInstrument) -> None:
    begun(rig)
    accept(rig, "led_power", POWER)
    accept(rig, "focus_reference", {"offset_um": 0.0})
    run_id = rig.start()
    rig.wait_for(State.COMPLETE)
    assert rig.run(run_id).settings["light"]["irradiance_mw_per_cm2"] == pytest.approx(8.0)
    assert rig.run(run_id).settings["scan"]["focus_offset_um"] == 0.0
    result = rig.result(run_id)
    used = {entry["step"]: entry for entry in result["calibration"]}
    assert set(used) == {"led_power", "focus_reference"}
    assert used["led_power"]["operator"] == "Ann"
    assert used["led_power"]["quantities"][0]["value"] == pytest.approx(8.0)
    (flag,) = [f for f in result["flags"] if f["code"] == "CALIBRATION-MISSING"]
    assert flag["level"] == "note"
    assert "pixel size" in flag["text"]
    assert "led power" not in flag["text"]


def test_the_measured_backlash_becomes_the_approach_of_a_run(rig: SmallInstrument) -> None:
    begun(rig)
    desk = rig.instrument.calibration
    session = desk.session()
    assert session is not None
    names = [f"backlash_{axis}_um" for axis in "xyz"]
    document = {
        "quantities": [{"name": n, "value": 3.5, "unit": "um"} for n in names],
        "details": {"made_for": made_for("backlash", rig.settings)},
    }
    rig.records.calibrations.add(
        session, "simulated", "backlash", CalibrationState.MEASURED, "1.0", document
    )
    desk.accept("backlash")
    run_id = rig.start()
    rig.wait_for(State.COMPLETE)
    stage = rig.run(run_id).settings["stage"]
    assert (stage["approach_xy_um"], stage["approach_z_um"]) == (9.0, 9.0)


def test_an_instrument_that_wants_calibrations_does_not_start_without(tmp_path: Path) -> None:
    with small_instrument(tmp_path, calibration={"when_missing": "refuse"}) as rig:
        rig.idle()
        before = rig.camera.exposures
        with pytest.raises(StartRefusedError) as caught:
            rig.instrument.start("S-1")
        assert [c.name for c in caught.value.conditions] == ["calibrated"]
        assert rig.camera.exposures == before


def test_an_interrupted_run_still_tells_its_calibration(tmp_path: Path) -> None:
    settings = parse_settings({"records": {"directory": str(tmp_path)}})
    with small_instrument(tmp_path) as rig:
        rig.idle()
        run_id = rig.records.begin_run("S-1", settings.model_dump(mode="json"), {})
        rig.records.add_event(run_id, "calibration", {"used": [{"step": "led_power"}]})
        rig.sensor.unplug()
        rig.instrument.start("S-2")
        rig.wait_for(State.FAULT)
        rig.sensor.unplug(False)
        rig.instrument.acknowledge()
        rig.idle()
        assert rig.result(run_id)["calibration"] == [{"step": "led_power"}]
