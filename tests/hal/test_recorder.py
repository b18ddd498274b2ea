"""The recorder: the last minutes are on disk after any end, bounded, and never in anybody's way."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest

from hal.errors import InputError, SupervisorError
from hal.recorder import recorder as recorder_module
from hal.recorder.recorded import RecordedGpio, RecordedLine
from hal.recorder.recorder import FileRecorder
from hal.recorder.recording import is_recording, kept_files, read_recording, ring_files
from hal.sim.gpio.lines import MemoryLines
from hal.sim.gpio.module import FakeGpio


class PausedClock:
    """Never lets the writing thread write by itself."""

    patience_s = 0.0

    def monotonic_s(self) -> float:
        return 0.0

    def sleep(self, duration_s: float, cancel: Event | None = None) -> None:
        raise AssertionError("the recorder only waits")

    def wait(self, event: Event, timeout_s: float) -> bool:
        return event.wait()


Make = Callable[..., FileRecorder]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def make(**changes: float) -> FileRecorder:
        limits = {"minutes": 10.0, "max_mb": 1.0} | changes
        return FileRecorder(tmp_path, clock=PausedClock(), **limits)  # type: ignore[arg-type]

    return make


def said(path: Path) -> list[tuple[str, str, object]]:
    return [(entry.wire, entry.kind, entry.what) for entry in read_recording(path).entries]


def test_what_was_noted_is_read_back_byte_by_byte(make: Make, tmp_path: Path) -> None:
    everything = bytes(range(256))
    with make(speed=4.0) as recorder:
        recorder.note("stage.port", "open", "/dev/ttyUSB0")
        recorder.note("stage.port", "tx", everything)
        recorder.note("stage.port", "rx", b"ok\r\n")
        recorder.note("camera", "set", {"ExposureTime": 50000.0})
    recording = read_recording(ring_files(tmp_path)[0])
    assert recording.speed == 4.0
    assert recording.wires() == ["stage.port", "camera", "recorder"]
    assert [(entry.kind, entry.what) for entry in recording.entries] == [
        ("open", "/dev/ttyUSB0"),
        ("tx", everything),
        ("rx", b"ok\r\n"),
        ("set", {"ExposureTime": 50000.0}),
        ("end", ""),
    ]
    times_s = [entry.t_s for entry in recording.entries]
    assert times_s == sorted(times_s)
    assert times_s[0] >= 0.0


def test_every_transcript_of_the_firmware_is_read_by_the_same_reader() -> None:
    folder = Path(__file__).parent.parent / "fixtures" / "grbl"
    for path in sorted(folder.glob("*.jsonl")):
        recording = read_recording(path)
        assert recording.wires() == ["stage.port"]
        lines = path.read_text(encoding="utf-8").splitlines()
        assert [entry.line for entry in recording.entries] == list(range(1, len(lines) + 1))
        for entry, line in zip(recording.entries, lines, strict=True):
            written = json.loads(line)[entry.kind]
            if entry.kind == "rx":
                assert entry.what == written.encode() + b"\r\n"


GOOD = b'{"recording": "leukolux", "version": 1, "utc": "", "monotonic_s": 1, "speed": 1}\n'


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"t": 1.0, "wire": "stage.port", "tx": ', "Expecting value"),
        (b"[1]", "no JSON object"),
        (b'{"t": "1", "wire": "stage.port", "tx": "?"}', "needs t, wire"),
        (b'{"t": NaN, "wire": "stage.port", "tx": "?"}', "needs t, wire"),
        (b'{"t": 1.0, "tx": "?"}', "needs t, wire"),
        (b'{"t": 1.0, "wire": "stage.port"}', "needs t, wire"),
        (b'{"t": 1.0, "wire": "stage.port", "tx": "?", "rx": "ok"}', "needs t, wire"),
        (b'{"t": 1.0, "wire": "stage.port", "rx": "\\u0394"}', "no bytes"),
        (b'{"t": 1.0, "wire": "stage.port", "rx": 5}', "no bytes"),
        (b"\xff", "ascii"),
    ],
)
def test_a_damaged_line_is_refused_with_file_and_number(
    tmp_path: Path, line: bytes, why: str
) -> None:
    path = tmp_path / "field.jsonl"
    event = b'{"t": 0.5, "wire": "stage.port", "tx": "?"}\n'
    path.write_bytes(GOOD + event + line + b"\n" + event)
    with pytest.raises(InputError, match=why) as caught:
        read_recording(path)
    assert "Line 3" in caught.value.cause
    assert str(path) in caught.value.cause


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (GOOD.replace(b'"version": 1', b'"version": 2'), "version 2"),
        (GOOD.replace(b'"speed": 1', b'"speed": 0'), "Line 1"),
        (b'{"t": 0.5, "camera": "?"}\n', "Line 1"),
        (GOOD, "empty"),
        (b"", "empty"),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path: Path, data: bytes, why: str) -> None:
    path = tmp_path / "field.jsonl"
    path.write_bytes(data)
    with pytest.raises(InputError, match=why):
        read_recording(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_recording(tmp_path / "missing.jsonl")


def test_a_last_line_without_its_end_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "field.jsonl"
    path.write_bytes(GOOD + b'{"t": 0.5, "wire": "stage.port", "tx": "?"}\n{"t": 0.6, "wi')
    assert said(path) == [("stage.port", "tx", b"?")]


def test_the_files_stay_within_their_space_and_hold_the_newest(make: Make, tmp_path: Path) -> None:
    with make(max_mb=0.08) as recorder:
        recorder.note("stage.port", "open", "/dev/ttyUSB0")
        recorder.note("stage.port", "rx", b"Grbl 1.1h\r\n")
        for number in range(3000):
            recorder.note("camera", "frame", {"id": number})
            if number % 50 == 0:
                recorder.flush()
            if number % 1000 == 999:
                recorder.keep("STAGE-ALARM-1")
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 0.085e6
    files = ring_files(tmp_path)
    assert len(files) == 4
    assert said(files[-1])[-2:] == [("camera", "frame", {"id": 2999}), ("recorder", "end", "")]
    kept = kept_files(tmp_path)
    assert [path.name.split("-", 2)[2] for path in kept] == ["STAGE-ALARM-1.jsonl"] * 2
    for path in [*files, *kept]:
        assert said(path)[:2] == [
            ("stage.port", "open", "/dev/ttyUSB0"),
            ("stage.port", "rx", b"Grbl 1.1h\r\n"),
        ], "without its beginning a conversation is not understood"
    ids = [what["id"] for wire, _, what in said(kept[-1]) if wire == "camera"]  # type: ignore[index]
    assert ids == list(range(ids[0], 3000))


def test_a_restart_leaves_the_recording_of_the_process_before(make: Make, tmp_path: Path) -> None:
    for name in ("first", "second", "third"):
        with make() as recorder:
            recorder.note("stage.port", "open", name)
    assert [said(path)[0][2] for path in ring_files(tmp_path)] == ["first", "second", "third"]


def test_notes_that_had_no_room_are_counted(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "WAITING_NOTES", 3)
    with make() as recorder:
        for number in range(10):
            recorder.note("camera", "frame", {"id": number})
    assert said(ring_files(tmp_path)[0])[:2] == [
        ("recorder", "lost", 7),
        ("camera", "frame", {"id": 7}),
    ]


def test_a_folder_that_cannot_be_written_stops_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    with FileRecorder(tmp_path / "file" / "recorder", minutes=1.0, max_mb=1.0) as recorder:
        recorder.note("camera", "frame", {"id": 1})
        recorder.flush()
        recorder.flush()
        recorder.keep("asked")
    assert caplog.text.count("cannot write") == 1


def test_a_full_disk_cuts_no_line(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with make() as recorder:
        recorder.note("camera", "frame", {"id": 1})
        recorder.flush()
        real_write = os.write
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", lambda file, data: real_write(file, data[: len(data) // 2]))
            recorder.note("camera", "frame", {"id": 2})
            recorder.flush()
        recorder.note("camera", "frame", {"id": 3})
    assert said(ring_files(tmp_path)[0]) == [
        ("camera", "frame", {"id": 1}),
        ("recorder", "lost", 1),
        ("camera", "frame", {"id": 3}),
        ("recorder", "end", ""),
    ]


class GenerousTime:
    """Lets other threads run whenever somebody looks at the time."""

    time = staticmethod(time.time)

    def monotonic(self) -> float:
        select.select([], [], [], 0)
        return time.monotonic()


def test_many_threads_note_at_once_and_nothing_is_lost(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "time", GenerousTime())
    with make() as recorder:
        threads = [
            threading.Thread(
                target=lambda wire=f"wire{number}": [
                    recorder.note(wire, "frame", i) for i in range(500)
                ]
            )
            for number in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            recorder.flush()
            thread.join()
    heard = [entry for path in ring_files(tmp_path) for entry in said(path)]
    for number in range(4):
        assert [what for wire, _, what in heard if wire == f"wire{number}"] == list(range(500))
    assert [kind for wire, kind, _ in heard if wire == "recorder"] == ["end"]


KILLED = """
import sys
from pathlib import Path
from threading import Event
from hal.recorder.recorder import FileRecorder
from hal.recorder.recording import ring_files
folder = Path(sys.argv[1])
recorder = FileRecorder(folder, minutes=1.0, max_mb=1.0)
recorder.note("stage.port", "tx", b"$H\\n")
while not any(b"$H" in path.read_bytes() for path in ring_files(folder)):
    Event().wait(0.005)
print("written", flush=True)
Event().wait()
"""


def test_a_killed_process_leaves_its_last_minutes_and_its_lock_falls(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent.parent.parent,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"written\n"
            assert is_recording(tmp_path)
        finally:
            process.send_signal(signal.SIGKILL)
    assert not is_recording(tmp_path)
    assert said(ring_files(tmp_path)[0]) == [("stage.port", "tx", b"$H\n")]
    for _ in range(5):
        with FileRecorder(tmp_path, minutes=1.0, max_mb=1.0) as recorder:
            recorder.note("stage.port", "tx", b"?")
    [kept] = kept_files(tmp_path)
    assert kept.name == "kept-000001-died.jsonl"
    assert said(kept) == [("stage.port", "tx", b"$H\n")], "restarts do not push it out"


class Line:
    """A line of the light whose supervisor may be gone."""

    def __init__(self) -> None:
        self.live = True

    def open(self) -> None: ...

    def is_live(self) -> bool:
        return self.live

    def on(self, until_s: float) -> None:
        if not self.live:
            raise SupervisorError("LIGHT-SUPERVISOR-LOST")

    def off(self) -> None: ...

    def close(self) -> None: ...


def test_gpio_lines_tell_their_edges(make: Make, tmp_path: Path) -> None:
    gpio = FakeGpio(MemoryLines())
    gpio.setmode(gpio.BOARD)
    with make() as recorder:
        noted = RecordedGpio(gpio, recorder)
        noted.setup(33, gpio.OUT, initial=gpio.LOW)
        noted.output(33, gpio.HIGH)
        assert [noted.input(33) for _ in range(3)] == [1, 1, 1]
        noted.output(33, gpio.LOW)
        noted.cleanup(33)
    assert [what for _, _, what in said(ring_files(tmp_path)[0])] == [
        {"pin": 33, "initial": 0},
        {"pin": 33, "level": 1},
        {"pin": 33, "level": 1},
        {"pin": 33, "level": 0},
        {"pin": 33},
        "",
    ]


def test_a_line_of_the_supervisor_tells_its_leases_and_edges(make: Make, tmp_path: Path) -> None:
    line = Line()
    with make() as recorder:
        noted = RecordedLine(line, 33, recorder)
        noted.open()
        assert noted.is_live()
        noted.off()
        noted.on(time.monotonic() + 1000.0)
        noted.off()
        noted.off()
        line.live = False
        assert not noted.is_live()
        with pytest.raises(SupervisorError):
            noted.on(time.monotonic() + 1000.0)
        noted.close()
    notes = [(kind, what) for _, kind, what in said(ring_files(tmp_path)[0])]
    assert str(notes.pop(1)[1]).startswith("begun for ")
    assert notes == [
        ("lease", "connected"),
        ("driven", {"pin": 33, "level": 1}),
        ("driven", {"pin": 33, "level": 0}),
        ("lease", "ended"),
        ("lease", "not live"),
        (
            "error",
            SupervisorError("LIGHT-SUPERVISOR-LOST").as_dict(),
        ),
        ("lease", "closed"),
        ("end", ""),
    ]
