"""Another program holds the database, as a backup or a database browser does: nothing fails."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event as Signal
from threading import Timer
from typing import cast

import pytest
from small_instrument import SmallInstrument, small_instrument
from test_records import a_cell, a_tile, open_records

from device.engine.state.states import State
from device.errors import RecordsError, RequestRefusedError
from device.imaging import moving
from device.imaging.moving import Mover
from device.records.light import LightEntry
from device.records.record_types import RunState
from device.records.records import Records, RunEnd
from device.settings.sections import ScanConfig
from device.status import Status, StopReason
from hal.clock import ManualClock
from hal.interfaces.stage import Position, Stage

SHORT_S = 0.2
"""Busy timeout of the records where a test outlasts it."""

WRITES: dict[str, Callable[[Records, int], object]] = {
    "begin_run": lambda records, run_id: records.begin_run("S-2", {}, {}),
    "set_plan": lambda records, run_id: records.set_plan(run_id, 3),
    "add_tile": lambda records, run_id: records.add_tile(run_id, a_tile(), [a_cell()]),
    "add_light": lambda records, run_id: records.light.add(LightEntry("led", "S", 1, 1.0, 1.0)),
    "judge_led": lambda records, run_id: records.light.judge("led", 1.0, sound=True),
    "add_event": lambda records, run_id: records.add_event(run_id, "led", {}),
    "finish_run": lambda records, run_id: records.finish_run(
        run_id, RunEnd(RunState.COMPLETE, StopReason.END_OF_AREA, {})
    ),
    "check_writable": lambda records, run_id: records.check_writable(),
    "add_check": lambda records, run_id: records.quality.add_check(
        "", {"level": "daily", "verdict": "pass"}, {}
    ),
    "add_lot": lambda records, run_id: records.quality.add_lot("L", "normal", None),
    "begin_calibration": lambda records, run_id: records.calibrations.begin("instrument", "", []),
}


class OtherProgram:
    """A second connection that takes the write lock and gives it back."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(
            path, timeout=5.0, isolation_level=None, check_same_thread=False
        )

    @property
    def free(self) -> bool:
        return not self._connection.in_transaction

    def lock(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def release(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def close(self) -> None:
        self.release()
        self._connection.close()


@contextmanager
def other_program(path: Path) -> Iterator[OtherProgram]:
    program = OtherProgram(path)
    try:
        yield program
    finally:
        program.close()


@contextmanager
def locked_for(path: Path, duration_s: float) -> Iterator[None]:
    with other_program(path) as program:
        program.lock()
        timer = Timer(duration_s, program.release)
        timer.start()
        try:
            yield
        finally:
            timer.join()


def waits(rig: SmallInstrument) -> None:
    """Wait until the run is paused because the records are locked."""
    status = rig.wait_until(lambda s: s.error is not None and s.state == State.PAUSED)
    assert status.error is not None
    assert status.error["code"] == "RECORDS-WAITING"
    assert status.activity == "The records are locked by another program; waiting."
    assert rig.light_is_off()


def lid_is_closed(status: Status) -> bool:
    return all(c.met for c in status.start_conditions if c.name == "lid_closed")


@contextmanager
def a_run_that_waits(folder: Path) -> Iterator[tuple[SmallInstrument, OtherProgram, int]]:
    """Give an instrument whose run is paused, the program that holds its records, and the run."""
    with (
        small_instrument(folder, busy_timeout_s=SHORT_S) as rig,
        other_program(rig.records.path) as program,
    ):
        run_id = rig.start()
        rig.wait_until(lambda status: status.tiles_analysed >= 3)
        program.lock()
        waits(rig)
        yield rig, program, run_id


@pytest.mark.parametrize("name", WRITES)
def test_every_write_waits_for_another_program(name: str, tmp_path: Path) -> None:
    records = open_records(tmp_path)
    run_id = records.begin_run("S-1", {}, {})
    with locked_for(records.path, 0.1):
        WRITES[name](records, run_id)
    records.close()


def test_a_write_lock_of_half_a_second_is_waited_for(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    run_id = records.begin_run("S-1", {}, {})
    with locked_for(records.path, 0.5):
        WRITES["finish_run"](records, run_id)
    with records.reader() as reader:
        run = reader.run(run_id)
    assert run is not None
    assert run.state is RunState.COMPLETE
    records.close()


def test_a_lock_beyond_the_busy_timeout_is_said_and_nothing_is_stored(tmp_path: Path) -> None:
    records = Records(tmp_path / "records.db", busy_timeout_s=SHORT_S)
    with other_program(records.path) as program:
        program.lock()
        with pytest.raises(RecordsError, match="another program") as caught:
            records.begin_run("S-1", {}, {})
        assert caught.value.error_code == "RECORDS-LOCKED"
        program.release()
        assert records.begin_run("S-2", {}, {}) == 1
    records.close()


def test_reading_does_not_wait_for_who_writes(tmp_path: Path) -> None:
    records = Records(tmp_path / "records.db", busy_timeout_s=0.0)
    with other_program(records.path) as program:
        program.lock()
        assert records.calibrations.newest_accepted("instrument") == {}
        assert records.unfinished_runs() == []
        assert records.problems() == []
    records.close()


def test_a_run_outlasts_a_locked_database_and_loses_no_tile(tmp_path: Path) -> None:
    with a_run_that_waits(tmp_path) as (rig, program, run_id):
        exposures = rig.camera.exposures
        taken = len(rig.script.tiles)
        assert rig.records.writer.is_locked()
        assert rig.camera.exposures == exposures
        assert len(rig.script.tiles) == taken
        program.release()
        status = rig.wait_for(State.COMPLETE, State.FAULT)
        assert status.error is None
        result = rig.result(run_id)
        with rig.records.reader() as reader:
            tiles = list(reader.every_tile(run_id))
            cells = list(reader.every_cell(run_id))
    assert result["reason"] == StopReason.ENOUGH_CELLS
    assert [tile.sequence for tile in tiles] == list(range(len(rig.script.tiles)))
    assert len(cells) == result["classified"] >= 20
    assert result["tiles"]["acquired"] == len(tiles)


@pytest.mark.parametrize(
    "exposure",
    [pytest.param(1, marks=pytest.mark.slow), 12, pytest.param(40, marks=pytest.mark.slow)],
)
def test_a_database_locked_at_any_time_of_a_run_only_delays_it(
    tmp_path: Path, exposure: int
) -> None:
    """From the background over the focus to the tiles."""
    with (
        small_instrument(tmp_path, busy_timeout_s=SHORT_S) as rig,
        other_program(rig.records.path) as program,
    ):
        rig.idle()
        rig.camera.at[rig.camera.exposures + exposure] = program.lock
        run_id = rig.start()
        waits(rig)
        program.release()
        status = rig.wait_for(State.COMPLETE, State.FAULT)
        assert status.error is None
        assert rig.result(run_id)["reason"] == StopReason.ENOUGH_CELLS


def test_an_abort_is_obeyed_while_the_run_waits_and_keeps_every_tile(tmp_path: Path) -> None:
    with a_run_that_waits(tmp_path) as (rig, program, run_id):
        rig.instrument.abort()
        rig.wait_for(State.ABORTING)
        status = rig.wait_until(lambda s: s.error is not None and s.state == State.ABORTING)
        assert status.error is not None
        assert status.error["code"] == "RECORDS-WAITING"
        program.release()
        status = rig.wait_for(State.COMPLETE, State.FAULT)
        assert status.error is None
        assert rig.run(run_id).state is RunState.ABORTED
        with rig.records.reader() as reader:
            tiles = list(reader.every_tile(run_id))
        assert len(tiles) == rig.result(run_id)["tiles"]["acquired"] == status.tiles_acquired


def test_the_program_ends_while_the_run_waits_and_the_journal_tells_of_the_run(
    tmp_path: Path,
) -> None:
    with a_run_that_waits(tmp_path) as (rig, _, run_id):
        rig.instrument.close()
        assert rig.instrument.status().state == State.SHUTTING_DOWN
        assert rig.light_is_off()
    with small_instrument(tmp_path) as rig:
        rig.idle()
        assert rig.run(run_id).state is RunState.INTERRUPTED
        assert rig.result(run_id)["tiles"]["analysed"] >= 3


@pytest.mark.slow
def test_resume_is_refused_while_the_run_waits(tmp_path: Path) -> None:
    with a_run_that_waits(tmp_path) as (rig, program, _):
        with pytest.raises(RequestRefusedError, match="until another program releases"):
            rig.instrument.resume()
        program.release()
        assert rig.wait_for(State.COMPLETE, State.FAULT).error is None


@pytest.mark.slow
def test_a_lid_opened_while_the_run_waits_still_asks_for_a_person(tmp_path: Path) -> None:
    with a_run_that_waits(tmp_path) as (rig, program, _):
        rig.world.set_lid(closed=False)
        program.release()
        rig.wait_until(lambda s: s.error is not None and s.error["code"] == "RUN-LID-OPENED")
        rig.world.set_lid(closed=True)
        rig.wait_until(lid_is_closed)
        rig.instrument.resume()
        assert rig.wait_for(State.COMPLETE, State.FAULT).error is None


def test_a_lid_opened_and_closed_while_the_run_waits_asks_for_a_person(tmp_path: Path) -> None:
    with a_run_that_waits(tmp_path) as (rig, program, run_id):
        rig.world.set_lid(closed=False)
        rig.wait_until(lambda now: not lid_is_closed(now))
        rig.world.set_lid(closed=True)
        rig.wait_until(lid_is_closed)
        exposures = rig.camera.exposures
        program.release()
        rig.wait_until(lambda s: s.error is not None and s.error["code"] == "RUN-LID-OPENED")
        assert rig.camera.exposures == exposures
        rig.instrument.resume()
        assert rig.wait_for(State.COMPLETE, State.FAULT).error is None
        assert "LID-OPENED" in {flag["code"] for flag in rig.result(run_id)["flags"]}


def test_a_lid_opened_and_closed_before_the_run_pauses_for_the_records_asks_for_a_person(
    tmp_path: Path,
) -> None:
    with (
        small_instrument(tmp_path, busy_timeout_s=100.0) as rig,
        other_program(rig.records.path) as program,
    ):
        rig.idle()
        rig.camera.at[rig.camera.exposures + 12] = program.lock
        rig.start()
        rig.wait_until(lambda _: not program.free)
        rig.world.set_lid(closed=False)
        rig.wait_until(lambda now: not lid_is_closed(now))
        rig.world.set_lid(closed=True)
        rig.wait_until(lid_is_closed)
        program.release()
        rig.wait_until(lambda s: s.error is not None and s.error["code"] == "RUN-LID-OPENED")
        rig.instrument.resume()
        assert rig.wait_for(State.COMPLETE, State.FAULT).error is None


@pytest.mark.slow
def test_the_stage_has_arrived_before_a_waiting_run_stops_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived: list[str] = []
    come_to_rest = Mover.come_to_rest

    def watched(mover: Mover) -> None:
        come_to_rest(mover)
        arrived.append(rig.instrument.status().state)

    monkeypatch.setattr(Mover, "come_to_rest", watched)
    with (
        small_instrument(tmp_path, busy_timeout_s=SHORT_S) as rig,
        other_program(rig.records.path) as program,
    ):
        rig.start()
        rig.wait_until(lambda status: status.tiles_analysed >= 3)
        program.lock()
        waits(rig)
        program.release()
        assert rig.wait_for(State.COMPLETE, State.FAULT).error is None
    assert set(arrived) == {State.SCANNING}


class SlowStage:
    """Arrives when it is let."""

    def __init__(self) -> None:
        self.let = Signal()

    def move_to(
        self, x_um: float, y_um: float, z_um: float, cancel: Signal | None = None
    ) -> Position:
        assert self.let.wait(10.0)
        return Position(x_um, y_um, z_um)


def test_coming_to_rest_waits_for_the_move_ahead_and_keeps_its_arrival(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(moving, "HEARTBEAT_S", 0.01)
    stage = SlowStage()
    mover = Mover(cast(Stage, stage), ManualClock(), ScanConfig(), Signal(), stage.let.set)
    mover.go_ahead(1.0, 2.0, 3.0)
    mover.come_to_rest()
    assert stage.let.is_set()
    assert mover.to(1.0, 2.0, 3.0) == Position(1.0, 2.0, 3.0)
    mover.close()
