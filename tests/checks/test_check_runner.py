"""Checks can be chosen, cancelled and bounded, and leave the instrument as it should be."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from check_rig import CheckRig, found

from device.checks.catalogue import CATALOGUE
from device.checks.context import CheckContext
from device.checks.report import (
    Check,
    CheckReport,
    CheckSkipped,
    Level,
    Limit,
    Reading,
    Verdict,
)
from device.checks.runner import choose, run_checks
from device.imaging.rig import sample_of_the_day
from device.records.light import LightEntry
from hal.errors import LightError, StageError

IDS = [check.id for check in CATALOGUE]


def check(
    check_id: str,
    measure: Callable[[CheckContext], Reading] = lambda context: Reading(1.0),
    **changes: Any,
) -> Check:
    made = Check(
        check_id,
        check_id.title(),
        "How.",
        Level.STARTUP,
        lambda settings: Limit("V", low=0.0, high=2.0),
        measure,
        "Mend it.",
    )
    return replace(made, **changes)


def run(rig: CheckRig, *checks: Check) -> CheckReport:
    context = CheckContext(
        rig.effective,
        rig.hardware,
        rig.records,
        rig.clock,
        load_models=rig.load_models,
        cancel=rig.cancel,
    )
    return run_checks(checks, Level.STARTUP, context)


def test_ids_are_stable_words_and_every_need_comes_before() -> None:
    assert len(set(IDS)) == len(IDS)
    for place, one in enumerate(CATALOGUE):
        assert one.id.startswith("CHECK-")
        assert set(one.needs) <= set(IDS[:place]), one.id
        assert all((one.title, one.what, one.remedy))
        assert one.remedy.endswith(".")


def test_levels_include_each_other() -> None:
    sizes = [len(choose(CATALOGUE, level)) for level in Level]
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == len(CATALOGUE)


def test_a_named_check_brings_what_it_needs() -> None:
    chosen = [one.id for one in choose(CATALOGUE, Level.STARTUP, ["CHECK-CAMERA-DARK"])]
    assert chosen == [
        *("CHECK-LIGHT-SUPERVISOR", "CHECK-LIGHT-LINE", "CHECK-PANEL", "CHECK-LID"),
        *("CHECK-CAMERA-FRAMES", "CHECK-CAMERA-DARK"),
    ]


def test_start_up_gives_no_light_and_moves_nothing(rig: CheckRig) -> None:
    before_um = rig.world.emulator.true_position_um()
    report = rig.run(Level.STARTUP)
    assert report.verdict is Verdict.PASS
    assert rig.world.gpio.edges(rig.settings.light.pin) == []
    assert rig.world.emulator.true_position_um() == before_um


def test_a_light_that_is_on_without_reason_is_switched_off_and_told(rig: CheckRig) -> None:
    rig.hardware.panel.open()
    rig.hardware.light.open()
    pulse = rig.hardware.light.pulse(150.0)
    # Just before: its deadline would end it, too.
    rig.meanwhile("CHECK-LIGHT-SUPERVISOR", lambda rig: pulse.__enter__())
    result = found(rig.run(Level.STARTUP), "CHECK-LIGHT-LINE")
    assert rig.world.gpio.level(rig.settings.light.pin) == 0
    with pytest.raises(LightError):
        pulse.__exit__(None, None, None)
    assert (result.verdict, result.code) == (Verdict.FAIL, "CHECK-LIGHT-LINE")
    assert "was on without a pulse" in result.cause


@pytest.mark.parametrize(
    ("value", "miss", "verdict"),
    [
        (2.0, Verdict.FAIL, Verdict.PASS),
        (2.1, Verdict.FAIL, Verdict.FAIL),
        (-0.1, Verdict.WARN, Verdict.WARN),
        (float("nan"), Verdict.FAIL, Verdict.FAIL),
        (float("inf"), Verdict.FAIL, Verdict.FAIL),
    ],
)
def test_the_value_is_held_against_the_limit(
    rig: CheckRig, value: float, miss: Verdict, verdict: Verdict
) -> None:
    report = run(rig, check("CHECK-A", lambda context: Reading(value), miss=miss))
    result = report.results[0]
    assert result.verdict is verdict
    assert report.verdict is verdict
    assert result.limit == "0 to 2 V"
    assert bool(result.remedy) is (verdict is not Verdict.PASS)
    assert bool(report.failures) is (verdict is Verdict.FAIL)
    json.dumps(report.as_dict(), allow_nan=False)


def test_a_part_that_fails_gives_its_own_code_and_skips_what_needs_it(rig: CheckRig) -> None:
    def fail(context: CheckContext) -> Reading:
        raise StageError("STAGE-SILENT")

    report = run(
        rig,
        check("CHECK-A", fail),
        check("CHECK-B", needs=("CHECK-A",)),
        check("CHECK-C", needs=("CHECK-B",)),
        check("CHECK-D"),
    )
    verdicts = [result.verdict for result in report.results]
    assert verdicts == [Verdict.FAIL, Verdict.SKIPPED, Verdict.SKIPPED, Verdict.PASS]
    assert report.failures["CHECK-A"].error_code == report.results[0].code == "STAGE-SILENT"
    assert report.results[0].remedy == StageError("STAGE-SILENT").remedy
    assert report.results[1].cause == "It needs: Check-A."


def test_a_warning_does_not_skip_what_needs_it(rig: CheckRig) -> None:
    report = run(
        rig,
        check("CHECK-A", lambda context: Reading(9.0), miss=Verdict.WARN),
        check("CHECK-B", needs=("CHECK-A",)),
    )
    assert report.results[1].verdict is Verdict.PASS
    assert report.verdict is Verdict.WARN


def test_a_bug_in_a_check_fails_it_and_the_others_go_on(rig: CheckRig) -> None:
    def bug(context: CheckContext) -> Reading:
        raise ZeroDivisionError("oops")

    report = run(rig, check("CHECK-A", bug), check("CHECK-B"))
    assert report.results[0].code == "INTERNAL"
    assert report.results[1].verdict is Verdict.PASS


def test_nothing_to_check_is_skipped_with_its_reason(rig: CheckRig) -> None:
    def nothing(context: CheckContext) -> Reading:
        raise CheckSkipped("No smear.")

    report = run(rig, check("CHECK-A", nothing))
    assert report.results[0].cause == "No smear."
    assert report.verdict is Verdict.SKIPPED, "what nobody looked at has not passed"


def test_checks_in_the_dark_wait_for_the_lid(rig: CheckRig) -> None:
    rig.hardware.panel.open()
    rig.world.set_lid(closed=False)
    report = run(rig, check("CHECK-A", dark=True))
    assert (report.results[0].verdict, report.results[0].cause) == (
        Verdict.SKIPPED,
        "The lid is open.",
    )


def test_a_check_that_takes_too_long_is_given_up_at_its_next_step(rig: CheckRig) -> None:
    def endless(context: CheckContext) -> Reading:
        while True:
            context.go_on()

    report = run(rig, check("CHECK-A", endless, bound_s=0.01), check("CHECK-B"))
    assert [result.code for result in report.results] == ["CHECK-TIMEOUT", ""]


def test_cancelling_ends_the_present_check_and_skips_the_rest(rig: CheckRig) -> None:
    def long(context: CheckContext) -> Reading:
        rig.cancel.set()
        context.go_on()
        raise AssertionError("went on")

    report = run(rig, check("CHECK-A"), check("CHECK-B", long), check("CHECK-C"))
    verdicts = [result.verdict for result in report.results]
    assert verdicts == [Verdict.PASS, Verdict.SKIPPED, Verdict.SKIPPED]
    assert report.cancelled
    assert report.verdict is Verdict.SKIPPED


@pytest.mark.slow
@pytest.mark.parametrize(
    "at", ["CHECK-STAGE-HOME", "CHECK-BLANK-EVENNESS", "CHECK-FOCUS", "CHECK-STAGE-RETURN"]
)
def test_cancelled_anywhere_it_leaves_light_off_camera_restored_and_light_booked(
    rig: CheckRig, at: str
) -> None:
    rig.meanwhile(at, lambda rig: rig.cancel.set())
    report = rig.run(Level.FULL)
    assert report.cancelled
    assert found(report, at).verdict is Verdict.SKIPPED
    assert not rig.hardware.light.is_on
    assert rig.world.gpio.level(rig.settings.light.pin) == 0
    assert booked_s(rig) == pytest.approx(rig.hardware.light.on_time_s)
    rig.hardware.camera.trigger()
    assert rig.hardware.camera.read(2000.0).exposure_us == 50_000.0


@pytest.mark.slow
def test_a_lid_opened_in_the_middle_ends_the_light_and_the_checks_that_need_it(
    rig: CheckRig,
) -> None:
    rig.meanwhile("CHECK-CAMERA-LINEAR", lambda rig: rig.world.set_lid(closed=False))
    report = rig.run(Level.DAILY)
    after = report.results[IDS.index("CHECK-CAMERA-LINEAR") :]
    assert {result.verdict for result in after} == {Verdict.SKIPPED}
    assert not rig.hardware.light.is_on


@pytest.mark.slow
def test_all_light_is_entered_for_the_led_and_for_the_slide(rig: CheckRig) -> None:
    rig.run(Level.FULL)
    assert booked_s(rig) == pytest.approx(rig.hardware.light.on_time_s)
    with rig.records.reader() as reader:
        assert reader.sample_dose_j_per_cm2(sample_of_the_day("check", rig.records)) > 0.0


def test_the_checks_of_former_days_do_not_use_up_the_dose_of_the_slide_of_today(
    rig: CheckRig,
) -> None:
    limit_j_per_cm2 = rig.settings.scan.max_sample_j_per_cm2
    sample_id = rig.context().rig.user.sample_id
    rig.records.light.add(LightEntry("1", sample_id, 1, 0.1, limit_j_per_cm2))
    assert rig.context().rig.ledger.sample_j_per_cm2 == limit_j_per_cm2
    rig.now += timedelta(days=1)
    assert rig.context().rig.ledger.sample_j_per_cm2 == 0.0


@pytest.mark.slow
def test_without_a_smear_its_checks_are_skipped_and_the_others_pass(rig: CheckRig) -> None:
    class Glass:
        def __getattr__(self, name: str) -> Any:
            return getattr(rig.world.microscope, name)

        def render(self, x_um: float, y_um: float, z_um: float, **light: Any) -> Any:
            blank = rig.settings.scan
            return rig.world.microscope.render(blank.blank_x_um, blank.blank_y_um, z_um, **light)

    rig.world.camera.look_at(Glass())
    report = rig.run(Level.DAILY)
    assert report.verdict is Verdict.PASS
    assert "no smear" in found(report, "CHECK-FOCUS").cause
    assert found(report, "CHECK-STAGE-SCALE").verdict is Verdict.SKIPPED
    assert found(report, "CHECK-BLANK-CLEAN").verdict is Verdict.PASS


def booked_s(rig: CheckRig) -> float:
    return rig.records.light.judge("1", 1.0, sound=False).light_s
