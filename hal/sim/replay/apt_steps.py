"""The APT driver's messages led through a recorded conversation, order by order."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence

from hal.clock import Clock
from hal.errors import InputError, LeukoluxError
from hal.recorder.recording import Recording
from hal.sim.replay.controller import Step, read_steps
from hal.sim.replay.dialects import AptDialect
from hal.sim.replay.emulator import ReplayEmulator
from hal.stage.apt.bus import AptBus
from hal.stage.apt.messages import FAULTS, HEADER, AptCodec, Done, Status

MOST_S = 120.0
"""Recorded seconds that are waited after one order at the most."""

ANSWER_TIMEOUT_S = 5.0
_POLL_S = 0.02
_BAUD = 115200
_MOTION = struct.Struct("<Hl")
_SPEED = struct.Struct("<Hlll")
_QUESTIONS = {0x0491: "mot_req_dcstatusupdate", 0x0481: "mot_req_statusupdate"}

Orders = Sequence[tuple[str, Step]]


def step_through_apt(recording: Recording, clock: Clock) -> Iterator[str]:
    """Give every recorded order as the driver says it today; yield a line on each outcome.

    Args:
        recording: of APT controllers.
        clock: paces the answers.

    Raises:
        DeviceError: the library for the protocol is not installed.
        InputError: the driver says an order otherwise than it was recorded; names the line.
    """
    codec = AptCodec()
    with ReplayEmulator(recording, clock) as replay:
        conversations = {
            wire: read_steps(recording.of(wire), AptDialect()) for wire in replay.ports
        }
        listener = _Listener()
        buses = {
            wire: listener.bus(replay.ports[wire], wire, codec, steps)
            for wire, steps in conversations.items()
        }
        orders = sorted(
            ((wire, step) for wire, steps in conversations.items() for step in steps),
            key=lambda pair: pair[1].t_s,
        )
        walk = _Walk(buses, listener, clock, recording.speed)
        try:
            for (wire, step), following in zip(orders, [*orders[1:], None], strict=True):
                outcome = walk.outcome(wire, step, following[1].t_s if following else None)
                replay.check()
                yield f"line {step.line}: {wire}: {_shown(step)}: {outcome}"
        finally:
            for bus in buses.values():
                bus.close()


class _Listener:
    """Keeps what controllers said, in words."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.states: dict[tuple[int, int], Status] = {}

    def bus(self, port: str, wire: str, codec: AptCodec, steps: Sequence[Step]) -> AptBus:
        """Return a bus with everybody on it that was ever spoken to."""
        orders = [step.order for step in steps if step.order is not None]
        addresses = {HEADER.unpack_from(order)[2] & 0x7F for order in orders}
        bus = AptBus(port, _BAUD, wire, codec, frozenset(addresses))
        channels = {question[1:] for step in steps for question in _questions(step)}
        for address, channel in channels | {(address, 1) for address in addresses}:
            bus.listen(address, channel, self._take)
        return bus

    def _take(self, message: Status | Done) -> None:
        if isinstance(message, Done):
            self.said.append(f"{_place(message)} {message.kind}")
        else:
            self.states[message.source, message.channel] = message


class _Walk:
    """Gives orders and waits for what follows."""

    def __init__(
        self, buses: Mapping[str, AptBus], listener: _Listener, clock: Clock, speed: float
    ) -> None:
        self._buses = buses
        self._listener = listener
        self._clock = clock
        self._speed = speed

    def outcome(self, wire: str, step: Step, next_s: float | None) -> str:
        """Give an order; return what came of it until the next one, or until the last answer."""
        self._listener.said.clear()
        self._listener.states.clear()
        bus = self._buses[wire]
        try:
            if step.order is None:
                bus.close()
                bus.open()
            else:
                name, address, values = _order(step.order)
                bus.send(name, address, **values)
            self._wait(_lasts_s(step, next_s))
            # What is due takes a moment of real time to come: its first byte, then the rest.
            for _ in range(2 if step.said else 1):
                bus.pump(blocking=bool(step.said))
            for number, address, channel in _questions(step):
                self._ask(bus, number, address, channel)
        except LeukoluxError as error:
            return str(error)
        return "; ".join(self._heard(bus)) or "silence"

    def _wait(self, recorded_s: float) -> None:
        end_s = self._clock.monotonic_s() + recorded_s * self._speed
        while True:
            self._pump()
            left_s = end_s - self._clock.monotonic_s()
            if left_s <= 0.0:
                return
            self._clock.sleep(min(left_s, _POLL_S))

    def _ask(self, bus: AptBus, number: int, address: int, channel: int) -> None:
        """Ask for the state as it is by now."""
        bus.send(_QUESTIONS[number], address, chan_ident=channel)
        end_s = self._clock.monotonic_s() + ANSWER_TIMEOUT_S
        while (address, channel) not in self._listener.states:
            self._pump()
            if self._clock.monotonic_s() > end_s:
                return
            self._clock.sleep(_POLL_S)

    def _pump(self) -> None:
        for bus in self._buses.values():
            if bus.is_open:
                bus.pump(blocking=False)

    def _heard(self, bus: AptBus) -> list[str]:
        infos = [f"{info.model} {info.firmware}" for info in bus.infos.values()]
        complaints = [complaint.text for complaint in bus.complaints]
        bus.infos.clear()
        bus.complaints.clear()
        states = [_state(status) for status in self._listener.states.values()]
        return [*infos, *self._listener.said, *complaints, *states]


def _questions(step: Step) -> list[tuple[int, int, int]]:
    """Return number of the answer, address and channel of what was asked after an order."""
    return [question for question in step.reports if isinstance(question, tuple)]


def _lasts_s(step: Step, next_s: float | None) -> float:
    delays_s = [
        delay_s for answers in (step.said, *step.reports.values()) for delay_s, _ in answers
    ]
    last_s = max(delays_s, default=0.0)
    return min(last_s, MOST_S, MOST_S if next_s is None else next_s - step.t_s)


def _order(data: bytes) -> tuple[str, int, dict[str, int]]:
    """Return name, address and values with which the driver says an order."""
    number, first, to, _ = HEADER.unpack_from(data)
    address, channel, second = to & 0x7F, first & 0xFF, first >> 8
    body = data[HEADER.size :]
    match number:
        case 0x0005:
            return "hw_req_info", address, {}
        case 0x0012:
            return "hw_stop_updatemsgs", address, {}
        case 0x0018:
            return "hw_no_flash_programming", address, {}
        case 0x0210:
            state = {"chan_ident": channel, "enable_state": second}
            return "mod_set_chanenablestate", address, state
        case 0x0413 if len(body) == _SPEED.size:
            names = ("chan_ident", "min_velocity", "acceleration", "max_velocity")
            return "mot_set_velparams", address, dict(zip(names, _SPEED.unpack(body), strict=True))
        case 0x0443:
            return "mot_move_home", address, {"chan_ident": channel}
        case 0x0453 if len(body) == _MOTION.size:
            channel, position = _MOTION.unpack(body)
            return "mot_move_absolute", address, {"chan_ident": channel, "position": position}
        case 0x0465:
            return "mot_move_stop", address, {"chan_ident": channel, "stop_mode": second}
    raise InputError("REPLAY-ORDER", order=data.hex(" "))


def _shown(step: Step) -> str:
    if step.order is None:
        return "opened"
    name, address, values = _order(step.order)
    words = [name, f"0x{address:02x}", *(f"{key}={value}" for key, value in values.items())]
    return " ".join(words)


def _place(message: Status | Done) -> str:
    return f"0x{message.source:02x}/{message.channel}"


def _state(status: Status) -> str:
    words = [f"{_place(status)} at {status.position_counts} counts"]
    words += ["moving"] if status.moving else []
    words += ["homing"] if status.homing else []
    words += [] if status.homed else ["not homed"]
    words += [] if status.enabled else ["switched off"]
    return ", ".join([*words, *(FAULTS[name] for name in status.faults)])
