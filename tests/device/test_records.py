"""Records: what was returned from is on the disk, and old databases open."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest

from device.engine.run.result import interrupted_run
from device.errors import RecordsError
from device.records.record_types import RunState, TileState
from device.records.records import Records, RunEnd, TileEntry
from device.results.cell import THUMBNAIL_PX, Cell, CellKind
from device.status import StopReason
from hal.clock import ManualClock

FIXTURES = Path(__file__).parent / "fixtures"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def a_cell(kind: CellKind = CellKind.NEUTROPHIL, *, identified: bool = True) -> Cell:
    rng = np.random.default_rng(5)
    return Cell(
        tile_sequence=3,
        x_um=np.float32(100.5),  # type: ignore[arg-type]  # what the analysis may hand over
        y_um=200.25,
        x_px=50.0,
        y_px=60.0,
        bbox_px=(40, 50, 60, 70),
        kind=kind,
        probabilities={k: 0.94 if k is kind else 0.01 for k in CellKind},
        identified=identified,
        area_um2=120.0,
        nucleus_area_um2=60.0,
        thumbnail=rng.integers(0, 255, (THUMBNAIL_PX, THUMBNAIL_PX)).astype(np.uint8),
        mask=rng.integers(0, 3, (THUMBNAIL_PX, THUMBNAIL_PX)).astype(np.uint8),
    )


def a_tile(column: int = 0, **changes: object) -> TileEntry:
    values: dict[str, object] = {
        "row": 0,
        "column": column,
        "x_um": 10.0,
        "y_um": 20.0,
        "state": TileState.ANALYSED,
        "usable": True,
        "exposures": 1,
        "dose_mj_per_cm2": 0.3,
        "sequence": column,
        "red_cells": 12,
        "platelets": 1,
    }
    return TileEntry(**(values | changes))  # type: ignore[arg-type]


def open_records(tmp_path: Path, clock: ManualClock | None = None) -> Records:
    return Records(tmp_path / "folder" / "records.db", clock or ManualClock(), lambda: NOW)


def test_a_run_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    clock = ManualClock(100.0)
    records = open_records(tmp_path, clock)
    settings, versions = {"scan": {"target_cells": 5}}, {"scout": "abc"}
    run_id = records.begin_run("S-1", settings, versions, operator="AB")
    records.set_plan(run_id, 12)
    clock.advance(30.0)
    end = RunEnd(RunState.COMPLETE, StopReason.ENOUGH_CELLS, {"classified": 7})
    records.finish_run(run_id, end)
    with records.reader() as reader:
        run = reader.run(run_id)
        assert reader.result(run_id) == {"classified": 7}
    assert run is not None
    assert run.as_dict() == {
        "id": run_id,
        "sample_id": "S-1",
        "state": "complete",
        "reason": "enough_cells",
        "started_utc": "2026-01-02T03:04:05.000+00:00",
        "ended_utc": "2026-01-02T03:04:05.000+00:00",
        "duration_s": 30.0,
        "tiles_planned": 12,
        "settings": {"scan": {"target_cells": 5}},
        "versions": {"scout": "abc"},
        "error": None,
        "control_lot": None,
        "operator": "AB",
    }
    records.close()


def test_a_cell_is_read_back_with_its_pictures(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    run_id = records.begin_run("S-1", {}, {})
    cell = a_cell(CellKind.EOSINOPHIL)
    (cell_id,) = records.add_tile(run_id, a_tile(), [cell])
    with records.reader() as reader:
        stored = reader.cell(cell_id)
        picture, mask = reader.cell_picture(cell_id), reader.cell_mask(cell_id)
    assert stored is not None
    assert stored.kind is CellKind.EOSINOPHIL
    assert stored.identified is True
    assert stored.bbox_px == (40, 50, 60, 70)
    assert stored.probabilities == cell.probabilities
    assert (stored.x_um, stored.y_um, stored.area_um2) == (100.5, 200.25, 120.0)
    for png, image in ((picture, cell.thumbnail), (mask, cell.mask)):
        assert png is not None
        decoded = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(decoded, image)
    records.close()


def test_a_better_view_replaces_the_cell_it_shows(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    run_id = records.begin_run("S-1", {}, {})
    (cell_id,) = records.add_tile(run_id, a_tile(0), [a_cell(CellKind.MONOCYTE)])
    added = records.add_tile(run_id, a_tile(1), [], {cell_id: a_cell(CellKind.LYMPHOCYTE)})
    with records.reader() as reader:
        cells = reader.cells(run_id)
    assert added == []
    assert [(cell.id, cell.kind) for cell in cells] == [(cell_id, CellKind.LYMPHOCYTE)]
    records.close()


def test_lists_are_pages_after_an_id(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    ids = [records.begin_run(f"S-{i}", {}, {}) for i in range(5)]
    for column in range(7):
        records.add_tile(ids[0], a_tile(column), [a_cell(), a_cell(CellKind.DEAD)])
    with records.reader() as reader:
        assert [run.id for run in reader.list_runs(after=ids[1], limit=2)] == ids[2:4]
        assert [run.id for run in reader.list_runs(limit=2, newest_first=True)] == ids[:2:-1]
        older = reader.list_runs(after=ids[3], limit=9, newest_first=True)
        assert [run.id for run in older] == ids[2::-1]
        first = reader.cells(ids[0], limit=4)
        rest = reader.cells(ids[0], after=first[-1].id)
        assert len(first) == 4
        assert len(rest) == 10
        assert len(reader.cells(ids[0], kind=CellKind.DEAD)) == 7
        assert [tile.column for tile in reader.every_tile(ids[0])] == list(range(7))
        assert len(list(reader.every_cell(ids[0]))) == 14
    records.close()


def test_what_is_not_there_is_none_or_empty(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    with records.reader() as reader:
        assert reader.run(9) is None
        assert reader.result(9) is None
        assert reader.cell(9) is None
        assert reader.cell_picture(9) is None
        assert reader.cell_mask(9) is None
        assert reader.cells(9) == []
        assert reader.tiles(9) == []
    records.close()


def test_events_belong_to_a_run_or_to_none(tmp_path: Path) -> None:
    records = open_records(tmp_path, ManualClock(7.0))
    run_id = records.begin_run("S-1", {}, {})
    records.add_event(run_id, "background", {"level": 0.7})
    records.add_event(None, "failure", {"code": "STAGE"})
    with records.reader() as reader:
        (of_run,) = reader.events(run_id)
        (outside,) = reader.events()
    assert (of_run.kind, of_run.data, of_run.monotonic_s) == ("background", {"level": 0.7}, 7.0)
    assert (outside.kind, outside.run_id) == ("failure", None)
    records.close()


def test_a_result_is_never_edited_a_second_one_is_a_new_version(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    run_id = records.begin_run("S-1", {}, {})
    for number in (1, 2):
        end = RunEnd(RunState.COMPLETE, StopReason.END_OF_AREA, {"number": number})
        records.finish_run(run_id, end)
    with records.reader() as reader:
        assert reader.result(run_id) == {"number": 2}
    with sqlite3.connect(records.path) as db:
        rows = db.execute("SELECT version, document FROM results ORDER BY version").fetchall()
    db.close()
    assert [(version, json.loads(text)["number"]) for version, text in rows] == [(1, 1), (2, 2)]
    records.close()


def test_the_same_place_is_journalled_once_and_a_refused_tile_stores_no_cell(
    tmp_path: Path,
) -> None:
    records = open_records(tmp_path)
    run_id = records.begin_run("S-1", {}, {})
    records.add_tile(run_id, a_tile(4))
    with pytest.raises(RecordsError):
        records.add_tile(run_id, a_tile(4), [a_cell()])
    with records.reader() as reader:
        assert reader.cells(run_id) == []
        assert len(reader.tiles(run_id)) == 1
    records.close()


def test_the_database_is_durable_by_its_settings(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    db = records.writer._db  # the setting belongs to the connection, nothing else shows it
    assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert db.execute("PRAGMA synchronous").fetchone()[0] == 2
    assert db.execute("PRAGMA foreign_keys").fetchone()[0] == 1
    records.close()


def test_checking_whether_it_can_write_leaves_nothing_behind(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    records.check_writable()
    with records.reader() as reader:
        assert reader.events() == []
    records.close()


def test_an_old_database_opens_with_everything_in_it(tmp_path: Path) -> None:
    copy = tmp_path / "records.db"
    shutil.copy(FIXTURES / "records-0001.db", copy)
    records = Records(copy)
    with records.reader() as reader:
        (run,) = reader.list_runs()
        assert (run.sample_id, run.state) == ("OLD-1", RunState.COMPLETE)
        assert reader.result(run.id) == {"classified": 2}
        assert [cell.kind for cell in reader.cells(run.id)] == ["neutrophil", "lymphocyte"]
        assert len(reader.tiles(run.id)) == 2
        assert len(reader.events(run.id)) == 1
    assert records.begin_run("NEW", {}, {}) == run.id + 1
    records.close()


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    records.close()
    with sqlite3.connect(records.path) as db:
        db.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) "
            "VALUES ('leukolux', '9999_from_the_future', '2030-01-01')"
        )
    db.close()
    with pytest.raises(RecordsError, match="newer version") as caught:
        Records(records.path)
    assert caught.value.error_code == "RECORDS-NEWER"


def test_a_damaged_database_is_refused_with_a_remedy(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    run_id = records.begin_run("S-1", {}, {})
    for column in range(30):
        records.add_tile(run_id, a_tile(column), [a_cell()])
    records.close()
    content = bytearray(records.path.read_bytes())
    content[8192:24576] = os.urandom(16384)
    records.path.write_bytes(content)
    with pytest.raises(RecordsError) as caught:
        Records(records.path)
    assert "backup" in caught.value.remedy


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "records.db"
    path.write_text("hello " * 1000, encoding="utf-8")
    with pytest.raises(RecordsError) as caught:
        Records(path)
    assert "backup" in caught.value.remedy


def test_a_folder_that_cannot_be_made_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(RecordsError) as caught:
        Records(tmp_path / "file" / "records.db")
    assert "folder" in caught.value.remedy


def test_a_full_disk_is_an_error_with_a_remedy_and_loses_nothing_stored(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    run_id = records.begin_run("S-1", {}, {})
    pages = records.writer._db.execute("PRAGMA page_count").fetchone()[0]
    records.writer._db.execute(f"PRAGMA max_page_count = {pages + 12}")  # as full as a disk can be
    stored: list[int] = []

    def fill() -> None:
        for column in range(100):
            stored.extend(records.add_tile(run_id, a_tile(column), [a_cell()]))

    with pytest.raises(RecordsError) as caught:
        fill()
    assert "space" in caught.value.remedy
    with records.reader() as reader:
        assert [cell.id for cell in reader.cells(run_id)] == stored
        assert len(reader.tiles(run_id)) == len(stored) > 0
    records.close()


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_records import a_cell, a_tile
from device.records.record_types import RunState
from device.records.records import Records, RunEnd
from device.status import StopReason

records = Records(Path({path!r}))
first = records.begin_run("FINISHED", {{}}, {{}})
records.add_tile(first, a_tile(0), [a_cell()])
records.finish_run(first, RunEnd(RunState.COMPLETE, StopReason.ENOUGH_CELLS, {{"classified": 1}}))
second = records.begin_run("KILLED", {{}}, {{}})
records.set_plan(second, 1000)
for column in range(1000):
    records.add_tile(second, a_tile(column), [a_cell()])
    sys.stdout.write(f"{{column}}\\n")
    sys.stdout.flush()
"""


def test_a_killed_process_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "records.db"
    script = KILLED.format(tests=str(Path(__file__).parent), path=str(path))
    root = str(Path(__file__).resolve().parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": root},
    ) as process:
        assert process.stdout is not None
        acknowledged = -1
        for line in process.stdout:
            acknowledged = int(line)
            if acknowledged == 25:
                process.send_signal(signal.SIGKILL)
                break
        acknowledged = max([acknowledged, *(int(line) for line in process.stdout if line.strip())])
    assert process.returncode == -signal.SIGKILL
    records = Records(path)
    (run_id,) = records.unfinished_runs()
    with records.reader() as reader:
        assert reader.result(1) == {"classified": 1}
        columns = [tile.column for tile in reader.every_tile(run_id)]
        assert columns == list(range(len(columns)))
        assert len(columns) > acknowledged
        assert len(list(reader.every_cell(run_id))) == len(columns)
        records.finish_run(run_id, interrupted_run(reader, run_id))
        result = reader.result(run_id)
        run = reader.run(run_id)
    assert run is not None
    assert (run.state, run.reason) == (RunState.INTERRUPTED, StopReason.INTERRUPTED)
    assert result is not None
    assert result["differential"]["neutrophil"]["n"] == len(columns)
    assert result["tiles"]["analysed"] == len(columns)
    assert result["tiles"]["planned"] == 1000
    assert records.unfinished_runs() == []
    records.close()
