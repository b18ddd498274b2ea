"""Sessions and validity: stored step by step, resumed after a power cut, expired by the clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from device.calibration.effective import made_for
from device.calibration.order import CalibrationOrder
from device.calibration.service import CalibrationService
from device.calibration.steps.catalogue import STEP_IDS
from device.calibration.steps.quantities import Outcome, Quantity
from device.errors import RequestRefusedError
from device.records.calibrations import CalibrationSession, CalibrationState
from device.records.records import Records
from device.settings.file import Settings, parse_settings
from hal.errors import InputError

BEGIN = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)


class Watch:
    """Wall-clock time that a test sets."""

    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def watch() -> Watch:
    return Watch()


@contextmanager
def opened(folder: Path, watch: Watch) -> Iterator[Records]:
    records = Records(folder / "records.db", now=watch)
    try:
        yield records
    finally:
        records.close()


@pytest.fixture
def records(tmp_path: Path, watch: Watch) -> Iterator[Records]:
    with opened(tmp_path, watch) as made:
        yield made


def desk_of(
    records: Records, settings: Settings | None = None, device: str = "simulated"
) -> CalibrationService:
    def perform(order: CalibrationOrder) -> None:
        raise RequestRefusedError("CALIBRATE-LIST-ONLY")

    return CalibrationService(settings or Settings(), records.calibrations, device, perform)


def store(
    records: Records,
    session: CalibrationSession,
    step: str,
    state: CalibrationState = CalibrationState.MEASURED,
    settings: Settings | None = None,
    **values: float,
) -> int:
    outcome = Outcome(
        tuple(Quantity(n, v, "", 0.1) for n, v in values.items()),
        {"made_for": made_for(step, settings or Settings())},
    )
    return records.calibrations.add(session, "simulated", step, state, "1.0", outcome.document())


def calibrated(
    records: Records, settings: Settings | None = None, **steps: dict[str, float]
) -> CalibrationService:
    """Return a desk whose steps were measured and accepted."""
    desk = desk_of(records, settings)
    session = desk.begin("Ann")
    for step, values in steps.items():
        store(records, session, step, settings=settings, **values)
        desk.accept(step)
    return desk


def test_nothing_calibrated_leaves_the_settings_and_says_so(records: Records) -> None:
    found = desk_of(records).effective()
    assert found.settings == Settings()
    assert found.missing == STEP_IDS
    (flag,) = found.flags()
    assert flag.code == "CALIBRATION-MISSING"
    assert flag.level == "note"
    assert not found.problem


def test_accepted_values_replace_the_settings(records: Records) -> None:
    desk = calibrated(
        records,
        pixel_size={"pixel_um": 0.166, "rotation_deg": 0.1},
        backlash={"backlash_x_um": 3.0, "backlash_y_um": 6.2, "backlash_z_um": -0.2},
        settle_time={"settle_xy_ms": 55.0, "settle_z_ms": 12.0},
        flat_field={"exposure_ms": 33.0},
        focus_reference={"focus_z_um": 5123.0, "offset_um": 0.6},
        led_power={"irradiance_mw_per_cm2": 4.5},
        slide_corners={
            "left_um": 31_000.0,
            "top_um": 41_000.0,
            "width_um": 9_000.0,
            "height_um": 5_000.0,
        },
    )
    changed = desk.effective().settings
    assert changed.camera.pixel_um == 0.166
    assert (changed.stage.approach_xy_um, changed.stage.approach_z_um) == (15.0, 2.0)
    assert (changed.scan.settle_xy_ms, changed.scan.settle_z_ms) == (55.0, 12.0)
    assert changed.camera.exposure_ms == 33.0
    assert (changed.scan.focus_z_um, changed.scan.focus_offset_um) == (5123.0, 0.6)
    assert changed.light.irradiance_mw_per_cm2 == 4.5
    assert (changed.scan.left_um, changed.scan.height_um) == (31_000.0, 5_000.0)
    used = {entry["step"]: entry for entry in desk.effective().document()}
    assert used["led_power"]["operator"] == "Ann"
    assert used["led_power"]["utc"] == BEGIN.isoformat(timespec="milliseconds")


def test_what_was_only_measured_is_not_used(records: Records) -> None:
    desk = desk_of(records)
    session = desk.begin("Ann")
    store(records, session, "flat_field", exposure_ms=33.0)
    store(records, session, "pixel_size", CalibrationState.REFUSED, pixel_um=0.3)
    assert desk.effective().settings == Settings()
    with pytest.raises(RequestRefusedError):
        desk.accept("pixel_size")


@pytest.mark.parametrize(
    ("step", "section", "changed"),
    [
        ("flat_field", "light", {"led": "another"}),
        ("flat_field", "camera", {"gain_db": 6.0}),
        ("camera_noise", "camera", {"serial": "another"}),
        ("camera_noise", "camera", {"gain_db": 6.0}),
        ("camera_noise", "camera", {"pixel_format": "Mono8"}),
        ("camera_noise", "camera", {"binning": 2}),
        ("pixel_size", "camera", {"pixel_um": 0.2}),
        ("pixel_size", "camera", {"binning": 2}),
        ("backlash", "stage", {"driver": "apt"}),
        ("settle_time", "stage", {"driver": "apt"}),
        ("led_power", "light", {"led": "another"}),
    ],
)
def test_a_calibration_made_with_another_setting_is_missing(
    records: Records, step: str, section: str, changed: dict[str, object]
) -> None:
    values = {"anything": 1.0}
    assert calibrated(records, **{step: values}).effective().validity(step) == "valid"
    settings = Settings()
    own = getattr(settings, section).model_copy(update=changed)
    other = settings.model_copy(update={section: own})
    assert desk_of(records, other).effective().validity(step) == "missing"


def test_a_calibration_expires_on_its_day(records: Records, watch: Watch) -> None:
    settings = parse_settings({"calibration": {"valid_days": {"flat_field": 14, "pixel_size": 0}}})
    desk = calibrated(
        records,
        settings,
        flat_field={"exposure_ms": 33.0},
        pixel_size={"pixel_um": 0.166, "rotation_deg": 0.0},
    )
    watch.now = BEGIN + timedelta(days=14, seconds=-1)
    assert desk.effective().validity("flat_field") == "valid"
    watch.now = BEGIN + timedelta(days=14)
    assert desk.effective().validity("flat_field") == "expired"
    assert desk.effective().settings.camera.exposure_ms == 50.0
    assert [flag.code for flag in desk.effective().flags()] == [
        "CALIBRATION-EXPIRED",
        "CALIBRATION-MISSING",
    ]
    # 0 days: for ever.
    watch.now = BEGIN + timedelta(days=4000)
    assert desk.effective().validity("pixel_size") == "valid"


def test_days_of_a_step_that_does_not_exist_keep_runs_from_starting(records: Records) -> None:
    settings = parse_settings({"calibration": {"valid_days": {"flat_filed": 14}}})
    assert "flat_filed" in desk_of(records, settings).effective().problem


def test_missing_calibrations_can_keep_runs_from_starting(records: Records, watch: Watch) -> None:
    settings = parse_settings({"calibration": {"when_missing": "refuse"}})
    desk = calibrated(records, settings, flat_field={"exposure_ms": 33.0})
    problem = desk.effective().problem
    assert "pixel size" in problem
    assert "flat field" not in problem
    watch.now = BEGIN + timedelta(days=31)
    assert "flat field" in desk.effective().problem


def test_a_skipped_step_keeps_no_run_from_starting(records: Records, watch: Watch) -> None:
    settings = parse_settings({"calibration": {"when_missing": "refuse"}})
    rest = {step: {} for step in STEP_IDS if step != "led_power"}
    desk = calibrated(records, settings, **rest)
    assert "led power" in desk.effective().problem
    desk.skip("led_power")
    assert not desk.effective().problem
    assert not desk_of(records, settings).effective().problem
    # A result still says that the setting's value was used.
    assert desk.effective().missing == ("led_power",)
    # Whoever measures it later wants it valid.
    session = desk.begin("Ben", ["led_power"])
    store(records, session, "led_power", settings=settings, irradiance_mw_per_cm2=4.5)
    desk.accept("led_power")
    watch.now = BEGIN + timedelta(days=181)
    assert "led power" in desk.effective().problem
    desk.begin("Ben", ["led_power"])
    desk.skip("led_power")
    assert "led power" not in desk.effective().problem
    assert "flat field" in desk.effective().problem


def test_a_turned_camera_keeps_runs_from_starting(records: Records) -> None:
    pixel = {"pixel_um": 0.165, "rotation_deg": 0.3}
    assert not calibrated(records, pixel_size=pixel).effective().problem
    strict = parse_settings({"calibration": {"max_rotation_deg": 0.2}})
    assert "turned by 0.30 deg" in desk_of(records, strict).effective().problem


def test_a_new_led_has_no_power_yet(records: Records) -> None:
    calibrated(records, led_power={"irradiance_mw_per_cm2": 4.5})
    replaced = parse_settings({"light": {"led": "2"}})
    assert desk_of(records).effective().settings.light.irradiance_mw_per_cm2 == 4.5
    assert "led_power" in desk_of(records, replaced).effective().missing


def test_a_calibration_holds_for_the_settings_it_was_made_for(records: Records) -> None:
    calibrated(records, pixel_size={"pixel_um": 0.166}, camera_noise={"gain_e_per_count": 3.9})
    binned = desk_of(records, parse_settings({"camera": {"pixel_um": 0.33, "binning": 2}}))
    assert binned.effective().settings.camera.pixel_um == 0.33
    assert {"pixel_size", "camera_noise"} <= set(binned.effective().missing)
    louder = desk_of(records, parse_settings({"camera": {"gain_db": 6.0}})).effective()
    assert louder.value("camera_noise", "gain_e_per_count") is None
    assert louder.value("pixel_size", "pixel_um") == 0.166


def test_a_person_is_told_before_and_after_a_calibration_expires(
    records: Records, watch: Watch
) -> None:
    steps = {"flat_field": {}, "focus_reference": {}, "pixel_size": {}, "slide_corners": {}}
    desk = desk_of(records)
    assert [remark.name for remark in desk.remarks()] == ["calibration_missing"]
    assert "slide corners" not in desk.remarks()[0].explanation
    desk = calibrated(records, **steps)
    assert desk.remarks() == ()
    watch.now = BEGIN + timedelta(days=24)
    (ends,) = desk.remarks()
    assert ends.explanation.startswith("The calibration expires within 7 days: flat field, focus")
    watch.now = BEGIN + timedelta(days=31)
    (expired,) = desk.remarks()
    assert expired.explanation.startswith("The calibration has expired: flat field, focus")
    strict = parse_settings({"calibration": {"when_missing": "refuse"}})
    assert desk_of(records, strict).remarks() == ()
    assert "flat field" in desk_of(records, strict).effective().problem


def test_a_calibration_that_does_not_fit_keeps_runs_from_starting(records: Records) -> None:
    corners = {"left_um": 1.0, "top_um": 41_000.0, "width_um": 9_000.0, "height_um": 5_000.0}
    assert "must lie" in calibrated(records, slide_corners=corners).effective().problem


def test_simulated_calibrations_are_not_those_of_the_instrument(records: Records) -> None:
    calibrated(records, flat_field={"exposure_ms": 33.0})
    assert desk_of(records, device="instrument").effective().missing == STEP_IDS


def test_a_session_goes_on_after_the_power_was_cut(tmp_path: Path, watch: Watch) -> None:
    with opened(tmp_path, watch) as records:
        desk = desk_of(records)
        session = desk.begin("Ann", ["backlash", "flat_field", "pixel_size"])
        assert session.steps == ("flat_field", "pixel_size", "backlash")
        store(records, session, "flat_field", exposure_ms=33.0)
        desk.accept("flat_field")
        store(records, session, "pixel_size", pixel_um=0.166, rotation_deg=0.0)
    with opened(tmp_path, watch) as records:
        desk = desk_of(records)
        again = desk.session()
        assert again is not None
        assert (again.id, again.operator) == (session.id, "Ann")
        following = desk.next_step()
        assert following is not None
        assert following.id == "pixel_size"
        assert desk.results()["pixel_size"].state is CalibrationState.MEASURED
        desk.accept("pixel_size")
        desk.skip("backlash")
        assert desk.session() is None
        assert desk.effective().settings.camera.pixel_um == 0.166


def test_a_step_can_be_done_again_and_the_old_result_stays(records: Records, watch: Watch) -> None:
    desk = calibrated(records, flat_field={"exposure_ms": 33.0})
    watch.now += timedelta(days=2)
    session = desk.session()
    assert session is not None
    store(records, session, "flat_field", exposure_ms=44.0)
    assert desk.effective().settings.camera.exposure_ms == 33.0
    desk.accept("flat_field")
    assert desk.effective().settings.camera.exposure_ms == 44.0
    kept = [record.value("exposure_ms") for record in desk.page(0, 10)]
    assert kept == [33.0, 44.0]


def test_only_some_steps_may_be_left_out(records: Records) -> None:
    desk = desk_of(records)
    desk.begin("Ann")
    desk.skip("backlash")
    with pytest.raises(RequestRefusedError):
        desk.skip("pixel_size")
    desk.end()
    with pytest.raises(RequestRefusedError):
        desk.skip("backlash")


@pytest.mark.parametrize("operator", ["", "  ", "x" * 65, "a\nb"])
def test_an_operator_has_a_name(records: Records, operator: str) -> None:
    with pytest.raises(InputError) as caught:
        desk_of(records).begin(operator)
    assert caught.value.error_code == "CALIBRATION-OPERATOR"


def test_unknown_steps_and_corners_are_named(records: Records) -> None:
    desk = desk_of(records)
    with pytest.raises(InputError, match="no calibration step"):
        desk.begin("Ann", ["colour"])
    desk.begin("Ann", ["flat_field"])
    with pytest.raises(RequestRefusedError):
        desk.measure("pixel_size")
    with pytest.raises(InputError, match="no corner"):
        desk.mark("third")
    with pytest.raises(InputError, match="too long"):
        desk.jog(1e6, 0.0)
