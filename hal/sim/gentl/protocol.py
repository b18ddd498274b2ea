"""Wire formats between producer and camera process; ``producer.h`` has the same numbers."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from enum import IntEnum

from hal.sim.gentl.packing import Bytes

REQUEST = struct.Struct("<4sHHQI")
ANSWER = struct.Struct("<4siI")
FRAME = struct.Struct("<4sIQQIIIIIIQ")
INFO = struct.Struct("<QQ64s64s64s64s64s")
REQUEST_MAGIC = b"LXq1"
ANSWER_MAGIC = b"LXa1"
FRAME_MAGIC = b"LXf1"
MAX_ACCESS = 1 << 20
INCOMPLETE = 1


class Operation(IntEnum):
    """What the producer asks."""

    INFO = 1
    READ = 2
    WRITE = 3
    OPEN = 4
    STREAM = 5


class Status(IntEnum):
    """Error codes of the GenTL standard that a camera answers with."""

    OK = 0
    RESOURCE_IN_USE = -1004
    ACCESS_DENIED = -1005
    IO = -1010
    INVALID_ADDRESS = -1015
    INVALID_VALUE = -1019


class WireError(Exception):
    """The other side does not keep to the protocol, or is gone; the connection is over."""


@dataclass(frozen=True)
class Request:
    """One question of the producer.

    Attributes:
        length: bytes wanted back; 0 for a write.
        data: bytes to write.
    """

    operation: Operation
    address: int
    length: int
    data: bytes


@dataclass(frozen=True)
class FrameHeader:
    """What goes before the pixels of a frame; sizes in pixels, padding in bytes per line."""

    frame_id: int
    timestamp_ns: int
    width: int
    height: int
    x_offset: int
    y_offset: int
    x_padding: int
    pixel_format: int
    incomplete: bool

    def pack(self, size: int) -> bytes:
        """Return the header of ``size`` bytes of pixels."""
        return FRAME.pack(
            FRAME_MAGIC,
            INCOMPLETE if self.incomplete else 0,
            self.frame_id,
            self.timestamp_ns,
            self.width,
            self.height,
            self.x_offset,
            self.y_offset,
            self.x_padding,
            self.pixel_format,
            size,
        )


def receive(connection: socket.socket, length: int) -> bytes:
    """Return exactly ``length`` bytes.  Raises WireError if the other side is gone."""
    data = bytearray()
    while len(data) < length:
        try:
            part = connection.recv(length - len(data))
        except OSError as error:
            raise WireError(str(error)) from error
        if not part:
            raise WireError("closed")
        data += part
    return bytes(data)


def receive_request(connection: socket.socket) -> Request:
    """Return the next question.  Raises WireError for anything that is not one."""
    magic, code, zero, address, length = REQUEST.unpack(receive(connection, REQUEST.size))
    if magic != REQUEST_MAGIC or zero != 0:
        raise WireError("not a request")
    try:
        operation = Operation(code)
    except ValueError as error:
        raise WireError(f"unknown operation {code}") from error
    is_access = operation in (Operation.READ, Operation.WRITE)
    if length > MAX_ACCESS or (is_access and length == 0):
        raise WireError(f"{length} bytes in one access")
    data = receive(connection, length) if operation is Operation.WRITE else b""
    return Request(operation, address, 0 if data else length, data)


def send_answer(connection: socket.socket, status: Status, data: bytes = b"") -> None:
    """Answer a question.  Raises WireError if the other side is gone."""
    try:
        connection.sendall(ANSWER.pack(ANSWER_MAGIC, status, len(data)) + data)
    except OSError as error:
        raise WireError(str(error)) from error


def send_frame(connection: socket.socket | None, header: FrameHeader, pixels: Bytes) -> None:
    """Send a frame.  Raises WireError if nobody listens any more."""
    if connection is None:
        raise WireError("nobody listens")
    try:
        connection.sendall(header.pack(pixels.size))
        connection.sendall(pixels.data)
    except OSError as error:
        raise WireError(str(error)) from error


def pack_info(xml_address: int, xml_size: int, texts: tuple[str, str, str, str, str]) -> bytes:
    """Return the answer to INFO; ``texts`` are serial, vendor, model, version and user's name."""
    return INFO.pack(xml_address, xml_size, *(text.encode("ascii")[:63] for text in texts))
