"""Whole runs: what is asked for, what goes wrong, and where the instrument ends each time."""

from __future__ import annotations

from pathlib import Path
from threading import Event as Signal

import pytest
from small_instrument import SmallInstrument, hold_analysis_at_first_tile, small_instrument

from device.engine.state.states import State
from device.errors import RequestRefusedError
from device.records.record_types import RunState, TileState
from device.status import StopReason


def test_a_run_counts_to_its_target_and_stores_everything(rig: SmallInstrument) -> None:
    run_id = rig.start("S-7")
    status = rig.wait_for(State.COMPLETE, State.FAULT)
    assert status.error is None
    run, result = rig.run(run_id), rig.result(run_id)
    assert (run.state, run.reason) == (RunState.COMPLETE, StopReason.ENOUGH_CELLS)
    assert (run.sample_id, run.tiles_planned) == ("S-7", status.tiles_planned)
    assert run.settings["scan"] == rig.settings.model_dump(mode="json")["scan"]
    assert "lan_token" not in run.settings["web"]
    assert run.versions["scout"] == "5c07"
    assert run.duration_s is not None
    assert run.duration_s > 0
    with rig.records.reader() as reader:
        tiles, cells = list(reader.every_tile(run_id)), list(reader.every_cell(run_id))
        kinds = {event.kind for event in reader.events(run_id)}
    assert [tile.sequence for tile in tiles] == list(range(len(tiles)))
    assert len(cells) == result["classified"] == status.classified >= 20
    assert result["tiles"]["acquired"] == result["tiles"]["analysed"] == len(tiles)
    assert 0 < result["tiles"]["seen_fraction"] < 1
    assert result["dose"]["exposures"] > len(tiles)
    assert result["dose"]["light_s"] > 0
    assert {"background", "focus_map"} <= kinds
    assert rig.light_is_off()


def test_the_end_of_the_area_ends_a_run_and_is_said(tmp_path: Path) -> None:
    with small_instrument(tmp_path, target_cells=500, width_um=100.0, height_um=100.0) as rig:
        run_id = rig.start()
        status = rig.wait_for(State.COMPLETE)
        result = rig.result(run_id)
        assert result["reason"] == StopReason.END_OF_AREA
        assert result["tiles"]["seen_fraction"] == 1.0
        assert status.tiles_analysed == status.tiles_planned


@pytest.mark.slow
def test_an_area_that_cannot_hold_enough_cells_is_refused_with_what_was_counted(
    tmp_path: Path,
) -> None:
    with small_instrument(tmp_path, width_um=300.0, height_um=200.0) as rig:
        rig.script.finds_cells = False
        run_id = rig.start()
        rig.wait_for(State.COMPLETE)
        result = rig.result(run_id)
        assert (result["state"], result["reason"]) == (RunState.COMPLETE, StopReason.REFUSED)
        assert result["refusal"]["code"] == "SAMPLE-TOO-FEW-CELLS"
        assert 100 <= result["tiles"]["analysed"] < result["tiles"]["planned"]


def test_a_background_that_is_not_blank_is_refused(tmp_path: Path) -> None:
    with small_instrument(tmp_path, blank_x_um=37_000.0) as rig:
        run_id = rig.start()
        rig.wait_for(State.COMPLETE)
        result = rig.result(run_id)
        assert (result["reason"], result["refusal"]["code"]) == ("refused", "SAMPLE-NOT-BLANK")


@pytest.mark.parametrize(("gain", "exposure_ms"), [(0.4, 85.0), (1.8, 30.0)])
def test_the_exposure_is_set_to_suit_the_lamp(
    rig: SmallInstrument, gain: float, exposure_ms: float
) -> None:
    rig.scene.gain = gain
    run_id = rig.start()
    rig.wait_for(State.COMPLETE)
    with rig.records.reader() as reader:
        (note,) = [event.data for event in reader.events(run_id) if event.kind == "background"]
    assert 0.5 <= note["level"] <= 0.85
    assert note["exposure_ms"] == pytest.approx(exposure_ms, rel=0.35)


def test_a_lamp_without_light_refuses_the_sample(rig: SmallInstrument) -> None:
    rig.scene.gain = 0.01
    run_id = rig.start()
    rig.wait_for(State.COMPLETE)
    assert rig.result(run_id)["refusal"]["code"] == "SAMPLE-EXPOSURE"


def test_a_slide_without_a_smear_is_refused_for_want_of_focus(tmp_path: Path) -> None:
    with small_instrument(tmp_path, left_um=62_000.0, focus_range_um=8.0) as rig:
        run_id = rig.start()
        rig.wait_for(State.COMPLETE)
        result = rig.result(run_id)
        assert (result["reason"], result["refusal"]["code"]) == ("refused", "SAMPLE-NO-FOCUS")
        assert result["classified"] == 0
        assert rig.run(run_id).error == result["refusal"]


def test_acknowledging_a_result_makes_ready_for_the_next_sample(rig: SmallInstrument) -> None:
    first = rig.start()
    rig.wait_for(State.COMPLETE)
    rig.instrument.acknowledge()
    second = rig.start("S-2")
    assert second == first + 1
    rig.wait_for(State.COMPLETE)
    assert rig.result(second)["sample_id"] == "S-2"


def test_aborting_while_preparing_ends_with_an_empty_aborted_result(rig: SmallInstrument) -> None:
    reached = Signal()
    rig.camera.at[6] = reached.set
    run_id = rig.start()
    assert reached.wait(30.0)
    rig.instrument.abort()
    rig.wait_for(State.COMPLETE)
    result = rig.result(run_id)
    assert (result["state"], result["reason"]) == (RunState.ABORTED, StopReason.ABORTED)
    assert result["classified"] == 0
    assert rig.light_is_off()


def test_aborting_while_homing_ends_the_run_and_the_next_one_homes_again(
    rig: SmallInstrument,
) -> None:
    rig.idle()
    run_id = rig.instrument.start("S-1")
    rig.wait_for(State.PREPARING, State.COMPLETE)
    rig.instrument.abort()
    rig.wait_for(State.COMPLETE)
    assert rig.run(run_id).state is RunState.ABORTED
    rig.instrument.acknowledge()
    rig.start("S-2")
    assert rig.wait_for(State.COMPLETE).classified >= 20


def test_aborting_while_scanning_keeps_what_was_counted(rig: SmallInstrument) -> None:
    run_id = hold_analysis_at_first_tile(rig)
    rig.wait_until(lambda status: status.tiles_acquired >= 3)
    rig.instrument.abort()
    rig.wait_for(State.ABORTING)
    rig.script.let.set()
    rig.wait_for(State.COMPLETE)
    result = rig.result(run_id)
    assert result["reason"] == StopReason.ABORTED
    assert result["classified"] == result["tiles"]["analysed"] >= 3
    assert any(flag["code"] == "SCAN-ABORTED" for flag in result["flags"])


def test_aborting_while_paused_ends_the_run(rig: SmallInstrument) -> None:
    run_id = hold_analysis_at_first_tile(rig)
    rig.instrument.pause()
    rig.script.let.set()
    rig.wait_for(State.PAUSED)
    rig.instrument.abort()
    rig.wait_for(State.COMPLETE)
    assert rig.run(run_id).state is RunState.ABORTED


def test_a_pause_takes_effect_between_exposures_and_waits_for_the_analysis(
    rig: SmallInstrument,
) -> None:
    hold_analysis_at_first_tile(rig)
    rig.instrument.pause()
    rig.wait_for(State.PAUSING)
    rig.script.let.set()
    status = rig.wait_for(State.PAUSED)
    assert status.tiles_analysed == status.tiles_acquired
    assert rig.light_is_off()
    exposures = rig.camera.exposures
    rig.instrument.resume()
    status = rig.wait_for(State.COMPLETE)
    assert rig.camera.exposures > exposures
    assert status.classified >= 20


def test_opening_the_lid_ends_the_exposure_and_pauses_until_closed_and_resumed(
    rig: SmallInstrument,
) -> None:
    rig.camera.at[40] = lambda: rig.world.set_lid(closed=False)
    run_id = rig.start()
    status = rig.wait_for(State.PAUSED)
    assert rig.light_is_off()
    assert status.error is not None
    assert status.error["code"] == "RUN-LID-OPENED"
    with pytest.raises(RequestRefusedError, match="lid"):
        rig.instrument.resume()
    rig.world.set_lid(closed=True)
    status = rig.wait_until(
        lambda status: all(c.met for c in status.start_conditions if c.name == "lid_closed")
    )
    assert status.state == State.PAUSED
    rig.instrument.resume()
    status = rig.wait_for(State.COMPLETE)
    assert status.error is None
    result = rig.result(run_id)
    assert result["tiles"]["missing"] == 0
    assert result["classified"] >= 20
    with rig.records.reader() as reader:
        kinds = [event.kind for event in reader.events(run_id)]
    assert kinds.count("lid_opened") == 1
    levels = [flag["level"] for flag in result["flags"] if flag["code"] == "LID-OPENED"]
    assert levels == ["review"]
    assert result["flags"][-1]["level"] == "note"


def test_opening_the_lid_while_preparing_pauses_too(rig: SmallInstrument) -> None:
    rig.camera.at[8] = lambda: rig.world.set_lid(closed=False)
    rig.start()
    rig.wait_for(State.PAUSED)
    rig.world.set_lid(closed=True)
    rig.wait_until(
        lambda status: all(c.met for c in status.start_conditions if c.name == "lid_closed")
    )
    rig.instrument.resume()
    assert rig.wait_for(State.COMPLETE).classified >= 20


def test_lost_frames_are_taken_again(rig: SmallInstrument) -> None:
    rig.camera.at[35] = lambda: rig.sensor.inject(drop=2)
    run_id = rig.start()
    rig.wait_for(State.COMPLETE)
    result = rig.result(run_id)
    assert result["tiles"]["missing"] == 0
    assert result["classified"] >= 20


def test_a_tile_that_stays_lost_is_reported_as_missing(rig: SmallInstrument) -> None:
    run_id = hold_analysis_at_first_tile(rig)
    rig.sensor.inject(drop=rig.settings.scan.tile_retries + 1)
    rig.script.let.set()
    rig.wait_for(State.COMPLETE)
    result = rig.result(run_id)
    assert result["tiles"]["missing"] == 1
    assert any(flag["code"] == "TILES-MISSING" for flag in result["flags"])
    with rig.records.reader() as reader:
        (missing,) = [t for t in reader.every_tile(run_id) if t.state is TileState.MISSING]
    assert missing.error is not None
    assert missing.error["code"].startswith("CAMERA")
    assert missing.exposures == rig.settings.scan.tile_retries + 1


def test_a_camera_that_loses_every_frame_fails_the_run(rig: SmallInstrument) -> None:
    run_id = hold_analysis_at_first_tile(rig)
    rig.sensor.inject(drop=10_000)
    rig.script.let.set()
    status = rig.wait_for(State.FAULT)
    assert status.error is not None
    assert status.error["code"].startswith("CAMERA")
    assert rig.run(run_id).state is RunState.FAILED
    assert rig.light_is_off()


def test_an_unplugged_camera_is_a_fault_that_acknowledging_does_not_hide(
    rig: SmallInstrument,
) -> None:
    run_id = hold_analysis_at_first_tile(rig)
    rig.sensor.unplug()
    rig.script.let.set()
    status = rig.wait_for(State.FAULT)
    assert status.error is not None
    assert status.error["code"] == "CAMERA-UNPLUGGED"
    result = rig.result(run_id)
    assert (result["state"], result["error"]["code"]) == (RunState.FAILED, "CAMERA-UNPLUGGED")
    assert result["classified"] >= 1
    rig.instrument.acknowledge()
    again = rig.wait_until(lambda now: now.sequence > status.sequence and now.error is not None)
    assert rig.wait_for(State.FAULT).error == again.error == status.error


def test_a_stage_that_lost_its_place_is_a_fault_and_the_next_run_homes_again(
    rig: SmallInstrument,
) -> None:
    run_id = hold_analysis_at_first_tile(rig)
    rig.world.emulator.restart()
    rig.script.let.set()
    status = rig.wait_for(State.FAULT)
    assert status.error is not None
    assert status.error["code"].startswith("STAGE")
    assert not rig.hardware.stage.homed
    assert rig.run(run_id).state is RunState.FAILED
    rig.instrument.acknowledge()
    second = rig.start("S-2")
    assert rig.wait_for(State.COMPLETE, State.FAULT).state == State.COMPLETE
    assert rig.result(second)["classified"] >= 20


def test_a_stage_that_lost_its_place_during_a_pause_is_a_fault_that_says_so(
    rig: SmallInstrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = hold_analysis_at_first_tile(rig)
    rig.instrument.pause()
    rig.script.let.set()
    rig.wait_for(State.PAUSED)
    monkeypatch.setattr(type(rig.hardware.stage), "homed", property(lambda _: False))
    rig.instrument.resume()
    status = rig.wait_for(State.FAULT)
    assert status.error is not None
    assert status.error["code"] == "RUN-POSITION-LOST"
    assert rig.result(run_id)["error"] == status.error


def test_an_alarm_while_homing_is_a_fault_with_its_cause(rig: SmallInstrument) -> None:
    rig.world.emulator.fail_next_homing()
    rig.start()
    status = rig.wait_for(State.FAULT)
    assert status.error is not None
    assert status.error["code"].startswith("STAGE-ALARM")
    assert status.error["remedy"]
    assert rig.light_is_off()


def test_a_bug_in_the_analysis_is_a_fault_that_keeps_the_tiles_before_it(
    rig: SmallInstrument,
) -> None:
    rig.script.fails_at = 5
    run_id = rig.start()
    status = rig.wait_for(State.FAULT)
    assert status.error is not None
    assert status.error["code"] == "INTERNAL"
    assert "a bug in the analysis" in status.error["cause"]
    result = rig.result(run_id)
    assert result["tiles"]["analysed"] == result["classified"] == 5
    assert result["tiles"]["acquired"] > 5
    rig.script.fails_at = None
    rig.instrument.acknowledge()
    rig.idle()


def test_a_full_queue_waits_and_drops_nothing(rig: SmallInstrument) -> None:
    run_id = hold_analysis_at_first_tile(rig)
    held = rig.settings.scan.queue_tiles + rig.settings.analysis.workers
    rig.wait_until(lambda status: status.tiles_acquired == held)
    exposures = rig.camera.exposures
    # One more tile is taken and waits for its place in the queue; then nothing more.
    rig.wait_until(lambda status: rig.camera.exposures == exposures + 1 or exposures > held)
    assert not rig.script.let.is_set()
    assert rig.instrument.status().tiles_acquired == held
    rig.script.let.set()
    rig.wait_for(State.COMPLETE)
    result = rig.result(run_id)
    assert result["tiles"]["acquired"] == result["tiles"]["analysed"]


def test_a_disk_that_fails_is_a_fault_and_the_run_is_completed_from_its_journal_later(
    tmp_path: Path,
) -> None:
    with small_instrument(tmp_path) as rig:
        run_id = hold_analysis_at_first_tile(rig)
        rig.records.writer._db.execute("PRAGMA query_only = ON")
        rig.script.let.set()
        status = rig.wait_for(State.FAULT)
        assert status.error is not None
        assert status.error["code"] == "RECORDS-FAILED"
        assert rig.run(run_id).state is RunState.RUNNING
    with small_instrument(tmp_path) as rig:
        rig.idle()
        assert rig.run(run_id).state is RunState.INTERRUPTED
        assert rig.result(run_id)["error"]["code"] == "RUN-INTERRUPTED"


def test_closing_during_a_run_ends_it_as_aborted_with_the_light_off(tmp_path: Path) -> None:
    with small_instrument(tmp_path) as rig:
        run_id = hold_analysis_at_first_tile(rig)
        rig.script.let.set()
        rig.instrument.close()
        assert rig.run(run_id).state is RunState.ABORTED
        assert rig.instrument.status().state == State.SHUTTING_DOWN
        assert rig.light_is_off()
