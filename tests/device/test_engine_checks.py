"""The engine has itself checked, on a person's word, and keeps what came of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from small_instrument import TIMEOUT_S, SmallInstrument, small_instrument, small_settings

from device.checks.report import Level
from device.engine.state.states import State
from device.errors import RequestRefusedError, StartRefusedError
from device.quality.control import ANALYTES
from device.records.record_types import CheckRecord
from device.results.cell import FIVE_TYPES
from device.settings.file import changed_settings
from hal.errors import InputError
from hal.sim.grbl.motion import Mechanics


def checks(rig: SmallInstrument) -> list[CheckRecord]:
    with rig.records.reader() as reader:
        return reader.checks()


def verdicts(check: CheckRecord) -> dict[str, str]:
    return {result["id"]: result["verdict"] for result in check.report["results"]}


def asked_for(rig: SmallInstrument, level: Level = Level.DAILY) -> CheckRecord:
    """Have the instrument checked; return what came of it."""
    rig.idle()
    before = len(checks(rig))
    rig.instrument.check(level, "AB")
    rig.wait_until(lambda status: len(checks(rig)) > before and status.checking is None)
    return checks(rig)[-1]


def test_start_up_is_a_check_and_is_kept(rig: SmallInstrument) -> None:
    rig.idle()
    (start,) = checks(rig)
    assert (start.level, start.verdict, start.operator) == ("startup", "pass", "")
    assert start.versions["scout"] == "5c07"
    assert set(verdicts(start).values()) == {"pass"}


def test_a_check_homes_uses_light_and_ends_idle_with_its_report(rig: SmallInstrument) -> None:
    # Where a frame is 40 um wide, the micrometre by which this stage stops short counts too much.
    rig.world.emulator.wear(replace(Mechanics(), repeatability_um=(0.1, 0.1, 0.1)))  # type: ignore[attr-defined]
    check = asked_for(rig)
    status = rig.idle()
    assert status.last_check_id == check.id
    assert (check.level, check.operator) == ("daily", "AB")
    found = verdicts(check)
    # The camera of this instrument makes no noise and its analysis looks at nothing.
    assert {name for name, verdict in found.items() if verdict == "fail"} == {
        "CHECK-KNOWN-TILE",
        "CHECK-CAMERA-NOISE",
    }
    assert found["CHECK-STAGE-HOME"] == found["CHECK-LIGHT-PULSE"] == "pass"
    assert rig.light_is_off()
    rig.start()
    assert rig.wait_for(State.COMPLETE).error is None


def test_the_status_tells_how_far_a_check_is(rig: SmallInstrument) -> None:
    rig.idle()
    seen: list[Any] = []
    rig.camera.at[rig.camera.exposures + 8] = lambda: seen.append(rig.instrument.status())
    asked_for(rig)
    (status,) = seen
    assert status.state == State.CHECKING
    assert status.checking.operator == "AB"
    planned = [check_id for check_id, _ in status.checking.planned]
    done = [result.id for result in status.checking.results]
    assert [*done, status.checking.now] == planned[: len(done) + 1]
    assert "CHECK-STAGE-HOME" in done


def test_a_check_can_be_ended_and_the_instrument_is_ready_again(rig: SmallInstrument) -> None:
    rig.idle()
    rig.camera.at[rig.camera.exposures + 8] = rig.instrument.abort
    check = asked_for(rig)
    assert check.report["cancelled"]
    assert "skipped" in verdicts(check).values()
    rig.idle()
    assert rig.light_is_off()
    rig.start()
    rig.wait_for(State.COMPLETE)


def test_a_device_that_fails_in_a_check_ends_in_fault_and_is_opened_again(
    rig: SmallInstrument,
) -> None:
    rig.idle()
    rig.world.emulator.fail_next_homing()
    rig.instrument.check(Level.DAILY)
    status = rig.wait_for(State.FAULT)
    assert status.error is not None
    assert status.error["code"].startswith("STAGE")
    assert verdicts(checks(rig)[-1])["CHECK-STAGE-HOME"] == "fail"
    rig.instrument.acknowledge()
    rig.idle()


def test_shutting_down_ends_a_check(tmp_path: Path) -> None:
    with small_instrument(tmp_path) as rig:
        rig.idle()
        closing = Thread(target=rig.instrument.close)
        rig.camera.at[rig.camera.exposures + 8] = closing.start
        rig.instrument.check(Level.FULL)
        rig.wait_for(State.SHUTTING_DOWN)
        closing.join(TIMEOUT_S)
        assert not closing.is_alive()
        assert rig.light_is_off()


def test_no_check_during_a_run(rig: SmallInstrument) -> None:
    rig.script.let.clear()
    rig.start()
    with pytest.raises(RequestRefusedError):
        rig.instrument.check(Level.DAILY)
    rig.script.let.set()
    rig.wait_for(State.COMPLETE)


def test_by_default_a_missing_check_is_told_and_start_is_possible(rig: SmallInstrument) -> None:
    status = rig.idle()
    assert [remark.name for remark in status.remarks] == ["daily_check", "calibration_missing"]
    rig.start()
    rig.wait_for(State.COMPLETE)


def test_a_missing_check_blocks_where_the_settings_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def strict(*words: Any, **tables: Any) -> Any:
        return changed_settings(small_settings(*words, **tables), quality__daily_check="block")

    monkeypatch.setattr("small_instrument.small_settings", strict)
    with small_instrument(tmp_path) as rig:
        rig.idle()
        with pytest.raises(StartRefusedError) as caught:
            rig.instrument.start("S-1")
        assert caught.value.error_code == "START-REFUSED"
        assert "missing: daily check" in caught.value.cause
        assert "daily check" in caught.value.remedy


def test_a_control_run_gives_a_point_and_is_marked_in_its_result(rig: SmallInstrument) -> None:
    lot_id = rig.records.quality.add_lot("Q7", "normal", None)
    rig.idle()
    run_id = rig.instrument.start("CONTROL", lot_id)
    rig.wait_for(State.COMPLETE)
    assert rig.result(run_id)["control_lot"] == lot_id
    assert rig.run(run_id).control_lot == lot_id
    with rig.records.reader() as reader:
        (point,) = reader.control_points(lot_id)
    assert point.run_id == run_id
    # Too few cells for percentages: a control without numbers.
    assert point.verdict == "rejected"
    assert [remark.name for remark in rig.instrument.status().remarks] == [
        "daily_check",
        "control_accepted",
        "calibration_missing",
    ]


def test_a_control_run_with_enough_cells_gives_all_its_values(tmp_path: Path) -> None:
    with small_instrument(tmp_path, width_um=400.0, height_um=200.0, target_cells=60) as rig:
        lot_id = rig.records.quality.add_lot("Q7", "normal", None)
        rig.idle()
        rig.instrument.start("CONTROL", lot_id)
        rig.wait_for(State.COMPLETE)
        with rig.records.reader() as reader:
            (point,) = reader.control_points(lot_id)
    assert point.verdict == "establishing"
    assert set(point.values) == set(ANALYTES)
    assert sum(point.values[kind.value] for kind in FIVE_TYPES) == pytest.approx(100.0)
    assert point.values["red_cells"] == pytest.approx(7 * point.values["platelets"])


def test_a_sample_of_a_person_gives_no_point(rig: SmallInstrument) -> None:
    lot_id = rig.records.quality.add_lot("Q7", "normal", None)
    run_id = rig.start()
    rig.wait_for(State.COMPLETE)
    assert rig.result(run_id)["control_lot"] is None
    with rig.records.reader() as reader:
        assert reader.control_points(lot_id) == []


def test_a_control_of_an_unknown_or_closed_lot_does_not_start(rig: SmallInstrument) -> None:
    rig.idle()
    lot_id = rig.records.quality.add_lot("Q7", "normal", None)
    rig.records.quality.close_lot(lot_id)
    for lot in (lot_id, 99):
        with pytest.raises(InputError, match="no lot"):
            rig.instrument.start("CONTROL", lot)
