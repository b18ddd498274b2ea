"""Control runs: their values, the targets of a lot, the verdict, and what they may keep from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest

from device.checks.report import CheckReport, CheckResult, Level, Verdict
from device.quality.control import (
    ESTABLISHING_RUNS,
    NO_RESULT,
    ControlVerdict,
    Target,
    control_values,
    enter_point,
    established,
    judge,
)
from device.quality.gate import QualityGate
from device.quality.westgard import Rule
from device.records.record_types import PointRecord, RunState, TileState
from device.records.records import Records, RunEnd, TileEntry
from device.settings.sections import QualityConfig
from device.status import StopReason

SHARES = {
    "neutrophil": 60.0,
    "eosinophil": 3.0,
    "basophil": 1.0,
    "lymphocyte": 30.0,
    "monocyte": 6.0,
}
TARGETS = {"neutrophil": {"mean": 60.0, "sd": 2.0}, "cell_od": {"mean": 0.12, "sd": 0.01}}
FAR = {**SHARES, "neutrophil": 68.0, "lymphocyte": 22.0}


class Clock:
    """The wall clock of the records."""

    def __init__(self) -> None:
        self.now = datetime(2026, 5, 4, 7, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def wall() -> Clock:
    return Clock()


@pytest.fixture
def records(tmp_path: Path, wall: Clock) -> Iterator[Records]:
    made = Records(tmp_path / "records.db", now=wall)
    yield made
    made.close()


def document(
    shares: Mapping[str, float | None] = SHARES, flags: tuple[str, ...] = ()
) -> dict[str, Any]:
    return {
        "differential": {name: {"percent": percent} for name, percent in shares.items()},
        "flags": [{"level": level} for level in flags],
        "tiles": {"area_mm2": 2.0},
        "red_cells": 10_000,
        "platelets": 500,
    }


def run_control(
    records: Records,
    lot_id: int,
    result: dict[str, Any] | None = None,
    state: RunState = RunState.COMPLETE,
    reason: StopReason = StopReason.ENOUGH_CELLS,
) -> PointRecord | None:
    """Store a control run of three tiles, one of them not usable, and enter it."""
    run_id = records.begin_run("CONTROL", {}, {}, lot_id)
    for column, (cell_od, usable) in enumerate([(0.12, True), (0.13, True), (9.0, False)]):
        entry = TileEntry(
            *(0, column, 0.0, 0.0, TileState.ANALYSED, usable, 1, 0.3),
            sequence=column,
            sharpness=0.3,
            cell_od=cell_od,
        )
        records.add_tile(run_id, entry)
    records.finish_run(run_id, RunEnd(state, reason, result or document()))
    return enter_point(records, run_id, lot_id)


def verdict(point: PointRecord | None) -> str:
    assert point is not None
    return point.verdict


def test_values_are_shares_densities_and_what_the_usable_tiles_show(records: Records) -> None:
    lot_id = records.quality.add_lot("Q", "normal", TARGETS)
    point = run_control(records, lot_id)
    assert point is not None
    assert point.values == {
        **SHARES,
        "red_cells": 5000.0,
        "platelets": 250.0,
        "cell_od": pytest.approx(0.125),
        "sharpness": 0.3,
    }


@pytest.mark.parametrize(
    "result", [document({**SHARES, "monocyte": None}), document(flags=("note", "invalid"))]
)
def test_no_numbers_no_values(result: dict[str, Any]) -> None:
    assert control_values(result, ()) == {}


def test_a_run_is_judged_with_those_before(records: Records) -> None:
    lot_id = records.quality.add_lot("Q", "normal", TARGETS)
    high = {**SHARES, "neutrophil": 65.0}
    assert verdict(run_control(records, lot_id)) == ControlVerdict.ACCEPTED
    assert verdict(run_control(records, lot_id, document(high))) == ControlVerdict.WARNING
    second = run_control(records, lot_id, document(high))
    assert verdict(second) == ControlVerdict.REJECTED
    assert second is not None
    assert second.rules == {"neutrophil": ("1-2s", "2-2s")}


def test_lots_do_not_mix(records: Records) -> None:
    one, two = (records.quality.add_lot(name, "normal", TARGETS) for name in ("A", "B"))
    high = document({**SHARES, "neutrophil": 65.0})
    assert verdict(run_control(records, one, high)) == ControlVerdict.WARNING
    assert verdict(run_control(records, two, high)) == ControlVerdict.WARNING


@pytest.mark.parametrize(
    ("state", "reason"),
    [(RunState.COMPLETE, StopReason.REFUSED), (RunState.FAILED, StopReason.FAILED)],
)
def test_a_control_without_numbers_is_rejected(
    records: Records, state: RunState, reason: StopReason
) -> None:
    lot_id = records.quality.add_lot("Q", "normal", None)
    nothing = document(dict.fromkeys(SHARES))
    point = run_control(records, lot_id, nothing, state, reason)
    assert verdict(point) == ControlVerdict.REJECTED
    assert point is not None
    assert point.rules == {NO_RESULT: (NO_RESULT,)}


def test_an_aborted_control_says_nothing(records: Records) -> None:
    lot_id = records.quality.add_lot("Q", "normal", TARGETS)
    assert run_control(records, lot_id, None, RunState.ABORTED, StopReason.ABORTED) is None
    with records.reader() as reader:
        assert list(reader.every_control_point(lot_id)) == []


def test_targets_are_established_from_the_first_runs_with_numbers(records: Records) -> None:
    lot_id = records.quality.add_lot("Q", "normal", None)
    run_control(records, lot_id, document(dict.fromkeys(SHARES)), reason=StopReason.REFUSED)
    neutrophils = [58.0 + number % 5 for number in range(ESTABLISHING_RUNS)]
    for number, percent in enumerate(neutrophils):
        with records.reader() as reader:
            lot = reader.control_lot(lot_id)
        assert lot is not None
        assert lot.targets is None, number
        point = run_control(records, lot_id, document({**SHARES, "neutrophil": percent}))
        assert verdict(point) == ControlVerdict.ESTABLISHING
    with records.reader() as reader:
        lot = reader.control_lot(lot_id)
    assert lot is not None
    assert lot.source == "established"
    assert lot.targets is not None
    assert lot.targets["neutrophil"] == {"mean": 60.0, "sd": pytest.approx(1.4510, abs=1e-4)}
    assert "lymphocyte" not in lot.targets, "what never varied has no standard deviation"
    assert verdict(run_control(records, lot_id, document(FAR))) == ControlVerdict.REJECTED


def test_established_needs_two_values() -> None:
    assert established([{"neutrophil": 60.0}]) == {}
    assert established([{"neutrophil": 59.0}, {"neutrophil": 61.0}, {}])["neutrophil"] == Target(
        60.0, pytest.approx(1.41421, abs=1e-5)
    )


def test_values_without_a_target_are_not_judged() -> None:
    outcome = judge({"neutrophil": Target(60.0, 2.0)}, [], {"neutrophil": 60.0, "monocyte": 99.0})
    assert outcome == (ControlVerdict.ACCEPTED, {})


def test_the_worst_value_decides() -> None:
    targets = {"neutrophil": Target(60.0, 2.0), "monocyte": Target(6.0, 1.0)}
    outcome = judge(targets, [], {"neutrophil": 65.0, "monocyte": 10.0})
    assert outcome == (
        ControlVerdict.REJECTED,
        {"neutrophil": (Rule.ONE_2S,), "monocyte": (Rule.ONE_2S, Rule.ONE_3S)},
    )


# -- what may keep from a start ------------------------------------------------------------------


def gate(
    records: Records,
    daily_check: Literal["off", "warn", "block"] = "off",
    rejected_control: Literal["warn", "block"] = "warn",
) -> QualityGate:
    config = QualityConfig(daily_check=daily_check, rejected_control=rejected_control)
    made = QualityGate(config, records)
    made.refresh()
    return made


def store_check(records: Records, outcome: Verdict, level: Level = Level.DAILY) -> None:
    result = CheckResult("CHECK-A", "A", "", outcome, "", None, None, "", 1.0, "", "", "", 1.0)
    records.quality.add_check("AB", CheckReport(level, (result,)).as_dict(), {})


@pytest.mark.parametrize(
    ("outcome", "level", "holds"),
    [
        (None, Level.DAILY, False),
        (Verdict.PASS, Level.STARTUP, False),
        (Verdict.PASS, Level.DAILY, True),
        (Verdict.WARN, Level.FULL, True),
        (Verdict.FAIL, Level.DAILY, False),
        (Verdict.SKIPPED, Level.DAILY, False),
    ],
)
def test_a_daily_check_holds_when_it_passed(
    records: Records, outcome: Verdict | None, level: Level, holds: bool
) -> None:
    if outcome is not None:
        store_check(records, outcome, level)
    (condition,) = gate(records, "block").blocking(control=False)
    assert (condition.name, condition.met) == ("daily_check", holds)
    assert bool(condition.explanation) is not holds
    assert gate(records, "block").remarks() == ()
    assert [remark.name for remark in gate(records, "warn").remarks()] == (
        [] if holds else ["daily_check"]
    )
    assert gate(records, "off").remarks() == gate(records, "off").blocking(control=False) == ()


@pytest.mark.parametrize(
    ("later", "holds"),
    [(timedelta(hours=23), True), (timedelta(hours=25), False), (-timedelta(hours=1), False)],
)
def test_a_daily_check_holds_for_a_day_and_not_when_the_clock_went_back(
    records: Records, wall: Clock, later: timedelta, holds: bool
) -> None:
    store_check(records, Verdict.PASS)
    watch = gate(records, "block")
    wall.now += later
    assert watch.blocking(control=False)[0].met is holds


def test_a_rejected_control_blocks_all_but_the_control_that_may_lift_it(records: Records) -> None:
    lot_id = records.quality.add_lot("Q7", "normal", TARGETS)
    run_control(records, lot_id, document(FAR))
    watch = gate(records, rejected_control="block")
    (condition,) = watch.blocking(control=False)
    assert not condition.met
    assert "Q7" in condition.explanation
    assert watch.blocking(control=True) == ()
    assert [remark.name for remark in gate(records).remarks()] == ["control_accepted"]
    run_control(records, lot_id)
    watch.refresh()
    assert watch.blocking(control=False)[0].met


def test_a_closed_lot_no_longer_blocks(records: Records) -> None:
    lot_id = records.quality.add_lot("Q7", "normal", TARGETS)
    run_control(records, lot_id, document(FAR))
    records.quality.close_lot(lot_id)
    assert gate(records, rejected_control="block").blocking(control=False)[0].met
