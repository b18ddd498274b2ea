"""Every step on the simulated instrument finds what the simulator knows; the light is off after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from small_instrument import TIMEOUT_S, SmallInstrument, small_instrument

from device.calibration.steps.catalogue import STEP_IDS, step_of
from device.calibration.steps.quantities import Quantity
from device.engine.state.states import State
from device.records.calibrations import CalibrationRecord, CalibrationState
from hal.errors import InputError
from hal.sim.apt.emulator import Z_BACKLASH_UM
from hal.sim.grbl.motion import Mechanics
from hal.sim.optics.imaging import Optics
from hal.sim.optics.mounting import Mounting

FULL_SCALE = 4095


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[SmallInstrument]:
    """The instrument with the virtual smear under a small camera."""
    with small_instrument(tmp_path, physics=True, width_um=300.0, height_um=200.0) as made:
        made.idle()
        made.instrument.calibration.begin("Ann")
        yield made


def measured(
    lab: SmallInstrument, step: str, entries: Mapping[str, float] | None = None
) -> CalibrationRecord:
    lab.instrument.calibration.measure(step, entries)
    status = lab.instrument.wait_for(State.IDLE, State.FAULT, timeout_s=4 * TIMEOUT_S)
    assert status.state == State.IDLE, status.error
    assert lab.light_is_off()
    return lab.instrument.calibration.results()[step]


def quantity(record: CalibrationRecord, name: str) -> Quantity:
    return next(Quantity(**q) for q in record.quantities if q["name"] == name)


def holds(record: CalibrationRecord, name: str, truth: float) -> bool:
    """Whether the stated interval, with a little for the unlucky twentieth, holds the truth."""
    found = quantity(record, name)
    assert found.uncertainty is not None
    return abs(found.value - truth) <= 1.5 * found.uncertainty


def test_the_pixel_size_of_a_straight_camera(lab: SmallInstrument) -> None:
    record = measured(lab, "pixel_size")
    assert holds(record, "pixel_um", 0.165)
    assert holds(record, "rotation_deg", 0.0)
    assert record.value("mirrored") == 0.0
    # The stage stops up to a few micrometres off: that is what the fit leaves.
    assert quantity(record, "residual_um").value < 3.0
    assert quantity(record, "pixel_um").uncertainty < 0.003  # type: ignore[operator]


@pytest.mark.parametrize(
    ("mounting", "code"),
    [
        (Mounting(rotation_deg=2.5, scale=1.01), "CALIBRATION-ROTATION"),
        (Mounting(rotation_deg=-0.1, scale=1.06), "CALIBRATION-PIXEL"),
        pytest.param(Mounting(mirrored=True), "CALIBRATION-MIRRORED", marks=pytest.mark.slow),
    ],
)
def test_a_camera_that_sits_wrong_is_measured_and_refused(
    lab: SmallInstrument, mounting: Mounting, code: str
) -> None:
    lab.world.microscope.mounting = mounting
    record = measured(lab, "pixel_size")
    assert record.state is CalibrationState.REFUSED
    assert record.refusal is not None
    assert record.refusal["code"] == code
    assert holds(record, "pixel_um", 0.165 * mounting.scale)
    assert holds(record, "rotation_deg", mounting.rotation_deg)
    assert record.value("mirrored") == float(mounting.mirrored)


@pytest.mark.slow
def test_the_backlash_of_the_emulated_stage(lab: SmallInstrument) -> None:
    record = measured(lab, "backlash")
    truth = Mechanics()
    for axis, backlash_um, spread_um in zip(
        "xyz", truth.backlash_um, truth.repeatability_um, strict=True
    ):
        assert holds(record, f"backlash_{axis}_um", backlash_um)
        found_um = quantity(record, f"repeatability_{axis}_um").value
        assert found_um == pytest.approx(spread_um, rel=0.6)
    assert record.state is CalibrationState.MEASURED


@pytest.mark.slow
def test_a_stage_with_encoders_on_the_slide_has_backlash_in_z_alone(tmp_path: Path) -> None:
    pytest.importorskip("thorlabs_apt_protocol", reason="the extra apt is not installed")
    area = {"width_um": 300.0, "height_um": 200.0}
    with small_instrument(tmp_path, physics=True, stage={"driver": "apt"}, **area) as lab:
        lab.idle()
        lab.instrument.calibration.begin("Ann")
        record = measured(lab, "backlash")
    for axis, backlash_um in (("x", 0.0), ("y", 0.0), ("z", Z_BACKLASH_UM)):
        found = quantity(record, f"backlash_{axis}_um")
        assert found.value == pytest.approx(backlash_um, abs=0.3)
        assert quantity(record, f"repeatability_{axis}_um").value < 0.3
    assert record.state is CalibrationState.MEASURED


def test_the_noise_of_the_simulated_chip(lab: SmallInstrument) -> None:
    record = measured(lab, "camera_noise")
    sensor = lab.world.microscope.sensor
    assert holds(record, "gain_e_per_count", sensor.full_well_e / FULL_SCALE)
    assert holds(record, "read_noise_e", sensor.read_noise_e)
    assert quantity(record, "gain_relative_uncertainty").value < 0.02


def test_the_flat_field_of_the_simulated_lamp(lab: SmallInstrument) -> None:
    record = measured(lab, "flat_field")
    camera = lab.settings.camera
    light = Optics().illumination(camera.height_px, camera.width_px)
    assert holds(record, "unevenness", float((light.max() - light.min()) / light.mean()))
    assert record.value("dark_level") == pytest.approx(0.008, abs=0.001)
    assert record.value("hot_pixel_fraction") == 0.0
    relative = record.details["relative_light"]
    assert len(relative) == 6
    assert len(relative[0]) == 8


def test_the_height_of_the_focus(lab: SmallInstrument) -> None:
    record = measured(lab, "focus_reference", {"offset_um": 0.7})
    plan_x_um = lab.settings.scan.left_um + lab.settings.scan.width_um / 2
    plan_y_um = lab.settings.scan.top_um + lab.settings.scan.height_um / 2
    truth_um = lab.world.smear.focus_z_um(plan_x_um, plan_y_um)
    # The stage's backlash, the tilt between the fields, and the cells' own refraction.
    assert record.value("focus_z_um") == pytest.approx(truth_um, abs=3.0)
    assert quantity(record, "repeatability_um").value < 0.5
    assert record.value("offset_um") == 0.7


@pytest.mark.slow
def test_a_stage_without_ringing_needs_the_shortest_wait(lab: SmallInstrument) -> None:
    record = measured(lab, "settle_time")
    # At this speed of the clock a late thread is worth a fifth of a second.
    assert 20.0 <= quantity(record, "settle_xy_ms").value <= 500.0
    assert 10.0 <= quantity(record, "settle_z_ms").value <= 500.0


def test_the_entered_power_becomes_an_irradiance(lab: SmallInstrument) -> None:
    entries = {"power_mw": 0.01, "field_width_mm": 0.4, "field_height_mm": 0.4}
    lab.idle()
    before = lab.camera.exposures
    record = measured(lab, "led_power", entries)
    assert record.value("irradiance_mw_per_cm2") == pytest.approx(6.25)
    assert lab.camera.exposures == before


def test_corners_are_driven_to_and_marked(lab: SmallInstrument) -> None:
    desk = lab.instrument.calibration
    with pytest.raises(InputError, match="Not marked"):
        desk.measure("slide_corners")
    desk.visit("second")
    lab.idle()
    desk.mark("second")
    lab.idle()
    desk.jog(-800.0, -600.0)
    lab.idle()
    assert desk.picture is not None
    desk.mark("first")
    lab.idle()
    record = measured(lab, "slide_corners")
    assert record.state is CalibrationState.MEASURED
    scan = lab.settings.scan
    assert record.value("width_um") == pytest.approx(800.0, abs=2.0)
    assert record.value("height_um") == pytest.approx(600.0, abs=2.0)
    assert record.value("left_um") == pytest.approx(scan.left_um + scan.width_um - 800.0, abs=2.0)


def test_a_jog_off_the_slide_is_refused_and_told(lab: SmallInstrument) -> None:
    desk = lab.instrument.calibration
    desk.visit("first")
    lab.idle()
    before = lab.hardware.stage.position()
    desk.jog(0.0, -15_000.0)
    lab.idle()
    assert lab.hardware.stage.position() == before
    refusal = desk.results()["slide_corners"].refusal
    assert refusal is not None
    assert refusal["code"] == "STAGE-OFF-SLIDE"


@pytest.mark.parametrize("step", STEP_IDS)
def test_every_step_says_what_it_wants(step: str) -> None:
    found = step_of(step)
    assert found.needs
    for entry in found.entries:
        with pytest.raises(InputError) as caught:
            found.check_entries({entry.name: 10.0 * entry.high + 1.0})
        assert caught.value.error_code == "CALIBRATION-ENTRY"
    with pytest.raises(InputError) as caught:
        found.check_entries({"colour": 1.0})
    unknown = "CALIBRATION-ENTRY-UNKNOWN" if found.entries else "CALIBRATION-ENTRY-UNWANTED"
    assert caught.value.error_code == unknown
