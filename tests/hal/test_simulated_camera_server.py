"""The simulated camera's end of the wire, when its threads are late at the worst moment."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from hal.sim.gentl import server as server_module
from hal.sim.gentl.features import Chip, features_of
from hal.sim.gentl.protocol import (
    ANSWER,
    FRAME,
    REQUEST,
    REQUEST_MAGIC,
    Operation,
    Status,
    receive,
    send_answer,
)
from hal.sim.gentl.registers import REGISTERS_ADDRESS
from hal.sim.gentl.scenes import Pattern
from hal.sim.gentl.server import CameraServer

CHIP = Chip("SIM-1", 80, 64)
PATIENCE_S = 10.0


@pytest.fixture
def camera(tmp_path: Path) -> Iterator[CameraServer]:
    """A plugged-in camera that runs free when it is started."""
    camera = CameraServer(CHIP, Pattern, lambda start_s, end_s: ((0, 0, 0), 1), tmp_path / "s")
    camera.frames.prepare(CHIP.width_px, CHIP.height_px)
    camera.plug_in()
    yield camera
    camera.close()


def connected(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(PATIENCE_S)
    connection.connect(str(path))
    return connection


def ask(connection: socket.socket, operation: Operation, data: bytes = b"", at: int = 0) -> int:
    connection.sendall(REQUEST.pack(REQUEST_MAGIC, operation, 0, at, len(data)) + data)
    return int(ANSWER.unpack(receive(connection, ANSWER.size))[1])


def command(connection: socket.socket, name: str) -> None:
    number = [feature.name for feature in features_of(CHIP)].index(name)
    at = REGISTERS_ADDRESS + 64 * number
    assert ask(connection, Operation.WRITE, struct.pack("<q", 1), at) == Status.OK


def test_a_frame_that_is_faster_than_the_thread_of_its_stream_is_not_lost(
    camera: CameraServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = Event()

    def answer_and_be_late(connection: socket.socket, status: Status, data: bytes = b"") -> None:
        monkeypatch.undo()
        send_answer(connection, status, data)
        go_on.wait(2.0 * PATIENCE_S)

    with connected(tmp_path / "s") as control, connected(tmp_path / "s") as stream:
        assert ask(control, Operation.OPEN) == Status.OK
        monkeypatch.setattr(server_module, "send_answer", answer_and_be_late)
        assert ask(stream, Operation.STREAM) == Status.OK
        command(control, "AcquisitionStart")
        frame_id = FRAME.unpack(receive(stream, FRAME.size))[2]
        go_on.set()
    assert frame_id == 0


def test_whoever_opens_it_anew_waits_until_it_has_put_itself_in_order(
    camera: CameraServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tidied, stop = Event(), camera.frames.stop
    statuses: list[int] = []

    def stop_late() -> None:
        tidied.wait(PATIENCE_S)
        stop()

    with connected(tmp_path / "s") as before:
        assert ask(before, Operation.OPEN) == Status.OK
        monkeypatch.setattr(camera.frames, "stop", stop_late)
    with connected(tmp_path / "s") as after:
        opening = Thread(target=lambda: statuses.append(ask(after, Operation.OPEN)))
        opening.start()
        # Longer than a camera that is in use takes to say so.
        opening.join(0.5)
        assert statuses == []
        tidied.set()
        opening.join(PATIENCE_S)
        command(after, "AcquisitionStart")
    assert statuses == [Status.OK]


def test_a_camera_in_use_says_so_at_once(camera: CameraServer, tmp_path: Path) -> None:
    with connected(tmp_path / "s") as owner, connected(tmp_path / "s") as other:
        assert ask(owner, Operation.OPEN) == Status.OK
        assert ask(other, Operation.OPEN) == Status.RESOURCE_IN_USE
