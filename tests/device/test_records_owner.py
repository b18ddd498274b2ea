"""One program per folder of records, shown with real processes."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from device.assembly import DATABASE_NAME
from device.errors import RecordsError, RecordsInUseError
from device.records.folder.owner import LOCK_NAME, owned
from device.records.reader import RecordsReader
from device.records.records import Records
from webui.cli.main import cli

ROOT = Path(__file__).resolve().parents[2]
HOLDER = """
import subprocess, sys
from pathlib import Path
from device.records.folder.owner import owned
with owned(Path(sys.argv[1])):
    child = subprocess.Popen(["sleep", "60"], close_fds=False)
    print(child.pid, flush=True)
    sys.stdin.read()
"""
PROGRAM = "from webui.cli.main import main; main()"


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "leukolux.toml"
    path.write_text(f'[records]\ndirectory = "{tmp_path}/data"\n', encoding="utf-8")
    return path


@contextmanager
def other_owner(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Own ``folder`` in a process that has a child of its own."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            yield process
        finally:
            process.kill()
            os.kill(child, 9)


def test_a_second_program_is_refused_with_the_process_that_has_the_folder(tmp_path: Path) -> None:
    with (
        other_owner(tmp_path) as other,
        pytest.raises(RecordsInUseError) as caught,
        owned(tmp_path),
    ):
        pass
    assert caught.value.error_code == "RECORDS-IN-USE"
    assert f"process {other.pid}" in caught.value.cause
    assert "End that program" in caught.value.remedy


def test_deleting_the_lock_file_lets_no_second_program_in(tmp_path: Path) -> None:
    with other_owner(tmp_path):
        (tmp_path / LOCK_NAME).unlink()
        with pytest.raises(RecordsInUseError), owned(tmp_path):
            pass


def test_a_killed_program_frees_the_folder_though_its_child_lives_on(tmp_path: Path) -> None:
    with other_owner(tmp_path) as other:
        other.kill()
        other.wait()
        assert (tmp_path / LOCK_NAME).read_text(encoding="ascii").strip() == str(other.pid)
        with owned(tmp_path):
            assert (tmp_path / LOCK_NAME).read_text(encoding="ascii").strip() == str(os.getpid())


@pytest.mark.parametrize(
    "command",
    [
        ["run", "--sim", "--port", "0"],
        ["scan", "--sim", "--keep"],
        ["calibrate", "--sim", "--step", "flat_field"],
        ["selftest"],
        ["camera", "grab", "frame.png", "--light"],
    ],
    ids=lambda command: command[0],
)
def test_a_command_that_runs_an_instrument_is_refused_and_changes_nothing(
    command: list[str], settings: Path, tmp_path: Path
) -> None:
    with settings.open("a", encoding="utf-8") as file:
        file.write('[stage]\nport = "/dev/null"\n')  # so that not all devices are simulated
    records = Records(tmp_path / "data" / DATABASE_NAME)
    run_id = records.begin_run("S-1", {}, {})
    with other_owner(tmp_path / "data") as other:
        words = [command[0], "--settings", str(settings), *command[1:]]
        result = CliRunner().invoke(cli, words)
    assert result.exit_code == RecordsError.exit_code
    assert "RECORDS-IN-USE" in result.stderr
    assert str(other.pid) in result.stderr
    assert records.unfinished_runs() == [run_id]
    records.close()


def test_commands_that_read_or_enter_one_row_work_while_an_instrument_runs(
    settings: Path, tmp_path: Path
) -> None:
    def said(*words: str) -> str:
        result = CliRunner().invoke(cli, [*words, "--settings", str(settings)])
        assert result.exit_code == 0, result.output
        return result.output

    records = Records(tmp_path / "data" / DATABASE_NAME)
    run_id = records.begin_run("S-1", {}, {})
    with other_owner(tmp_path / "data"):
        assert "entered" in said("control", "add", "LOT-7")
        assert "LOT-7" in said("control", "list")
        assert "closed" in said("control", "close", "LOT-7")
        assert "flat_field" in said("calibrate", "--list")
        assert "MB" in said("diagnose", "--no-self-test", "--out", str(tmp_path / "archive.tar.gz"))
    assert records.unfinished_runs() == [run_id]
    records.close()


def test_listing_lots_makes_no_records(settings: Path, tmp_path: Path) -> None:
    assert CliRunner().invoke(cli, ["control", "list", "--settings", str(settings)]).exit_code == 0
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("number", "code", "culprit"),
    [
        (errno.ENOLCK, "RECORDS-FILE-SYSTEM", "network folder"),
        (errno.EROFS, "RECORDS-NOT-WRITABLE", "cannot be written"),
        (errno.ENOSPC, "RECORDS-DISK-FULL", "No space left"),
        (errno.EIO, "RECORDS-DISK-FAILED", "Input/output error"),
    ],
)
def test_a_file_system_that_cannot_lock_is_named(
    number: int, code: str, culprit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(file: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(RecordsError, match=culprit) as caught, owned(tmp_path):
        pass
    assert caught.value.error_code == code


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(RecordsError, match="cannot be written") as caught, owned(tmp_path):
        pass
    assert str(tmp_path) in caught.value.cause


@contextmanager
def running_instrument(settings: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run ``leukolux run --sim``; give the process and the address of its pages."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "run", "--sim", "--port", "0", "--settings", str(settings)],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            address = re.search(r"http://\S+", process.stdout.readline())
            assert address is not None
            yield process, address[0].rstrip("/")
        finally:
            process.kill()


def state_of(address: str) -> str:
    with urllib.request.urlopen(f"{address}/api/v1/status", timeout=10.0) as answer:
        return str(json.load(answer)["state"])


@pytest.mark.slow
def test_a_scan_beside_a_running_instrument_is_refused_until_that_is_killed(
    settings: Path, tmp_path: Path
) -> None:
    with running_instrument(settings) as (instrument, address):
        scan = subprocess.run(
            [sys.executable, "-c", PROGRAM, "scan", "--sim", "--keep", "--settings", str(settings)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60.0,
            check=False,
        )
        assert scan.returncode == RecordsError.exit_code
        assert f"process {instrument.pid}" in scan.stderr
        assert state_of(address) != "fault"
        with RecordsReader(tmp_path / "data" / DATABASE_NAME) as reader:
            assert reader.list_runs() == []
        instrument.kill()
        instrument.wait()
    with running_instrument(settings) as (_, address):
        assert state_of(address) != "fault"
