"""How two protocols cut a stream into messages, and which of these only ask.

A driver asks for the state as often as its clock says, so the number of questions differs from one
time to the next; the orders do not.  A replay answers the first and insists on the second.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, Protocol

from hal.stage.apt.messages import HEADER, LONG_FORM

_REQUEST_STATUS: Final = {0x0490: 0x0491, 0x0480: 0x0481}
_STATUS: Final = frozenset(_REQUEST_STATUS.values())
_ACKNOWLEDGE: Final = 0x0492


class Dialect(Protocol):
    """One direction each of a conversation; keeps what is not whole yet."""

    def sent(self, data: bytes) -> list[bytes]:
        """Take bytes of the host and return the messages that are now whole."""

    def heard(self, data: bytes) -> list[bytes]:
        """The same for the controller."""

    def question(self, message: bytes) -> Hashable | None:
        """Return what a message of the host asks, None for an order."""

    def report(self, message: bytes) -> Hashable | None:
        """Return which question a message of the controller answers, None for any other."""

    def is_idle_talk(self, message: bytes) -> bool:
        """Return whether a message of the host changes nothing and wants no answer."""


class GrblDialect:
    """Lines, and single bytes that are heard at once."""

    def __init__(self) -> None:
        self._sent = bytearray()
        self._heard = bytearray()

    def sent(self, data: bytes) -> list[bytes]:
        """Take bytes of the host and return the messages that are now whole."""
        messages = []
        for byte in data:
            if byte in b"?!~\x18" or byte >= 0x80:
                messages.append(bytes([byte]))
                continue
            self._sent.append(byte)
            if byte == ord("\n"):
                messages.append(bytes(self._sent))
                self._sent.clear()
        return messages

    def heard(self, data: bytes) -> list[bytes]:
        """Take bytes of the controller and return its lines that are now whole."""
        *lines, rest = (bytes(self._heard) + data).split(b"\n")
        self._heard[:] = rest
        return [line + b"\n" for line in lines]

    def question(self, message: bytes) -> Hashable | None:
        """Return what a message of the host asks, None for an order."""
        return "?" if message == b"?" else None

    def report(self, message: bytes) -> Hashable | None:
        """Return whether a line is a status report."""
        return "?" if message.startswith(b"<") else None

    def is_idle_talk(self, message: bytes) -> bool:
        """Return whether a line is empty."""
        return not message.strip()


class AptDialect:
    """Headers of six bytes, some with data behind them."""

    def __init__(self) -> None:
        self._sent = bytearray()
        self._heard = bytearray()

    def sent(self, data: bytes) -> list[bytes]:
        """Take bytes of the host and return the messages that are now whole."""
        return _frames(self._sent, data)

    def heard(self, data: bytes) -> list[bytes]:
        """The same for the controller."""
        return _frames(self._heard, data)

    def question(self, message: bytes) -> Hashable | None:
        """Return the kind of the status, address and channel, None for an order."""
        number, channel, destination, _ = HEADER.unpack_from(message)
        answer = _REQUEST_STATUS.get(number)
        return None if answer is None else (answer, destination, channel & 0xFF)

    def report(self, message: bytes) -> Hashable | None:
        """Return the same of a status."""
        number, _, _, source = HEADER.unpack_from(message)
        if number not in _STATUS or len(message) == HEADER.size:
            return None
        return (number, source, message[HEADER.size])

    def is_idle_talk(self, message: bytes) -> bool:
        """Return whether it only says that the host is alive."""
        return bool(HEADER.unpack_from(message)[0] == _ACKNOWLEDGE)


def dialect_of(sent: bytes) -> Dialect:
    """Return the dialect that a host spoke: every APT header has a zero in it, GRBL knows none."""
    return AptDialect() if b"\0" in sent else GrblDialect()


def _frames(buffer: bytearray, data: bytes) -> list[bytes]:
    buffer += data
    frames = []
    while len(buffer) >= HEADER.size:
        _, length, destination, _ = HEADER.unpack_from(buffer)
        size = HEADER.size + (length if destination & LONG_FORM else 0)
        if len(buffer) < size:
            break
        frames.append(bytes(buffer[:size]))
        del buffer[:size]
    return frames
