"""APT messages as bytes and back.  Encoding and decoding are thorlabs-apt-protocol's.

Its ``Unpacker`` is not used: fed by hand it keeps every byte it ever saw, it makes a new class for
every message, and a damaged message escapes from it as struct.error.
"""

from __future__ import annotations

import importlib
import logging
import struct
from dataclasses import dataclass
from typing import Any, TypeAlias

from hal.errors import DeviceError

log = logging.getLogger(__name__)

HOST = 0x01
HEADER = struct.Struct("<HHBB")
LONG_FORM = 0x80
LONGEST_DATA = 255
STOP_PROFILED = 2
ENABLE, DISABLE = 1, 2

# What stops a channel by itself, the most telling first; controllers without one of these leave
# its bit clear.
FAULTS: dict[str, str] = {
    "motion_error": "the axis does not follow",
    "instrument_error": "the controller reports a fault of the instrument",
    "overtemp": "the motor or its driver is too hot",
    "voltage_fault": "the supply voltage is wrong",
    "commutation_error": "the motor's commutation failed",
    "encoder_fault": "the encoder failed",
    "overcurrent": "the motor current was too high",
    "current_fault": "the motor current is wrong",
    "error": "the controller reports an error",
}


@dataclass(frozen=True)
class Status:
    """State of one channel.

    Attributes:
        source: address of the controller, or of its bay.
        channel: number of the channel there.
        position_counts: encoder counts from where homing ended.
        faults: keys of :data:`FAULTS`.
    """

    source: int
    channel: int
    position_counts: int
    moving: bool
    homing: bool
    homed: bool
    settled: bool
    enabled: bool
    forward_limit: bool
    reverse_limit: bool
    faults: tuple[str, ...]


@dataclass(frozen=True)
class Done:
    """A homing or a move has ended; ``kind`` is ``homed``, ``completed`` or ``stopped``."""

    source: int
    channel: int
    kind: str


@dataclass(frozen=True)
class Info:
    """Who the controller says it is."""

    source: int
    model: str
    firmware: str


@dataclass(frozen=True)
class Complaint:
    """An error the controller reports by itself."""

    source: int
    text: str


Message: TypeAlias = Status | Done | Info | Complaint

_DONE = {
    "mot_move_homed": "homed",
    "mot_move_completed": "completed",
    "mot_move_stopped": "stopped",
}


class AptCodec:
    """Encodes orders and decodes answers.

    Raises:
        DeviceError: the library is not installed.
    """

    def __init__(self) -> None:
        try:
            self._library: Any = importlib.import_module("thorlabs_apt_protocol")
            parsing = importlib.import_module("thorlabs_apt_protocol.parsing")
        except ImportError as error:
            raise DeviceError("STAGE-LIBRARY", reason=error) from error
        self._parsers: dict[int, Any] = parsing.id_to_func

    def encode(self, message: str, address: int, **values: int) -> bytes:
        """Return the bytes of ``message``, named as the library does, to ``address``."""
        encoder = getattr(self._library, message)
        return bytes(encoder(dest=address, source=HOST, **values))

    def is_known(self, message_id: int) -> bool:
        """Return whether ``message_id`` is one a controller sends."""
        return message_id in self._parsers

    def decode(self, frame: bytes) -> Message | None:
        """Return what a whole frame means; None for what is of no use here or is damaged."""
        try:
            told = self._parsers[HEADER.unpack_from(frame)[0]](frame)
        except (struct.error, AssertionError, UnicodeDecodeError) as error:
            log.warning("damaged message from the stage: %s (%s)", frame.hex(), error)
            return None
        name, source = told["msg"], told["source"]
        if name in ("mot_get_dcstatusupdate", "mot_get_statusupdate"):
            return _status(told)
        if name in _DONE:
            return Done(source, told["chan_ident"], _DONE[name])
        if name == "hw_get_info":
            firmware = ".".join(str(part) for part in told["firmware_version"])
            return Info(source, _text(told["model_number"]), firmware)
        if name == "hw_richresponse":
            return Complaint(source, f"{_text(told['notes'])} (code {told['code']})")
        return Complaint(source, "unknown error") if name == "hw_response" else None


class FrameReader:
    """Cuts a stream of bytes, which may come in any pieces, into frames.

    There is no checksum and no mark of a beginning, so bytes that cannot begin a frame are skipped
    one by one.
    """

    def __init__(self, codec: AptCodec, sources: frozenset[int]) -> None:
        self._codec = codec
        self._sources = sources
        self._buffer = bytearray()

    def clear(self) -> None:
        """Forget a frame that began and never ended."""
        self._buffer.clear()

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes and return the frames that are now whole."""
        self._buffer += data
        frames = []
        while len(self._buffer) >= HEADER.size:
            size = self._frame_size()
            if size is None:
                del self._buffer[0]
                continue
            if len(self._buffer) < size:
                break
            frames.append(bytes(self._buffer[:size]))
            del self._buffer[:size]
        return frames

    def _frame_size(self) -> int | None:
        """Return the length of the frame that begins the buffer; None if no frame does."""
        message_id, length, destination, source = HEADER.unpack_from(self._buffer)
        to_host = destination & ~LONG_FORM in (0, HOST)
        if not (to_host and source in self._sources and self._codec.is_known(message_id)):
            return None
        if not destination & LONG_FORM:
            return HEADER.size
        return HEADER.size + length if length <= LONGEST_DATA else None


def _status(told: dict[str, Any]) -> Status:
    moves = ("moving_forward", "moving_reverse", "jogging_forward", "jogging_reverse")
    return Status(
        source=told["source"],
        channel=told["chan_ident"],
        position_counts=told["position"],
        moving=any(told[key] for key in moves),
        homing=told["homing"],
        homed=told["homed"],
        settled=told["settled"],
        enabled=told["channel_enabled"],
        forward_limit=told["forward_limit_switch"],
        reverse_limit=told["reverse_limit_switch"],
        faults=tuple(name for name in FAULTS if told[name]),
    )


def _text(raw: bytes) -> str:
    return raw.split(b"\0")[0].decode("ascii", errors="replace").strip()
