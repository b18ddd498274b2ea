"""Pulses that a person reads on a power meter: a short series, under every rule of the light."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from small_instrument import SPEED, SmallInstrument, small_instrument

from device.calibration.steps.led_power import PERIOD_S, PULSE_MS, PULSES
from device.engine.state.states import State
from device.errors import RequestRefusedError, StartRefusedError
from device.records.calibrations import CalibrationState
from hal.sim.gpio.lines import Edge

POWER = {"power_mw": 0.02, "field_width_mm": 0.5, "field_height_mm": 0.5}


def edges(rig: SmallInstrument) -> list[Edge]:
    return rig.world.gpio.edges(rig.settings.light.pin)


def begun(rig: SmallInstrument, *steps: str) -> SmallInstrument:
    rig.idle()
    rig.instrument.calibration.begin("Ann", steps)
    assert edges(rig) == []
    return rig


def pulse(rig: SmallInstrument) -> None:
    rig.instrument.calibration.give_pulses()
    rig.idle()
    assert rig.light_is_off()


def in_pulse(rig: SmallInstrument, number: int, action: Callable[[], object]) -> None:
    rig.camera.at[rig.camera.exposures + number] = action


def test_ten_ordinary_pulses_in_a_steady_rhythm(rig: SmallInstrument) -> None:
    begun(rig)
    asked_s = time.monotonic()
    pulse(rig)
    levels = [edge.level for edge in edges(rig)]
    assert levels == [1, 0] * PULSES
    for number, edge in enumerate(edges(rig)[::2]):
        assert edge.time_s - asked_s >= number * PERIOD_S / SPEED
    assert rig.camera.exposure_us == 1000.0 * PULSE_MS
    # The meter may be in the way of the stage.
    assert not rig.hardware.stage.homed
    assert rig.instrument.calibration.results() == {}
    rig.instrument.calibration.measure("led_power", POWER)
    rig.idle()
    assert len(edges(rig)) == 2 * PULSES, "entering the reading needs no light"
    record = rig.instrument.calibration.results()["led_power"]
    assert record.value("irradiance_mw_per_cm2") == pytest.approx(8.0)


def test_the_pulses_are_in_the_books_of_led_and_dose(rig: SmallInstrument) -> None:
    begun(rig)
    pulse(rig)
    led = rig.records.light.judge("1", 1.0, sound=False)
    assert led.exposures == PULSES
    session = rig.instrument.calibration.session()
    assert session is not None
    with rig.records.reader() as reader:
        dose_j_per_cm2 = reader.sample_dose_j_per_cm2(f"calibration-{session.id}")
    irradiance = rig.settings.light.irradiance_mw_per_cm2
    assert dose_j_per_cm2 == pytest.approx(irradiance * led.light_s / 1000.0)


def test_an_open_lid_refuses(rig: SmallInstrument) -> None:
    begun(rig)
    rig.world.set_lid(closed=False)
    with pytest.raises(StartRefusedError, match="missing: lid closed"):
        rig.instrument.calibration.give_pulses()
    assert edges(rig) == []


def test_a_lid_that_is_opened_ends_the_series(rig: SmallInstrument) -> None:
    begun(rig)
    in_pulse(rig, 3, lambda: rig.world.set_lid(closed=False))
    pulse(rig)
    assert [edge.level for edge in edges(rig)] == [1, 0] * 3
    result = rig.instrument.calibration.results()["led_power"]
    assert result.state is CalibrationState.REFUSED
    assert result.refusal is not None
    # Seen during the third pulse, or before the fourth one.
    assert result.refusal["code"] in {"LIGHT-INTERLOCK", "LIGHT-LID-OPENED"}
    rig.world.set_lid(closed=True)
    rig.wait_until(lambda s: all(c.met for c in s.start_conditions if c.name == "lid_closed"))
    pulse(rig)
    assert len(edges(rig)) == 2 * (3 + PULSES)


@pytest.mark.parametrize("number", [1, 4, PULSES])
def test_abort_ends_the_series_with_the_light_off(rig: SmallInstrument, number: int) -> None:
    begun(rig)
    in_pulse(rig, number, rig.instrument.abort)
    pulse(rig)
    assert [edge.level for edge in edges(rig)] == [1, 0] * number
    assert rig.instrument.calibration.results() == {}
    pulse(rig)
    assert len(edges(rig)) == 2 * (number + PULSES)


def test_the_dose_limit_ends_the_series(tmp_path: Path) -> None:
    with small_instrument(tmp_path, max_exposures_per_field=8) as rig:
        begun(rig)
        pulse(rig)
        assert len(edges(rig)) == 2 * 8
        result = rig.instrument.calibration.results()["led_power"]
        assert result.refusal is not None
        assert result.refusal["code"] == "DOSE-LIMIT"


def test_a_camera_that_fails_is_a_fault(rig: SmallInstrument) -> None:
    begun(rig)
    in_pulse(rig, 2, rig.sensor.unplug)
    rig.instrument.calibration.give_pulses()
    rig.wait_for(State.FAULT)
    assert [edge.level for edge in edges(rig)] == [1, 0] * 2


def test_no_pulse_without_a_session_of_this_step(rig: SmallInstrument) -> None:
    rig.idle()
    with pytest.raises(RequestRefusedError):
        rig.instrument.calibration.give_pulses()
    begun(rig, "flat_field")
    with pytest.raises(RequestRefusedError):
        rig.instrument.calibration.give_pulses()
    assert edges(rig) == []
