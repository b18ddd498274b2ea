"""The simulated producer and its camera process: building, bad input, and what is not allowed."""

from __future__ import annotations

import socket
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from genicam_rig import shoot
from hypothesis import given
from hypothesis import strategies as st

from hal.camera.genicam.driver import GenicamCamera
from hal.clock import SystemClock
from hal.config import CameraConfig
from hal.errors import CameraError, DeviceError
from hal.sim.gentl.build import COMPILERS, build_producer
from hal.sim.gentl.features import Chip
from hal.sim.gentl.process import CameraProcess, ProducerFolder
from hal.sim.gentl.protocol import (
    ANSWER,
    INFO,
    REQUEST,
    REQUEST_MAGIC,
    Operation,
    Status,
    WireError,
    receive_request,
)
from hal.sim.gentl.registers import DESCRIPTION_ADDRESS, REGISTERS_ADDRESS, Registers
from hal.sim.gentl.world_link import WorldClient, WorldServer

# -- building --------------------------------------------------------------------------------------


def test_it_is_compiled_once(gentl: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = build_producer(tmp_path / "cache")
    monkeypatch.setenv("PATH", "")
    assert build_producer(tmp_path / "cache") == built
    assert [path.name for path in built.parent.iterdir()] == [built.name]


def test_without_a_compiler_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(DeviceError, match="no C compiler") as caught:
        build_producer(tmp_path / "cache")
    assert "apt install gcc" in caught.value.remedy


def test_a_compiler_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / COMPILERS[0]
    broken.write_text("#!/bin/sh\necho out of order >&2\nexit 1\n", encoding="utf-8")
    broken.chmod(broken.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setenv("CC", str(broken))
    with pytest.raises(DeviceError, match="out of order"):
        build_producer(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cache_that_cannot_be_made_is_named(gentl: None, tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"")
    with pytest.raises(DeviceError, match=str(tmp_path / "cache")):
        build_producer(tmp_path / "cache")


# -- the process -----------------------------------------------------------------------------------


@pytest.mark.parametrize("counts", [{"explode": 1}, {"drop": -1}, {"drop": "x"}, {"drop": True}])
def test_a_fault_that_does_not_exist_is_refused(
    camera_process: CameraProcess, counts: dict[str, float]
) -> None:
    with pytest.raises(ValueError, match=next(iter(counts))):
        camera_process.inject(**counts)


def test_a_process_that_cannot_start_is_an_error(gentl: None, capfd: object) -> None:
    folder = ProducerFolder()
    with pytest.raises(DeviceError, match="does not answer"):
        CameraProcess(folder, "SIM-1", ["--width-px", "81", "--height-px", "64"])
    folder.close()


def test_closing_twice_is_harmless_and_ends_the_process(gentl: None) -> None:
    folder = ProducerFolder()
    process = CameraProcess(folder, "SIM-1", ["--scene", "pattern", "--width-px", "80"])
    process.close()
    process.close()
    with pytest.raises(DeviceError):
        process.inject(drop=1)
    folder.close()
    folder.close()
    assert not folder.path.exists()


# -- bad input on the camera's socket --------------------------------------------------------------


def connected(process: CameraProcess) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(10.0)
    connection.connect(str(process.producer.parent / f"{process.serial}.sock"))
    return connection


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        REQUEST.pack(b"LXq2", Operation.READ, 0, 0, 8),
        REQUEST.pack(REQUEST_MAGIC, 77, 0, 0, 8),
        REQUEST.pack(REQUEST_MAGIC, Operation.READ, 1, 0, 8),
        REQUEST.pack(REQUEST_MAGIC, Operation.WRITE, 0, 0, 2**32 - 1),
        REQUEST.pack(REQUEST_MAGIC, Operation.WRITE, 0, 0, 0),
    ],
)
def test_whoever_does_not_keep_to_the_protocol_is_cut_off_and_nobody_else(
    camera: GenicamCamera, camera_process: CameraProcess, data: bytes
) -> None:
    with connected(camera_process) as stranger:
        stranger.sendall(data)
        try:
            answer = stranger.recv(1)
        except ConnectionResetError:
            answer = b""
    assert answer == b""
    shoot(camera)


def test_registers_are_for_the_owner_alone(camera_process: CameraProcess) -> None:
    with connected(camera_process) as stranger:
        stranger.sendall(REQUEST.pack(REQUEST_MAGIC, Operation.READ, 0, REGISTERS_ADDRESS, 8))
        _, status, length = ANSWER.unpack(stranger.recv(ANSWER.size))
    assert (status, length) == (Status.ACCESS_DENIED, 0)


@given(st.binary(min_size=REQUEST.size, max_size=64))
def test_no_bytes_are_taken_for_a_request_that_they_are_not(data: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        try:
            request = receive_request(ours)
        except WireError:
            return
    assert data.startswith(REQUEST_MAGIC)
    assert request.operation in Operation


# -- the link to the world -------------------------------------------------------------------------


def test_the_world_tells_place_and_light() -> None:
    asked: list[tuple[float, float]] = []

    def world_at(start_s: float, end_s: float) -> tuple[tuple[float, float, float], float]:
        asked.append((start_s, end_s))
        return (1.0, 2.0, 3.0), 0.25

    server = WorldServer(world_at)
    client = WorldClient(server.theirs)
    assert client.ask(10.5, 11.0) == ((1.0, 2.0, 3.0), 0.25)
    assert asked == [(10.5, 11.0)]
    server.close()
    server.close()


def test_the_world_answers_nothing_but_questions() -> None:
    server = WorldServer(lambda start_s, end_s: pytest.fail("nothing was asked"))
    server.theirs.settimeout(10.0)
    server.theirs.sendall(b"not a question of this length at all")
    assert server.theirs.recv(1) == b""
    server.close()


# -- bad answers of a camera -----------------------------------------------------------------------


IMPOSTOR = """
import socket, sys
listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
listener.bind(sys.argv[1])
listener.listen()
print("ready", flush=True)
while True:
    connection, _ = listener.accept()
    with connection:
        try:
            connection.recv(20)
            connection.sendall(bytes.fromhex(sys.argv[2]))
        except OSError:
            pass
"""


@contextmanager
def impostor(path: Path, answer: bytes) -> Iterator[None]:
    """Answer every question with the same bytes.

    In a process of its own, because the libraries that ask let no thread run meanwhile.
    """
    command = [sys.executable, "-S", "-E", "-c", IMPOSTOR, str(path), answer.hex()]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.stdout.close()
        yield
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def folder(gentl: None) -> Iterator[ProducerFolder]:
    folder = ProducerFolder()
    yield folder
    folder.close()


def info(size: int, serial: bytes = b"X") -> bytes:
    return INFO.pack(DESCRIPTION_ADDRESS, size, serial, b"v", b"m", b"1", b"")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"rubbish that is not an answer",
        ANSWER.pack(b"LXa1", 0, 5) + b"short",
        ANSWER.pack(b"LXa1", 7, 0),
        ANSWER.pack(b"LXa1", 0, INFO.size) + b"half",
        ANSWER.pack(b"LXa1", 0, INFO.size) + info(0),
        ANSWER.pack(b"LXa1", 0, INFO.size) + info(2**60),
    ],
)
def test_the_producer_passes_over_what_is_not_a_camera(
    folder: ProducerFolder, wire_config: CameraConfig, answer: bytes
) -> None:
    config = wire_config.model_copy(update={"producer": str(folder.producer)})
    with impostor(folder.path / "a.sock", answer):
        assert GenicamCamera(config, SystemClock()).find() == []


def test_a_camera_that_stops_making_sense_is_an_error_not_a_crash(
    folder: ProducerFolder, wire_config: CameraConfig
) -> None:
    answer = ANSWER.pack(b"LXa1", 0, INFO.size) + info(4096, b"Y" * 64)
    changes = {"producer": str(folder.producer), "serial": ""}
    camera = GenicamCamera(wire_config.model_copy(update=changes), SystemClock())
    with impostor(folder.path / "a.sock", answer):
        assert [found.serial for found in camera.find()] == ["Y" * 63]
        with pytest.raises(CameraError):
            camera.open()


def test_a_socket_file_without_a_camera_is_passed_over(
    folder: ProducerFolder, wire_config: CameraConfig
) -> None:
    (folder.path / "dead.sock").write_bytes(b"")
    config = wire_config.model_copy(update={"producer": str(folder.producer)})
    assert GenicamCamera(config, SystemClock()).find() == []


def test_two_copies_of_the_producer_know_nothing_of_each_other(
    folder: ProducerFolder, camera: GenicamCamera, wire_config: CameraConfig
) -> None:
    other = wire_config.model_copy(update={"producer": str(folder.producer)})
    assert GenicamCamera(other, SystemClock()).find() == []
    shoot(camera)


# -- registers -------------------------------------------------------------------------------------


@given(
    st.integers(0, 0x3000) | st.integers(DESCRIPTION_ADDRESS, DESCRIPTION_ADDRESS + 40_000),
    st.binary(min_size=1, max_size=16),
    st.integers(0, 100),
)
def test_registers_survive_every_access(address: int, data: bytes, length: int) -> None:
    registers = Registers(Chip("S", 80, 64), lambda command: None, lambda: 20.0)
    registers.write(address, data)
    status, answer = registers.read(address, length)
    assert (status is Status.OK) == (len(answer) == length and length > 0)
    how = registers.exposing()
    assert 16 <= how.width_px <= 80
    assert 0 <= how.x_offset_px <= 80 - how.width_px
    assert how.exposure_us > 0.0


@given(st.floats())
def test_no_exposure_outside_the_range_is_taken(exposure_us: float) -> None:
    registers = Registers(Chip("S", 80, 64), lambda command: None, lambda: 20.0)
    address = next(
        REGISTERS_ADDRESS + 64 * number
        for number in range(60)
        if registers.read(REGISTERS_ADDRESS + 64 * number, 8)[1] == struct.pack("<d", 10_000.0)
    )
    status = registers.write(address, struct.pack("<d", exposure_us))
    assert (status is Status.OK) == (20.0 <= exposure_us <= 1e6)
