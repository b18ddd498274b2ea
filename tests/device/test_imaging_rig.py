"""The imaging rig: set up from the calibrations and records, every exposure entered, torn down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event as Signal
from typing import Any

import pytest
from small_instrument import TIMEOUT_S, SmallInstrument, small_instrument

from device.calibration.effective import made_for
from device.checks.report import Level
from device.engine.state.states import State
from device.imaging.field import Field
from device.imaging.moving import Mover
from device.imaging.rig import ImagingRig, RigUser, end_at_open_lid, sample_of_the_day
from device.records.calibrations import CalibrationState
from device.records.light import LightEntry
from device.settings.file import Settings, changed_settings
from hal.clock import ManualClock
from hal.errors import InterlockError, StageError
from hal.interfaces.stage import Position

Work = Callable[[SmallInstrument], object]


def a_check(rig: SmallInstrument) -> None:
    rig.instrument.check(Level.DAILY)


def a_calibration(rig: SmallInstrument) -> None:
    rig.instrument.calibration.begin("Ann")
    rig.instrument.calibration.measure("flat_field")


def a_run(rig: SmallInstrument) -> None:
    rig.instrument.start("S-1")


IN_THE_MIDDLE = {a_check: 8, a_calibration: 4, a_run: 6}
"""The lit exposure, counted from the start of the work, during which things happen."""

EVERY_WORK = pytest.mark.parametrize("work", IN_THE_MIDDLE)


def entered_s(rig: SmallInstrument) -> float:
    """Return the seconds of light that the records have."""
    return rig.records.light.judge("1", 1.0, sound=False).light_s


def in_the_middle(rig: SmallInstrument, work: Work, action: Callable[[], object]) -> None:
    rig.camera.at[rig.camera.exposures + IN_THE_MIDDLE[work]] = action


def verdict(rig: SmallInstrument, check_id: str) -> dict[str, Any]:
    with rig.records.reader() as reader:
        report = reader.checks()[-1].report
    return next(result for result in report["results"] if result["id"] == check_id)


def calibrated_backlash(rig: SmallInstrument, backlash_um: float) -> None:
    """Let the play of the stage have been calibrated."""
    desk = rig.instrument.calibration
    session = desk.begin("Ann", ["backlash"])
    quantities = [
        {"name": f"backlash_{axis}_um", "value": backlash_um, "unit": "um"} for axis in "xyz"
    ]
    details = {"made_for": made_for("backlash", rig.settings)}
    rig.records.calibrations.add(
        session,
        "simulated",
        "backlash",
        CalibrationState.MEASURED,
        "1.0",
        {"quantities": quantities, "details": details},
    )
    desk.accept("backlash")


@EVERY_WORK
def test_the_first_check_after_start_uses_the_calibrated_approach_as_a_run_does(
    tmp_path: Path, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_instrument(tmp_path) as before:
        before.idle()
        calibrated_backlash(before, 3.5)
    with small_instrument(tmp_path) as rig:
        rig.idle()
        set_um = [(rig.settings.stage.approach_xy_um, rig.settings.stage.approach_z_um)]
        set_approach = rig.hardware.stage.set_approach

        def watch(xy_um: float, z_um: float) -> None:
            set_um.append((xy_um, z_um))
            set_approach(xy_um, z_um)

        monkeypatch.setattr(rig.hardware.stage, "set_approach", watch)
        used_um: list[tuple[float, float]] = []
        in_the_middle(rig, work, lambda: used_um.append(set_um[-1]))
        work(rig)
        rig.wait_until(lambda status: bool(used_um))
        assert used_um == [(9.0, 9.0)]


def test_a_check_counts_the_former_dose_of_its_sample(rig: SmallInstrument) -> None:
    rig.idle()
    spent_j_per_cm2 = rig.settings.scan.max_sample_j_per_cm2
    sample_id = sample_of_the_day("check", rig.records)
    rig.records.light.add(LightEntry("1", sample_id, 1, 0.1, spent_j_per_cm2))
    a_check(rig)
    rig.wait_for(State.CHECKING)
    rig.idle()
    found = verdict(rig, "CHECK-FOCUS")
    assert (found["verdict"], found["code"]) == ("fail", "SAMPLE-DOSE")
    assert verdict(rig, "CHECK-BLANK-LEVEL")["verdict"] == "pass", "blank glass is no sample"


@EVERY_WORK
def test_light_is_entered_while_the_work_goes_on(
    rig: SmallInstrument, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("device.imaging.light_log.ENTER_S", 0.0)
    rig.idle()
    seen_s: list[float] = []
    in_the_middle(rig, work, lambda: seen_s.append(entered_s(rig)))
    work(rig)
    rig.wait_until(lambda status: bool(seen_s))
    assert seen_s[0] > 0.0


@EVERY_WORK
def test_a_failure_in_the_middle_of_an_exposure_loses_no_light(
    rig: SmallInstrument, work: Work
) -> None:
    failed = Signal()

    def fail() -> None:
        failed.set()
        raise ZeroDivisionError("a bug")

    rig.idle()
    in_the_middle(rig, work, fail)
    work(rig)
    assert failed.wait(TIMEOUT_S)
    rig.wait_for(State.IDLE, State.FAULT)
    assert rig.light_is_off()
    assert 0.0 < entered_s(rig) == pytest.approx(rig.hardware.light.on_time_s)


# -- the rig by itself -----------------------------------------------------------------------------


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[SmallInstrument]:
    """Open devices that no instrument uses."""
    made = SmallInstrument(tmp_path, physics=False)
    made.hardware.open()
    yield made
    made.instrument.close()
    made.records.close()


def imaging_rig(made: SmallInstrument, settings: Settings | None = None) -> ImagingRig:
    user = RigUser(
        sample_id="S-1",
        cancel=Signal(),
        checkpoint=lambda: None,
        lid_opened=end_at_open_lid("test"),
        waiting=lambda: None,
        note=lambda kind, data: None,
    )
    return ImagingRig(settings or made.settings, made.hardware, made.records, ManualClock(), user)


def test_set_up_and_tear_down_set_the_camera_as_the_settings_say(opened: SmallInstrument) -> None:
    settings = changed_settings(opened.settings, camera__exposure_ms=20.0)
    with imaging_rig(opened, settings) as rig:
        assert opened.camera.exposure_us == 20_000.0
        opened.camera.set_exposure(90_000.0)
        rig.imager.take(Field(0, 0, 0.0, 0.0))
    assert opened.camera.exposure_us == 20_000.0


def test_an_open_lid_ends_the_work_before_any_light(opened: SmallInstrument) -> None:
    opened.world.set_lid(closed=False)
    with imaging_rig(opened) as rig, pytest.raises(InterlockError, match="the test has ended"):
        rig.imager.take(Field(0, 0, 0.0, 0.0))
    assert opened.hardware.light.on_time_s == 0.0


def test_tear_down_does_everything_in_order_whatever_fails(
    opened: SmallInstrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def failing(name: str, error: Exception) -> Callable[..., None]:
        def fail(*values: object) -> None:
            done.append(name)
            raise error

        return fail

    with imaging_rig(opened) as rig:
        rig.imager.take(Field(0, 0, 0.0, 0.0))
        unplugged = StageError("STAGE-SILENT")
        for owner, method, error in (
            (opened.hardware.light, "off", ZeroDivisionError("a bug")),
            (opened.camera, "set_gain", unplugged),
            (opened.records.light, "add", ZeroDivisionError("a bug")),
            (rig.mover, "close", unplugged),
            (opened.hardware.stage, "set_approach", unplugged),
        ):
            monkeypatch.setattr(owner, method, failing(method, error))
    assert done == ["off", "set_gain", "add", "close", "set_approach"]


class EndlessStage:
    """A stage that moves until it is stopped."""

    homed = True

    def __init__(self) -> None:
        self.moving = Signal()
        self.stopped = Signal()

    def move_to(self, *target: object) -> Position:
        self.moving.set()
        assert self.stopped.wait(TIMEOUT_S), "nobody stopped it"
        return Position(0.0, 0.0, 0.0)

    def stop(self) -> None:
        self.stopped.set()


def test_a_move_that_nobody_waits_for_is_stopped_at_the_end(opened: SmallInstrument) -> None:
    stage: Any = EndlessStage()
    mover = Mover(stage, ManualClock(), opened.settings.scan, Signal(), lambda: None)
    mover.go_ahead(1.0, 2.0, 3.0)
    assert stage.moving.wait(TIMEOUT_S)
    mover.close()
    assert stage.stopped.is_set()
