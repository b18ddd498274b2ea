"""An APT controller as a function of time: bytes in, bytes out, no threads and no real clock.

Written from the protocol's description alone, with none of the code that talks to it.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from hal.sim.apt.axis import SimulatedAxis

HOST = 0x01
MOTHERBOARD = 0x11
LONG = 0x80
UNACKNOWLEDGED_REPORTS = 50
UNACKNOWLEDGED_S = 1.0
UPDATE_S = 0.1
CHANNEL = 1

REMEMBERED_ORDERS = 10_000


class Id(IntEnum):
    """Numbers of the messages."""

    REQ_INFO = 0x0005
    GET_INFO = 0x0006
    START_UPDATES = 0x0011
    STOP_UPDATES = 0x0012
    SET_ENABLED = 0x0210
    REQ_ENABLED = 0x0211
    GET_ENABLED = 0x0212
    SET_VELOCITY = 0x0413
    HOME = 0x0443
    HOMED = 0x0444
    MOVE_ABSOLUTE = 0x0453
    COMPLETED = 0x0464
    STOP = 0x0465
    STOPPED = 0x0466
    REQ_STATUS = 0x0490
    GET_STATUS = 0x0491
    ACKNOWLEDGE = 0x0492


@dataclass
class AptFaults:
    """Faults of the line: numbers count messages down."""

    lost_moves: int = 0
    lost_reports: int = 0
    lost_completions: int = 0
    noise_bytes: int = 0
    unsigned_completions: bool = False
    silent: bool = False
    fragment_bytes: int = 0


@dataclass
class _Bay:
    """One channel: its axis, and what it still has to report."""

    axis: SimulatedAxis
    unacknowledged: int = 0
    oldest_s: float = 0.0
    updates: bool = False
    next_update_s: float = 0.0
    stopping: bool = False


@dataclass
class AptController:
    """An :class:`~hal.sim.serial.pseudo_terminal.EmulatedController` with its bays.

    Attributes:
        axes: by address.
        model: what it calls itself.
        faults: switches.
        orders: the last messages understood, as (time, address, id), for tests.
    """

    axes: Mapping[int, SimulatedAxis]
    model: str
    faults: AptFaults = field(default_factory=AptFaults)
    orders: deque[tuple[float, int, int]] = field(
        default_factory=lambda: deque(maxlen=REMEMBERED_ORDERS)
    )

    def __post_init__(self) -> None:
        self._bays = {address: _Bay(axis) for address, axis in self.axes.items()}
        self._in = bytearray()
        self._out = bytearray()

    @property
    def has_work(self) -> bool:
        """Whether something moves, is to be reported unasked, or waits to be sent."""
        return bool(self._out) or any(
            bay.axis.end_s is not None or bay.updates for bay in self._bays.values()
        )

    def connected(self, now_s: float) -> None:
        """A host opened the port: opening restarts nothing."""
        self.advance(now_s)
        self._in.clear()
        self._out.clear()

    def powered_off(self, now_s: float) -> None:
        """Forget everything; the axes stay where they are."""
        self.advance(now_s)
        for bay in self._bays.values():
            bay.axis.power_off(now_s)
            bay.unacknowledged, bay.updates, bay.stopping = 0, False, False
        self._in.clear()
        self._out.clear()

    def exchange(self, data: bytes, now_s: float) -> list[bytes]:
        """Take bytes of the host and return what is sent to it."""
        self.advance(now_s)
        if self.faults.silent:
            self._in.clear()
            self._out.clear()
            return []
        self._in += data
        while (message := self._next_message()) is not None:
            if message[0] == Id.MOVE_ABSOLUTE and self.faults.lost_moves > 0:
                self.faults.lost_moves -= 1
                continue
            self._obey(*message, now_s)
        size = self.faults.fragment_bytes or len(self._out)
        piece = bytes(self._out[:size])
        del self._out[:size]
        return [piece] if piece else []

    def advance(self, now_s: float) -> None:
        """Let everything happen that is due until ``now_s``."""
        for address, bay in self._bays.items():
            end_s = bay.axis.end_s
            if end_s is not None and end_s <= now_s:
                self._end_motion(address, bay, end_s)
            while bay.updates and bay.next_update_s <= now_s:
                self._report(Id.GET_STATUS, address, bay, bay.next_update_s)
                bay.next_update_s += UPDATE_S

    def _end_motion(self, address: int, bay: _Bay, end_s: float) -> None:
        homed = bay.axis.finish(end_s)
        if self.faults.lost_completions > 0:
            self.faults.lost_completions -= 1
        elif homed:
            self._say(Id.HOMED, address, CHANNEL)
        elif bay.axis.enabled:
            message = Id.STOPPED if bay.stopping else Id.COMPLETED
            self._report(message, address, bay, end_s)
        bay.stopping = False

    def _next_message(self) -> tuple[int, int, int, int, bytes] | None:
        """Return id, address, both parameters and data of the next whole message."""
        if len(self._in) < 6:
            return None
        message_id, first, second, to, _ = struct.unpack_from("<HBBBB", self._in)
        size = 6 + (first + 256 * second if to & LONG else 0)
        if len(self._in) < size:
            return None
        data = bytes(self._in[6:size])
        del self._in[:size]
        return message_id, to & ~LONG, first, second, data

    def _obey(
        self, message_id: int, address: int, first: int, second: int, data: bytes, now_s: float
    ) -> None:
        self.orders.append((now_s, address, message_id))
        bay = self._bays.get(address)
        if bay is None:
            if message_id == Id.REQ_INFO and address == MOTHERBOARD:
                self._say_info(address)
            return
        match message_id:
            case Id.REQ_INFO:
                self._say_info(address)
            case Id.START_UPDATES | Id.STOP_UPDATES:
                bay.updates = message_id == Id.START_UPDATES
                bay.next_update_s = now_s + UPDATE_S
            case Id.REQ_ENABLED:
                self._say(Id.GET_ENABLED, address, CHANNEL, 1 if bay.axis.enabled else 2)
            case Id.REQ_STATUS:
                self._report(Id.GET_STATUS, address, bay, now_s)
            case Id.ACKNOWLEDGE:
                bay.unacknowledged = 0
            case _:
                self._drive(bay, message_id, second, data, now_s)

    def _drive(self, bay: _Bay, message_id: int, second: int, data: bytes, now_s: float) -> None:
        """Obey what concerns the motor."""
        axis = bay.axis
        match message_id:
            case Id.SET_ENABLED:
                axis.enable(second == 1, now_s)
            case Id.SET_VELOCITY:
                _, _, acceleration, speed = struct.unpack("<H3l", data)
                axis.set_speed(speed, acceleration)
            case Id.HOME:
                axis.home(now_s)
            case Id.MOVE_ABSOLUTE:
                axis.move(struct.unpack("<Hl", data)[1], now_s)
            case Id.STOP:
                bay.stopping = axis.end_s is not None
                axis.stop(now_s)

    def _say_info(self, address: int) -> None:
        model = self.model.encode("ascii").ljust(8, b"\0")
        data = struct.pack("<l8sH4B", 83_000_000 + address, model, 44, 7, 1, 3, 0)
        data += bytes(60) + struct.pack("<HHH", 3, 1, len(self._bays))
        self._send(struct.pack("<HHBB", Id.GET_INFO, len(data), HOST | LONG, address) + data)

    def _report(self, message_id: int, address: int, bay: _Bay, now_s: float) -> None:
        """Send a report with the status in it, unless the host seems to be gone."""
        unheard_s = now_s - bay.oldest_s if bay.unacknowledged else 0.0
        if bay.unacknowledged >= UNACKNOWLEDGED_REPORTS or unheard_s > UNACKNOWLEDGED_S:
            return
        if bay.unacknowledged == 0:
            bay.oldest_s = now_s
        bay.unacknowledged += 1
        data = struct.pack(
            "<HlhHL", CHANNEL, bay.axis.counts(now_s), 0, 0, int(bay.axis.bits(now_s))
        )
        unsigned = self.faults.unsigned_completions and message_id != Id.GET_STATUS
        source = 0 if unsigned else address
        self._send(struct.pack("<HHBB", message_id, len(data), HOST | LONG, source) + data)

    def _say(self, message_id: int, address: int, first: int = 0, second: int = 0) -> None:
        self._send(struct.pack("<HBBBB", message_id, first, second, HOST, address))

    def _send(self, message: bytes) -> None:
        if self.faults.lost_reports > 0:
            self.faults.lost_reports -= 1
            return
        if self.faults.noise_bytes > 0:
            self._out += bytes([0x91, 0x04, 0xFF] * self.faults.noise_bytes)[
                : self.faults.noise_bytes
            ]
            self.faults.noise_bytes = 0
        self._out += message
