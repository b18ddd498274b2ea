"""GRBL 1.1h as a function of time: bytes in, lines out, no threads and no real clock.

Behaviour and delays follow recordings of the unmodified firmware.  Simplified: every block starts
and ends at rest (no look-ahead), work offsets are zero, and there is neither spindle nor probe.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable

from hal.sim.grbl_gcode import GcodeError, Modal, Move, parse_block, parse_jog
from hal.sim.grbl_homing import homing_alarm_after, homing_duration_s
from hal.sim.grbl_motion import Block, Carriage, Mechanics, Mover, Vector
from hal.sim.grbl_report import BUILD_INFO, HELP, PARAMETERS, PARSER_STATE, StatusReport
from hal.sim.grbl_settings import GrblSettings

RX_BYTES = 128
LINE_CHARS = 79
BYTE_S = 10.0 / 115200.0
BOOT_S = 0.03
ALARM_MESSAGE_S = 0.5
BANNER = "Grbl 1.1h ['$' for help]"
LOCKED = "[MSG:'$H'|'$X' to unlock]"


class GrblFirmware:
    """The controller and the axes it drives.

    Call :meth:`receive` for bytes from the host and :meth:`advance` to let time pass; both take
    seconds of one clock that never goes back.  :meth:`take_lines` gives what it said.

    Args:
        settings: the ``$n`` values.
        start_mm: where the axes physically are at power-up, in the frame homing would establish.
        mechanics: play and stopping error of the axes.
        seed: of the stopping errors.
    """

    def __init__(
        self, settings: GrblSettings, start_mm: Vector, mechanics: Mechanics, seed: int = 0
    ) -> None:
        self.settings = settings
        self.fail_next_homing: int | None = None
        self._mover = Mover((0.0, 0.0, 0.0))
        # Physical place minus machine position: what the controller does not know.
        self._shift_mm = start_mm
        self._carriage = Carriage(mechanics, start_mm, seed)
        self._out: list[str] = []
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = itertools.count()
        self._arrivals: deque[tuple[float, int]] = deque()
        self._rx: deque[int] = deque()
        self._state = "Alarm"
        self._pins: set[str] = set()
        self._start_over()
        self._booting = True

    # -- time ------------------------------------------------------------------------------------

    def receive(self, data: bytes, now_s: float) -> None:
        """Take bytes that begin to arrive at ``now_s``, one after the other at 115200 baud."""
        at_s = max(now_s, self._arrivals[-1][0] + BYTE_S) if self._arrivals else now_s
        for byte in data:
            self._arrivals.append((at_s, byte))
            at_s += BYTE_S
        self.advance(now_s)

    def advance(self, now_s: float) -> None:
        """Let everything happen that is due until ``now_s``, in order."""
        while (next_s := self.next_event_s()) is not None and next_s <= now_s:
            if self._arrivals and self._arrivals[0][0] <= next_s:
                _, byte = self._arrivals.popleft()
                self._take_byte(byte, next_s)
            elif self._mover.end_s is not None and self._mover.end_s <= next_s:
                self._end_block(next_s)
            else:
                _, _, action = heapq.heappop(self._events)
                action(next_s)
            self._work(next_s)

    def next_event_s(self) -> float | None:
        """Return when something will happen by itself, or None when nothing will."""
        times = [self._mover.end_s]
        if self._arrivals:
            times.append(self._arrivals[0][0])
        if self._events:
            times.append(self._events[0][0])
        return min((time_s for time_s in times if time_s is not None), default=None)

    def take_lines(self) -> list[str]:
        """Return and forget the lines said since the last call."""
        lines, self._out = self._out, []
        return lines

    # -- the world around it ---------------------------------------------------------------------

    def power_cycle(self, now_s: float, boot_s: float = BOOT_S) -> None:
        """Restart the microcontroller: it forgets where it is, the axes stay where they are."""
        place = self._motor_mm(now_s)
        self._mover = Mover((0.0, 0.0, 0.0))
        self._shift_mm = place
        self._state = "Alarm"
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

    def true_mm(self, now_s: float) -> Vector:
        """Return where the slide really is, in the frame that homing establishes."""
        self.advance(now_s)
        return self._carriage.follow(self._motor_mm(now_s))

    def _motor_mm(self, now_s: float) -> Vector:
        x, y, z = (a + b for a, b in zip(self._mover.position(now_s), self._shift_mm, strict=True))
        return (x, y, z)

    # -- restart and alarms ----------------------------------------------------------------------

    def _start_over(self) -> None:
        self._events.clear()
        self._rx.clear()
        self._line = bytearray()
        self._line_too_long = False
        self._modal = Modal()
        self._pending: Block | None = None
        self._held: list[Block] | None = None
        self._report = StatusReport()
        self._booting = False
        self._mute = False
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
        self._at(now_s + ALARM_MESSAGE_S, lambda _: self._out.append("[MSG:Reset to continue]"))

    def _homing_failed(self, code: int, machine_mm: Vector, now_s: float) -> None:
        """Say the alarm and, half a second later, ``ok`` all the same, as the firmware does."""
        place = self._motor_mm(now_s)
        self._mover.set_position(machine_mm)
        x, y, z = (a - b for a, b in zip(place, machine_mm, strict=True))
        self._shift_mm = (x, y, z)
        self._state = "Alarm"
        self._events.clear()
        self._out.append(f"ALARM:{code}")
        self._booting = True
        self._at(now_s + ALARM_MESSAGE_S, self._end_failed_homing)

    def _end_failed_homing(self, now_s: float) -> None:
        self._out.append("ok")
        self._reboot(now_s)

    # -- bytes -----------------------------------------------------------------------------------

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
        elif byte == 0x21:
            self._feed_hold(now_s)
        elif byte == 0x7E:
            self._resume(now_s)
        elif byte == 0x85:
            if self._mover.is_jogging:
                self._cancel_jog(now_s)
        elif byte < 0x80 and len(self._rx) < RX_BYTES:
            self._rx.append(byte)

    def _feed_hold(self, now_s: float) -> None:
        if self._mover.is_jogging:
            self._cancel_jog(now_s)
        elif self._state == "Idle" and self._held is None:
            self._held = self._mover.unfinished()
            self._mover.clear_queue()
            self._mover.brake(now_s)

    def _resume(self, now_s: float) -> None:
        if self._held is not None and not self._mover.is_moving:
            for block in self._held:
                self._mover.push(block)
            self._held = None
            self._start_block(now_s)

    def _cancel_jog(self, now_s: float) -> None:
        self._cancelling = True
        self._mover.clear_queue()
        self._mover.brake(now_s)

    @property
    def _waits(self) -> bool:
        """Whether the line interpreter is held up; bytes then pile up in the buffer."""
        return (
            self._booting
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
                self._take_char(self._rx.popleft(), now_s)
            else:
                return

    def _take_char(self, byte: int, now_s: float) -> None:
        if byte in b"\r\n":
            line, too_long = self._line.decode("ascii").upper(), self._line_too_long
            self._line, self._line_too_long = bytearray(), False
            if too_long:
                self._out.append("error:11")
            else:
                self._execute(line, now_s)
        elif byte > 0x20 and byte != ord("/"):
            if len(self._line) >= LINE_CHARS:
                self._line_too_long = True
            else:
                self._line.append(byte)

    # -- lines -----------------------------------------------------------------------------------

    def _execute(self, line: str, now_s: float) -> None:
        line = _without_comments(line)
        try:
            if line.startswith("$"):
                done = self._execute_system(line, now_s)
            elif line and (self._state == "Alarm" or self._mover.is_jogging):
                raise GcodeError(9)
            else:
                done = self._plan(
                    parse_block(line, self._modal, self._mover.planned_end), now_s, is_jog=False
                )
        except GcodeError as refusal:
            self._out.append(f"error:{refusal.code}")
        else:
            if done:
                self._out.append("ok")

    def _execute_system(self, line: str, now_s: float) -> bool:
        """Run a ``$`` line; return whether its ``ok`` comes now.  Raises GcodeError."""
        if line.startswith("$J"):
            return self._jog(line, now_s)
        if line in ("$", "$$", "$G", "$X", "$C"):
            self._execute_anytime(line, now_s)
            return True
        if self._state not in ("Idle", "Alarm") or self._mover.has_work:
            raise GcodeError(8)
        if line == "$H":
            self._start_homing(now_s)
            return False
        if line == "$SLP":
            self._state = "Sleep"
            self._out += ["ok", "[MSG:Sleeping]"]
            return False
        if line in ("$I", "$#", "$N"):
            self._out += {"$I": BUILD_INFO, "$#": PARAMETERS, "$N": ("$N0=", "$N1=")}[line]
            return True
        if line.startswith("$H"):
            # The firmware has already entered the homing state when it finds the line wrong.
            self._state = "Home"
            raise GcodeError(3)
        self._store_setting(line)
        return True

    def _execute_anytime(self, line: str, now_s: float) -> None:
        if line == "$$":
            if self._mover.is_moving and not self._mover.is_jogging:
                raise GcodeError(8)
            self._out += self.settings.lines()
        elif line == "$X" and self._state == "Alarm":
            self._state = "Idle"
            self._out.append("[MSG:Caution: Unlocked]")
        elif line == "$C":
            if self._state != "Idle":
                raise GcodeError(8)
            self._state = "Check"
            self._out.append("[MSG:Enabled]")
        elif line == "$G":
            self._out.append(PARSER_STATE)
        elif line == "$":
            self._out.append(HELP)

    def _store_setting(self, line: str) -> None:
        number, equals, value = line[1:].partition("=")
        try:
            code = self.settings.store(float(number), float(value)) if equals else 3
        except ValueError:
            code = 3
        if code:
            raise GcodeError(code)

    def _jog(self, line: str, now_s: float) -> bool:
        if not line.startswith("$J="):
            raise GcodeError(3)
        if self._state != "Idle" or (self._mover.is_moving and not self._mover.is_jogging):
            raise GcodeError(8)
        move = parse_jog(line[3:], self._modal, self._mover.planned_end)
        return self._plan(move, now_s, is_jog=True)

    def _plan(self, move: Move | None, now_s: float, *, is_jog: bool) -> bool:
        if move is None:
            return True
        travel_mm = self.settings.axes(130)
        inside = all(
            -length <= target <= 0.0
            for target, length in zip(move.target_mm, travel_mm, strict=True)
        )
        if self.settings[20] and not inside:
            if is_jog:
                raise GcodeError(15)
            self._mover.halt(now_s)
            self._late_ok = True
            self._alarm_mute(2, now_s)
            return False
        if self._state == "Check":
            return True
        block = self._block(move, is_jog=is_jog)
        if self._mover.is_full:
            self._pending = block
            return False
        self._queue(block, now_s)
        return True

    def _block(self, move: Move, *, is_jog: bool) -> Block:
        """Quantise to steps and keep every axis within its own speed and acceleration."""
        x, y, z = (
            round(target * steps) / steps
            for target, steps in zip(move.target_mm, self.settings.axes(100), strict=True)
        )
        start = self._mover.planned_end
        length = math.dist(start, (x, y, z)) or 1.0
        shares = [abs(b - a) / length for a, b in zip(start, (x, y, z), strict=True)]

        def along_path(limits: Vector) -> float:
            return min(
                (limit / share for limit, share in zip(limits, shares, strict=True) if share),
                default=limits[0],
            )

        fastest = along_path(self.settings.axes(110))
        feed = fastest if move.feed_mm_per_min is None else min(move.feed_mm_per_min, fastest)
        return Block((x, y, z), feed / 60.0, along_path(self.settings.axes(120)), is_jog)

    # -- motion ----------------------------------------------------------------------------------

    def _queue(self, block: Block, now_s: float) -> None:
        self._mover.push(block)
        self._start_block(now_s)

    def _start_block(self, now_s: float) -> None:
        if self._mover.is_moving:
            return
        before = self._mover.position(now_s)
        self._mover.start_next(now_s)
        if self._mover.is_moving:
            target = self._mover.unfinished()[0].target
            x, y, z = (a != b for a, b in zip(before, target, strict=True))
            self._carriage.disturb((x, y, z))

    def _end_block(self, now_s: float) -> None:
        self._mover.finish()
        # Play is taken up along a straight way, so the ends of the blocks are all that counts.
        self._carriage.follow(self._motor_mm(now_s))
        self._cancelling = False
        self._start_block(now_s)

    def _start_homing(self, now_s: float) -> None:
        self._state = "Home"
        self._homing = True
        code = self.fail_next_homing or (8 if self._pins else None)
        self.fail_next_homing = None
        if code is not None:
            delay_s, machine_mm = homing_alarm_after(code, self.settings)
            self._at(now_s + delay_s, lambda t: self._homing_failed(code, machine_mm, t))
        else:
            duration_s = homing_duration_s(self._motor_mm(now_s), self.settings)
            self._at(now_s + duration_s, self._homed)

    def _homed(self, now_s: float) -> None:
        self._homing = False
        pulloff = self.settings[27]
        x, y, z = (pulloff - length for length in self.settings.axes(130))
        self._mover.set_position((x, y, z))
        self._shift_mm = (0.0, 0.0, 0.0)
        travel_x, travel_y, travel_z = self.settings.axes(130)
        self._carriage.follow((-travel_x, -travel_y, -travel_z))
        self._carriage.follow((x, y, z))
        if self._status_asked:
            self._status_asked = False
            self._say_status(now_s)
        self._state = "Idle"
        self._out.append("ok")

    # -- words -----------------------------------------------------------------------------------

    def _say_status(self, now_s: float) -> None:
        machine_mm = [
            round(at * steps) / steps
            for at, steps in zip(self._mover.position(now_s), self.settings.axes(100), strict=True)
        ]
        name = self._state_name()
        self._out.append(
            self._report.line(name, machine_mm, self._mover.speed(now_s) * 60.0, self._pins)
        )

    def _state_name(self) -> str:
        if self._state != "Idle":
            return self._state
        if self._held is not None:
            return "Hold:1" if self._mover.is_moving else "Hold:0"
        if self._mover.is_moving:
            return "Jog" if self._mover.is_jogging else "Run"
        return "Idle"

    def _at(self, time_s: float, action: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (time_s, next(self._order), action))


def _without_comments(line: str) -> str:
    kept, depth = [], 0
    for char in line.partition(";")[0]:
        if char == "(":
            depth = 1
        elif char == ")":
            depth = 0
        elif not depth:
            kept.append(char)
    return "".join(kept)
