"""An instrument knows that it is not new: a lost database is no first start."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from small_instrument import small_settings
from test_records import a_cell, a_tile
from test_tile_pictures import a_picture

from device.assembly import DATABASE_NAME, assembled
from device.engine.state.states import State
from device.errors import RecordsError
from device.records.light import LightEntry
from device.records.record_types import RunState
from device.records.records import Records, RunEnd
from device.status import StopReason
from webui.cli.main import cli

RUNS = 12


def used(database: Path, *, cells: int = 1) -> None:
    """Make records of an instrument that has worked: runs, pictures, light."""
    with closing(Records(database)) as records:
        for number in range(RUNS):
            run_id = records.begin_run(f"S-{number}", {}, {})
            records.add_tile(run_id, a_tile(), [a_cell()] * cells)
            records.light.add(LightEntry("led", f"S-{number}", 5, 1.0, 2.0))
            end = RunEnd(RunState.COMPLETE, StopReason.END_OF_AREA, {"number": number})
            records.finish_run(run_id, end)
            records.tile_pictures.save(run_id, 0, a_picture())


def missing(database: Path) -> None:
    database.unlink()


def emptied(database: Path) -> None:
    database.write_bytes(b"")


def without_tables(database: Path) -> None:
    database.unlink()
    with closing(sqlite3.connect(database)) as db:
        db.execute("PRAGMA user_version = 1")


def spoil(database: Path, begin: int, end: int) -> None:
    content = bytearray(database.read_bytes())
    content[begin:end] = os.urandom(end - begin)
    database.write_bytes(content)


def said(settings: Path, *words: str) -> str:
    result = CliRunner().invoke(cli, [*words, "--settings", str(settings)])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "leukolux.toml"
    path.write_text(f'[records]\ndirectory = "{tmp_path}/data"\n', encoding="utf-8")
    return path


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "data" / DATABASE_NAME


@pytest.mark.parametrize("lose", [missing, emptied, without_tables])
def test_a_lost_database_is_no_first_start(lose: Callable[[Path], None], database: Path) -> None:
    used(database)
    lose(database)
    before = {path: path.stat().st_size for path in database.parent.rglob("*.*")}
    with pytest.raises(RecordsError, match="pictures of runs") as caught:
        Records(database)
    assert caught.value.error_code == "RECORDS-LOST"
    assert "leukolux records new" in caught.value.remedy
    assert "backup" in caught.value.remedy
    after = {path: path.stat().st_size for path in database.parent.rglob("*.*")}
    assert {path: after[path] for path in before} == before


def test_it_is_noticed_without_pictures_too(database: Path) -> None:
    used(database)
    for picture in (database.parent / "tiles").rglob("*.jpg"):
        picture.unlink()
    for folder in (database.parent / "tiles").iterdir():
        folder.rmdir()
    missing(database)
    with pytest.raises(RecordsError, match=r"history\.json"):
        Records(database)


def test_recordings_of_an_older_version_show_that_there_were_records(database: Path) -> None:
    recorder = database.parent / "recorder"
    recorder.mkdir(parents=True)
    (recorder / "wires-000001.jsonl").write_text("{}\n", encoding="ascii")
    with pytest.raises(RecordsError, match="recordings"):
        Records(database)


def test_a_log_without_its_database_is_not_overwritten(database: Path) -> None:
    database.parent.mkdir()
    log = database.with_name(f"{database.name}-wal")
    log.write_bytes(b"rows")
    with pytest.raises(RecordsError, match="write-ahead log"):
        Records(database)
    assert log.read_bytes() == b"rows"


def test_a_first_start_that_was_killed_is_still_a_first_start(database: Path) -> None:
    database.parent.mkdir()
    with closing(sqlite3.connect(database)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE other (x)")
        database.with_name("copy").write_bytes(database.read_bytes())
        log = database.with_name(f"{database.name}-wal").read_bytes()
    database.write_bytes(database.with_name("copy").read_bytes())
    database.with_name(f"{database.name}-wal").write_bytes(log)
    with closing(Records(database)) as records:
        assert records.begin_run("S-1", {}, {}) == 1


def test_a_first_start_is_silent(database: Path) -> None:
    with closing(Records(database)) as records:
        assert records.history_unknown_utc() is None
        assert records.begin_run("S-1", {}, {}) == 1


def test_new_records_reuse_no_number_and_keep_the_pictures(database: Path, settings: Path) -> None:
    used(database)
    missing(database)
    assert "New records" in said(settings, "records", "new")
    with closing(Records(database)) as records:
        assert records.history_unknown_utc() is not None
        assert records.begin_run("S-1", {}, {}) == RUNS + 1
        assert records.tile_pictures.kept(1) == {0}
    with closing(Records(database)) as records, records.reader() as reader:
        (event,) = [e for e in reader.events() if e.kind == "history_unknown"]
    assert event.data == {"last_run": RUNS}


def test_new_records_say_that_the_history_is_unknown(tmp_path: Path) -> None:
    settings = small_settings(tmp_path / "data")
    database = tmp_path / "data" / DATABASE_NAME
    used(database)
    database.write_bytes(b"")
    file = tmp_path / "leukolux.toml"
    file.write_text(f'[records]\ndirectory = "{tmp_path}/data"\n', encoding="utf-8")
    said(file, "records", "new")
    with assembled(settings) as assembly:
        assembly.instrument.wait_for(State.IDLE, State.FAULT, timeout_s=60.0)
        remarks = {remark.name: remark for remark in assembly.instrument.status().remarks}
    assert "were lost" in remarks["history_known"].explanation


def test_run_numbers_go_on_above_a_backup_and_the_gap_is_said(database: Path) -> None:
    used(database)
    backup = database.read_bytes()
    with closing(Records(database)) as records:
        assert records.begin_run("AFTER", {}, {}) == RUNS + 1
    database.write_bytes(backup)
    for _ in range(2):
        with closing(Records(database)) as records, records.reader() as reader:
            assert [e.data for e in reader.events()] == [{"last_run": RUNS + 1}]
    with closing(Records(database)) as records:
        assert records.begin_run("NEXT", {}, {}) == RUNS + 2


def test_what_can_be_read_of_a_damaged_database_is_saved(database: Path, settings: Path) -> None:
    used(database, cells=20)
    size = database.stat().st_size
    damaged = size // 2 // 4096 * 4096
    spoil(database, damaged, damaged + 4096)
    with pytest.raises(RecordsError) as caught:
        Records(database)
    assert caught.value.error_code == "RECORDS-DAMAGED"
    assert "leukolux records recover" in caught.value.remedy
    lines = said(settings, "records", "recover")
    assert "some rows could not be read" in lines
    (set_aside,) = database.parent.glob("set-aside-*")
    assert (set_aside / DATABASE_NAME).stat().st_size == size
    with closing(Records(database)) as records, records.reader() as reader:
        runs = reader.list_runs()
        cells = sum(len(list(reader.every_cell(run.id))) for run in runs)
        assert len(runs) == RUNS
        assert RUNS * 20 * 0.5 < cells < RUNS * 20
        assert reader.result(3) == {"number": 2}
        assert reader.sample_dose_j_per_cm2("S-3") == 2.0
        assert records.history_unknown_utc() is not None
        assert records.begin_run("S-1", {}, {}) == RUNS + 1


@pytest.mark.parametrize("left_share", [0.9, 0.6])
def test_what_is_left_of_a_database_that_was_cut_short_is_saved(
    left_share: float, database: Path, settings: Path
) -> None:
    used(database, cells=20)
    os.truncate(database, int(database.stat().st_size * left_share))
    with pytest.raises(RecordsError) as caught:
        Records(database)
    assert caught.value.error_code == "RECORDS-DAMAGED"
    assert "saved" in said(settings, "records", "recover")
    with closing(Records(database)) as records, records.reader() as reader:
        assert reader.list_runs()
        assert records.begin_run("S-1", {}, {}) == RUNS + 1
    assert list(database.parent.glob(".rescue-*")) == []


def test_new_records_suggest_no_id_that_was_given_before(tmp_path: Path) -> None:
    settings = small_settings(tmp_path / "data")
    database = tmp_path / "data" / DATABASE_NAME
    used(database)
    missing(database)
    file = tmp_path / "leukolux.toml"
    file.write_text(f'[records]\ndirectory = "{tmp_path}/data"\n', encoding="utf-8")
    said(file, "records", "new")
    with assembled(settings) as assembly:
        status = assembly.instrument.wait_for(State.IDLE, timeout_s=60.0)
    assert status.waiting_sample.sample_id == f"S-{RUNS + 1:04d}"


@pytest.mark.parametrize("discard", [False, True])
def test_a_start_that_was_refused_or_failed_is_no_loss_of_records(
    discard: bool, database: Path
) -> None:
    used(database)
    with closing(Records(database)) as records:
        if discard:
            records.discard_run(records.begin_run("S-13", {}, {}))
        else:
            with pytest.raises(ZeroDivisionError):
                records.begin_run("S-13", {}, {}, confirm=lambda: 1 // 0)
    with closing(Records(database)) as records:
        assert records.history_unknown_utc() is None
        assert records.next_run() == RUNS + 1 + discard


def test_a_run_whose_number_cannot_be_noted_is_not_kept(database: Path) -> None:
    used(database)
    (database.parent / f"history.{os.getpid()}.part").mkdir()
    with closing(Records(database)) as records:
        with pytest.raises(RecordsError):
            records.begin_run("S-13", {}, {})
        assert records.unfinished_runs() == []


@pytest.mark.parametrize("command", ["recover", "new"])
def test_sound_records_are_left_alone(command: str, database: Path, settings: Path) -> None:
    used(database)
    content = database.read_bytes()
    result = CliRunner().invoke(cli, ["records", command, "--settings", str(settings)])
    assert "RECORDS-SOUND" in result.stderr
    assert result.exit_code == 2
    assert database.read_bytes() == content


@pytest.mark.parametrize(
    ("command", "code"), [("recover", "RECORDS-NOTHING-TO-RECOVER"), ("new", "RECORDS-NONE")]
)
def test_without_records_nothing_is_recovered_and_nothing_replaced(
    command: str, code: str, database: Path, settings: Path
) -> None:
    result = CliRunner().invoke(cli, ["records", command, "--settings", str(settings)])
    assert code in result.stderr
    assert result.exit_code == 2
    assert not database.exists()


def test_a_database_of_which_nothing_can_be_read_stays_until_new_records_are_wanted(
    database: Path, settings: Path
) -> None:
    used(database)
    database.write_bytes(b"no database" * 500)
    result = CliRunner().invoke(cli, ["records", "recover", "--settings", str(settings)])
    assert result.exit_code == RecordsError.exit_code
    assert "RECORDS-UNREADABLE" in result.stderr
    assert database.read_bytes() == b"no database" * 500
    said(settings, "records", "new")
    with closing(Records(database)) as records:
        assert records.begin_run("S-1", {}, {}) == RUNS + 1


def test_a_spoiled_history_file_still_shows_that_there_were_records(database: Path) -> None:
    used(database)
    (database.parent / "history.json").write_bytes(b"\0\0")
    with closing(Records(database)) as records:
        assert records.begin_run("S-1", {}, {}) == RUNS + 1
    missing(database)
    (database.parent / "history.json").write_bytes(b"\0\0")
    with pytest.raises(RecordsError, match=r"history\.json"):
        Records(database)
