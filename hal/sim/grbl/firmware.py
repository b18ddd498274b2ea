"""GRBL 1.1h as a function of time: bytes in, lines out, no threads and no real clock.

Behaviour and delays follow recordings of the unmodified firmware.  Simplified: every block starts
and ends at rest (no look-ahead), work offsets are zero, and there is neither spindle nor probe.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable

from hal.sim.grbl.axes import Axes
from hal.sim.grbl.gcode import GcodeError, LineBuffer, Modal, Move, parse_block, parse_jog
from hal.sim.grbl.homing import homing_alarm_after, homing_duration_s
from hal.sim.grbl.motion import Block, Mechanics, Mover
from hal.sim.grbl.report import BANNER, LOCKED, StatusReport
from hal.sim.grbl.settings import GrblSettings
from hal.sim.grbl.system import answer_system_line, require_rest
from hal.sim.grbl.uart import Uart
from hal.sim.serial.trapezoid import Vector

RX_BYTES = 128
LINE_CHARS = 79
BOOT_S = 0.03
PARSE_S = 0.002
ALARM_MESSAGE_S = 0.5
# Steps already prepared when a hold comes are still made, and speeds are reported as prepared.
PREPARED_S = 0.05


class GrblFirmware:
    """The controller and the axes it drives.

    Call :meth:`receive` for bytes from the host and :meth:`advance` to let time pass; both take
    seconds of one clock that never goes back.  :meth:`take_lines` gives what it said.

    Args:
        settings: the ``$n`` values.
        start_mm: where the axes physically are at power-up, in the frame homing would establish.
        mechanics: backlash and stopping error of the axes.
        seed: of the stopping errors.
    """

    def __init__(
        self, settings: GrblSettings, start_mm: Vector, mechanics: Mechanics, seed: int = 0
    ) -> None:
        self.settings = settings
        self.fail_next_homing: int | None = None
        self._axes = Axes(settings, start_mm, mechanics, seed)
        self._out: list[str] = []
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = itertools.count()
        self._uart = Uart()
        self._rx: deque[int] = deque()
        self._state = "Alarm"
        self._pins: set[str] = set()
        self._start_over()
        self._booting = True

    def receive(self, data: bytes, now_s: float) -> None:
        """Take bytes that begin to arrive at ``now_s``, one after the other at 115200 baud."""
        self._uart.send(data, now_s)
        self.advance(now_s)

    def advance(self, now_s: float) -> None:
        """Let everything happen that is due until ``now_s``, in order."""
        while (next_s := self.next_event_s()) is not None and next_s <= now_s:
            if self._uart.next_s is not None and self._uart.next_s <= next_s:
                self._take_byte(self._uart.take(), next_s)
            elif self._mover.end_s is not None and self._mover.end_s <= next_s:
                self._axes.end_block(next_s)
                self._cancelling = False
            else:
                _, _, action = heapq.heappop(self._events)
                action(next_s)
            self._work(next_s)

    def next_event_s(self) -> float | None:
        """Return when something will happen by itself, or None if nothing will."""
        times = [self._mover.end_s, self._uart.next_s]
        if self._events:
            times.append(self._events[0][0])
        return min((time_s for time_s in times if time_s is not None), default=None)

    def take_lines(self) -> list[str]:
        """Return and forget the lines said since the last call."""
        lines, self._out = self._out, []
        return lines

    def power_cycle(self, now_s: float, boot_s: float = BOOT_S) -> None:
        """Restart the microcontroller: it forgets where it is, the axes stay where they are."""
        self._axes.declare((0.0, 0.0, 0.0), now_s)
        self._state = "Alarm" if self.settings[22] else "Idle"
        self._reboot(now_s, boot_s)

    def press_limit(self, axis: str, now_s: float) -> None:
        """Close a limit switch; in motion that is a hard-limit alarm."""
        self._pins.add(axis)
        if self._mover.is_moving and self.settings[21]:
            self._mover.halt(now_s)
            self._alarm_mute(1, now_s)

    def release_limit(self, axis: str) -> None:
        """Open a limit switch again."""
        self._pins.discard(axis)

    def wear(self, mechanics: Mechanics) -> None:
        """Give the slide's carriage other mechanics from now on."""
        self._axes.wear(mechanics)

    def true_mm(self, now_s: float) -> Vector:
        """Return where the slide really is, in the frame that homing establishes."""
        self.advance(now_s)
        return self._axes.true_mm(now_s)

    @property
    def _mover(self) -> Mover:
        return self._axes.mover

    def _start_over(self) -> None:
        self._events.clear()
        self._rx.clear()
        self._line = LineBuffer()
        self._modal = Modal()
        self._pending: Block | None = None
        self._held: list[Block] | None = None
        self._holds_for = "Hold"
        self._report = StatusReport()
        self._booting = False
        self._parsing = False
        self._mute = False
        self._hears_reset = False
        self._late_ok = False
        self._homing = False
        self._status_asked = False
        self._cancelling = False

    def _reboot(self, now_s: float, delay_s: float = BOOT_S) -> None:
        self._start_over()
        self._booting = True
        self._at(now_s + delay_s, self._say_banner)

    def _say_banner(self, now_s: float) -> None:
        self._start_over()
        self._out += ["", BANNER]
        if self._pins and self.settings[21]:
            self._state = "Alarm"
            self._out.append("[MSG:Check Limits]")
        if self._state == "Alarm":
            self._out.append(LOCKED)

    def _soft_reset(self, now_s: float) -> None:
        if self._booting:
            return
        if self._mute:
            if not self._hears_reset:
                return
            if self._late_ok:
                self._out.append("ok")
            self._reboot(now_s)
        elif self._homing:
            self._homing_failed(6, (0.0, 0.0, 0.0), now_s)
        elif self._mover.is_moving:
            self._mover.halt(now_s)
            self._state = "Alarm"
            self._out.append("ALARM:3")
            self._reboot(now_s, ALARM_MESSAGE_S + BOOT_S)
        else:
            self._mover.clear_queue()
            self._state = "Alarm" if self._state in ("Alarm", "Sleep", "Home") else "Idle"
            self._reboot(now_s)

    def _alarm_mute(self, code: int, now_s: float) -> None:
        """Raise an alarm after which only a reset helps."""
        self._state = "Alarm"
        self._mute = True
        self._out.append(f"ALARM:{code}")
        self._at(now_s + ALARM_MESSAGE_S, self._ask_for_reset)

    def _ask_for_reset(self, _: float) -> None:
        """Listen for a reset; one that came earlier is forgotten, as the firmware does."""
        self._out.append("[MSG:Reset to continue]")
        self._hears_reset = True

    def _homing_failed(self, code: int, machine_mm: Vector, now_s: float) -> None:
        """Say the alarm and, half a second later, ``ok`` all the same, as the firmware does."""
        self._axes.declare(machine_mm, now_s)
        self._state = "Alarm"
        self._events.clear()
        self._out.append(f"ALARM:{code}")
        self._booting = True
        self._at(now_s + ALARM_MESSAGE_S, self._end_failed_homing)

    def _end_failed_homing(self, now_s: float) -> None:
        self._out.append("ok")
        self._reboot(now_s)

    def _take_byte(self, byte: int, now_s: float) -> None:
        if byte == 0x18:
            self._soft_reset(now_s)
        elif self._booting or self._mute:
            return
        elif byte == 0x3F:
            if self._homing:
                self._status_asked = True
            else:
                self._say_status(now_s)
        elif byte in (0x21, 0x84):
            self._hold(now_s, door=byte == 0x84)
        elif byte == 0x7E:
            self._resume(now_s)
        elif byte == 0x85:
            if self._mover.is_jogging and not self._cancelling:
                self._cancel_jog(now_s)
        elif byte < 0x80 and len(self._rx) < RX_BYTES:
            self._rx.append(byte)

    def _hold(self, now_s: float, *, door: bool) -> None:
        """Stop for a feed hold or an open door: a jog is forgotten, other moves wait."""
        if door:
            self._out.append("[MSG:Check Door]")
        jogging = self._mover.is_jogging
        if jogging and not self._cancelling:
            self._cancel_jog(now_s)
        if self._state == "Idle" and self._held is None and (door or not jogging):
            self._held = [] if jogging else self._mover.unfinished()
            self._holds_for = "Door" if door else "Hold"
            if not jogging:
                self._brake(now_s)

    def _resume(self, now_s: float) -> None:
        if self._held is not None and not self._mover.is_moving:
            for block in self._held:
                self._mover.push(block)
            self._held = None
            self._axes.start(now_s)

    def _cancel_jog(self, now_s: float) -> None:
        self._cancelling = True
        self._brake(now_s)

    def _brake(self, now_s: float) -> None:
        self._mover.clear_queue()
        if self._mover.is_moving:
            self._at(now_s + PREPARED_S, self._mover.brake)

    @property
    def _waits(self) -> bool:
        """Whether the line interpreter is held up; bytes then pile up in the buffer."""
        return (
            self._booting
            or self._parsing
            or self._mute
            or self._homing
            or self._cancelling
            or self._held is not None
            or self._state == "Sleep"
        )

    def _work(self, now_s: float) -> None:
        """Interpret what is buffered as far as the planner has room."""
        while not self._waits:
            if self._pending is not None:
                if self._mover.is_full:
                    return
                self._queue(self._pending, now_s)
                self._pending = None
                self._out.append("ok")
            elif self._rx:
                self._execute_when_complete(self._line.add(self._rx.popleft()), now_s)
            else:
                return

    def _execute_when_complete(self, line: str | None, now_s: float) -> None:
        """Run a line once it is interpreted: a question that came with it is answered before."""
        if line is not None:
            self._parsing = True
            self._at(now_s + PARSE_S, lambda then_s: self._answer_line(line, then_s))

    def _answer_line(self, line: str, now_s: float) -> None:
        self._parsing = False
        try:
            done = self._execute(line, now_s)
        except GcodeError as refusal:
            self._out.append(f"error:{refusal.code}")
        else:
            if done:
                self._out.append("ok")

    def _execute(self, line: str, now_s: float) -> bool:
        """Run one line; return whether its ``ok`` comes now.  Raises GcodeError."""
        if len(line) > LINE_CHARS:
            raise GcodeError(11)
        if line.startswith("$"):
            return self._execute_system(line, now_s)
        if line and (self._state == "Alarm" or self._mover.is_jogging):
            raise GcodeError(9)
        move = parse_block(line, self._modal, self._mover.planned_end)
        return self._plan(move, now_s, is_jog=False)

    def _execute_system(self, line: str, now_s: float) -> bool:
        """Run a ``$`` line; return whether its ``ok`` comes now.  Raises GcodeError."""
        if line.startswith("$J"):
            return self._jog(line, now_s)
        if line == "$H":
            require_rest(self._state_name())
            self._start_homing(now_s)
            return False
        lines, state = answer_system_line(line, self._state_name(), self.settings)
        self._out += lines
        if state != self._state_name():
            self._state = state
        return False

    def _jog(self, line: str, now_s: float) -> bool:
        if not line.startswith("$J="):
            raise GcodeError(3)
        if self._state_name() not in ("Idle", "Jog"):
            raise GcodeError(8)
        move = parse_jog(line[3:], self._modal, self._mover.planned_end)
        return self._plan(move, now_s, is_jog=True)

    def _plan(self, move: Move | None, now_s: float, *, is_jog: bool) -> bool:
        if move is None:
            return True
        if self.settings[20] and not self._axes.reaches(move.target_mm):
            if is_jog:
                raise GcodeError(15)
            self._mover.halt(now_s)
            self._late_ok = True
            self._alarm_mute(2, now_s)
            return False
        if self._state == "Check":
            return True
        block = self._axes.block(move, is_jog=is_jog)
        if self._mover.is_full:
            self._pending = block
            return False
        self._queue(block, now_s)
        return True

    def _queue(self, block: Block, now_s: float) -> None:
        self._mover.push(block)
        self._axes.start(now_s)

    def _start_homing(self, now_s: float) -> None:
        self._state = "Home"
        self._homing = True
        code = self.fail_next_homing or (8 if self._pins else None)
        self.fail_next_homing = None
        if code is not None:
            delay_s, machine_mm = homing_alarm_after(code, self.settings)
            self._at(now_s + delay_s, lambda t: self._homing_failed(code, machine_mm, t))
        else:
            duration_s = homing_duration_s(self._axes.motor_mm(now_s), self.settings)
            self._at(now_s + duration_s, self._homed)

    def _homed(self, now_s: float) -> None:
        self._homing = False
        self._axes.settle_at_home()
        if self._status_asked:
            self._status_asked = False
            self._say_status(now_s)
        self._state = "Idle"
        self._out.append("ok")

    def _say_status(self, now_s: float) -> None:
        self._out.append(
            self._report.line(
                self._state_name(),
                self._axes.machine_mm(now_s),
                self._mover.speed(now_s + PREPARED_S) * 60.0,
                self._pins,
            )
        )

    def _state_name(self) -> str:
        if self._state != "Idle":
            return self._state
        if self._held is not None:
            if not self._mover.is_moving:
                return f"{self._holds_for}:0"
            if not self._cancelling:
                return "Door:2" if self._holds_for == "Door" else "Hold:1"
        if self._mover.is_moving:
            return "Jog" if self._mover.is_jogging else "Run"
        return "Idle"

    def _at(self, time_s: float, action: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (time_s, next(self._order), action))
