"""The diagnosis: everything that explains a failure, nothing that names a patient."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from device.assembly import (
    DATABASE_NAME,
    assembled,
    recorder_folder,
    records_folder,
    simulated_settings,
)
from device.diagnosis.archive import FOLDER, Part, write_archive
from device.diagnosis.collect import Diagnosis
from device.diagnosis.self_test import self_test
from device.diagnosis.system import system_state
from device.engine.state.states import State
from device.instrument import Instrument
from device.records.folder.owner import owned
from device.records.light import LightEntry
from device.records.records import Records
from device.settings.file import Settings, changed_settings
from hal.clock import ManualClock
from hal.errors import InputError
from hal.factory import build_clock, build_hardware
from hal.recorder.recorder import FileRecorder
from hal.recorder.recording import kept_files, read_recording, ring_files
from webui.cli.main import cli

CANARY = "canary Jane Doe"
FIXTURES = Path(__file__).parent.parent / "fixtures" / "grbl"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    kept = changed_settings(Settings(), records__directory=str(tmp_path / "data"))
    return simulated_settings(kept)


def files_of(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        found = {}
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None
            found[member.name.removeprefix(f"{FOLDER}/")] = file.read()
        return found


def diagnosed(settings: Settings, out: Path, **changes: Any) -> dict[str, bytes]:
    wanted = {"settings_error": None, "self_test": lambda: {"skipped": "a test"}} | changes
    Diagnosis(settings, **wanted).write(out)  # type: ignore[arg-type]
    return files_of(out)


def filled_records(settings: Settings) -> Path:
    """Records with a row in every table."""
    path = Path(settings.records.directory) / DATABASE_NAME
    records = Records(path, ManualClock())
    run_id = records.begin_run("sample", {}, {})
    records.add_event(run_id, "failure", {"code": "STAGE-ALARM-1", "cause": "Limit switch."})
    records.add_event(None, "lid_opened", {"tiles": 3})
    records.light.add(LightEntry("1", "sample", 3, 0.15, 0.01))
    records.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "INSERT INTO results (run_id, version, stored_utc, document) VALUES (1, 1, '', '{}')"
        )
        connection.execute(
            "INSERT INTO tiles (run_id, row, column, state, usable) VALUES (1, 0, 0, 'missing', 0)"
        )
        connection.commit()
    return path


@pytest.mark.parametrize(
    "text",
    [
        CANARY,
        json.dumps({"cause": CANARY, "code": CANARY, CANARY: 1, "list": [{"who": CANARY}]}),
        json.dumps(CANARY),
    ],
    ids=["text", "table", "json text"],
)
def test_no_text_of_the_records_and_no_secret_reaches_the_archive(
    settings: Settings, tmp_path: Path, text: str
) -> None:
    path = filled_records(settings)
    changed = 0
    with closing(sqlite3.connect(path)) as connection:
        tables = [
            row[0]
            for row in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        for table in tables:
            for column in connection.execute(f"PRAGMA table_info({table})").fetchall():
                if column[2] == "TEXT" and not table.startswith(("sqlite_", "_sqlite")):
                    where = f'UPDATE "{table}" SET "{column[1]}" = ?'
                    changed += connection.execute(where, [text]).rowcount
        connection.commit()
    assert changed > 20
    secret = changed_settings(settings, web__lan_token=f"{CANARY} 0123456789")
    found = diagnosed(secret, tmp_path / "out.tar.gz")
    assert "events.json" in found
    for name, data in found.items():
        assert CANARY.encode() not in data, name
        assert b"Jane" not in data, name
    events = json.loads(found["events.json"])
    assert [run["sample"] for run in events["runs"]] == [1]
    assert [event["id"] for event in events["events"]] == [2, 1]


def test_the_archive_tells_what_happened(settings: Settings, tmp_path: Path) -> None:
    filled_records(settings)
    folder = recorder_folder(settings)
    with FileRecorder(folder, minutes=1.0, max_mb=1.0) as recorder:
        recorder.note("stage.port", "tx", b"$H\n")
        recorder.keep("STAGE-ALARM-1")
    found = diagnosed(settings, tmp_path / "out.tar.gz")
    assert sorted(found) == [
        "README.txt",
        "events.json",
        "recorder/kept-000001-STAGE-ALARM-1.jsonl",
        "recorder/wires-000001.jsonl",
        "self-test.json",
        "settings.toml",
        "system.json",
        "versions.json",
    ]
    events = json.loads(found["events.json"])
    assert events["events"][1]["data"]["code"] == "STAGE-ALARM-1"
    assert events["events"][0] | {"utc": "", "monotonic_s": 0.0} == {
        "id": 2,
        "run_id": None,
        "utc": "",
        "monotonic_s": 0.0,
        "kind": "lid_opened",
        "data": {"tiles": 3},
    }
    assert events["runs"][0]["tiles"] == {"missing": 1}
    versions = json.loads(found["versions.json"])
    assert versions["libraries"]["numpy"]
    assert all(network["as_shipped"] for network in versions["networks"])
    assert len(versions["networks"]) >= 4
    assert b"[recorder]" in found["settings.toml"]
    assert found["recorder/wires-000001.jsonl"] == ring_files(folder)[0].read_bytes()


def test_half_of_it_may_be_broken(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / DATABASE_NAME).write_bytes(b"no database" * 500)
    file = tmp_path / "settings.toml"
    file.write_text(f'[records]\ndirectory = "{data}"\n[recorder]\nenabled = false\n')
    out = tmp_path / "out.tar.gz"
    done = CliRunner().invoke(cli, ["diagnose", "--settings", str(file), "--out", str(out)])
    assert done.exit_code == 3, done.output
    found = files_of(out)
    assert b"RECORDS-DAMAGED: " in found["events.json.failed.txt"]
    assert b"RECORDS-DAMAGED: " in found["self-test.json.failed.txt"]
    assert "missing: events.json" in done.output
    file.write_text("[scan]\nspeed = 3\n")
    done = CliRunner().invoke(cli, ["diagnose", "--settings", str(file), "--out", str(out)])
    assert done.exit_code == 3, done.output
    found = files_of(out)
    assert b"Unknown setting scan.speed" in found["settings.toml.failed.txt"]
    assert "self-test.json.failed.txt" in found
    assert "system.json" in found


def test_a_bug_in_a_part_is_placed_but_not_quoted(tmp_path: Path) -> None:
    def broken() -> bytes:
        raise ValueError(CANARY)

    out = tmp_path / "out.tar.gz"
    assert write_archive(out, [Part("a.json", broken), Part("b.json", lambda: b"b")]) == ["a.json"]
    found = files_of(out)
    assert found["b.json"] == b"b"
    assert b"ValueError\n" in found["a.json.failed.txt"]
    assert b"in broken" in found["a.json.failed.txt"]
    assert CANARY.encode() not in found["a.json.failed.txt"]


def test_an_archive_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written") as caught:
        write_archive(tmp_path / "missing" / "out.tar.gz", [])
    assert caught.value.exit_code == 2


@pytest.mark.slow
def test_the_self_test_of_the_simulated_instrument_passes(settings: Settings) -> None:
    assert self_test(settings, simulated=True) == {
        "simulated": True,
        "passed": True,
        "error": None,
    }
    assert not Path(settings.records.directory).exists()


def test_a_running_instrument_is_left_alone(settings: Settings) -> None:
    with owned(records_folder(settings)):
        assert f"process {os.getpid()}" in self_test(settings, simulated=False)["skipped"]


def test_an_instrument_records_its_wires(settings: Settings) -> None:
    with assembled(settings) as assembly:
        assembly.instrument.wait_for(State.IDLE, timeout_s=60.0)
        assembly.hardware.recorder.keep("signal")
    folder = recorder_folder(settings)
    recording = read_recording(ring_files(folder)[0])
    assert recording.speed == settings.simulation.speed
    assert {"stage.port", "light"} <= set(recording.wires())
    assert (
        b"".join(e.what for e in recording.of("stage.port") if e.kind == "tx").count(b"$$\n") == 1
    )
    assert [path.name for path in kept_files(folder)] == ["kept-000001-signal.jsonl"]


def test_a_failure_puts_the_last_minutes_aside(settings: Settings) -> None:
    clock = build_clock(settings)
    folder = recorder_folder(settings)
    records = Records(records_folder(settings) / DATABASE_NAME, clock)
    with FileRecorder(folder, minutes=1.0, max_mb=1.0) as recorder:
        hardware = build_hardware(settings, clock, recorder=recorder)
        assert hardware.simulation is not None
        hardware.simulation.emulator.unplug()
        with Instrument(settings, hardware, records, clock) as instrument:
            instrument.wait_for(State.FAULT, timeout_s=60.0)
        records.close()
    kept = kept_files(folder)
    assert [path.name for path in kept] == ["kept-000001-STAGE-PORT.jsonl"]
    said = [(e.wire, e.kind, e.what) for e in read_recording(kept[0]).entries]
    assert ("device", "failure", "STAGE-PORT") in said
    assert any(wire == "stage.port" and kind == "error" for wire, kind, _ in said)


def test_the_system_state_is_read_and_what_is_not_there_is_told(tmp_path: Path) -> None:
    for name, text in {
        "proc/meminfo": "MemTotal: 100 kB\nMemFree: 50 kB\nMemAvailable: 60 kB\n",
        "sys/class/thermal/thermal_zone0/temp": "48500\n",
        "sys/class/thermal/thermal_zone1/type": "gpu\n",
        "sys/bus/usb/devices/1-1/idVendor": "0403\n",
        "sys/bus/usb/devices/1-1/idProduct": "6001\n",
        "sys/bus/usb/devices/1-1/product": f"{CANARY}\n",
        "dev/ttyUSB0": "",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    state = system_state(tmp_path / "data" / "deeper", tmp_path)
    assert state["memory_kb"] == {"MemTotal": 100, "MemAvailable": 60}
    assert state["temperatures_c"]["thermal_zone0"] == 48.5
    assert "not readable: FileNotFoundError" in state["temperatures_c"]["thermal_zone1"]
    assert "not readable" in state["uptime_s"]
    assert state["usb"] == {"1-1": {"idVendor": "0403", "idProduct": "6001"}}
    assert state["device_files"] == ["dev/ttyUSB0"]
    assert state["disk"]["free_mb"] > 0
    assert not state["disk"]["records_exist"]
    assert CANARY not in json.dumps(state)


def test_a_recording_is_stepped_through(tmp_path: Path) -> None:
    path = FIXTURES / "04-jog-out-of-range.jsonl"
    done = CliRunner().invoke(cli, ["diagnose", "--replay", str(path)])
    lines = done.output.splitlines()
    assert "Grbl 1.1h" in lines[0]
    assert lines[1].endswith("'$H\\n': homed")
    assert "'$J=G90 G21 G53 X5 F1500\\n': STAGE-REFUSED-15" in lines[2]
    assert done.exit_code == 0
    (tmp_path / "field.jsonl").write_text('{"t": 0.0, "rx": "ok"}\n{"t": 1.0, "rx"\n')
    done = CliRunner().invoke(cli, ["diagnose", "--replay", str(tmp_path / "field.jsonl")])
    assert done.exit_code == 2
    assert "Line 2 of the recording" in done.output


@pytest.mark.slow
def test_the_command_of_a_whole_simulated_instrument(tmp_path: Path) -> None:
    out = tmp_path / "out.tar.gz"
    done = CliRunner().invoke(cli, ["diagnose", "--sim", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert json.loads(files_of(out)["self-test.json"])["passed"]
    assert not [name for name in files_of(out) if name.endswith(".failed.txt")]


@pytest.mark.slow
def test_a_signal_puts_the_last_minutes_of_a_running_instrument_aside(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(f'[records]\ndirectory = "{tmp_path}"\n[web]\nport = 0\n')
    start = "from webui.cli.main import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", start, "run", "--sim", "--settings", str(file)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent.parent.parent,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        try:
            assert process.stdout is not None
            assert b"Leukolux is at" in process.stdout.readline()
            process.send_signal(signal.SIGUSR1)
            process.send_signal(signal.SIGTERM)
            assert process.wait(180.0) == 0
        finally:
            process.kill()
    assert [path.name for path in kept_files(tmp_path / "recorder")] == ["kept-000001-signal.jsonl"]
