"""One GRBL controller: question and answer, alarms, restarts, silence.

Whatever comes unasked is acted on: an alarm or a start-up banner means that the position is lost,
so :attr:`Controller.position_known` falls and an error is raised at once.
"""

from __future__ import annotations

import logging
import time
from threading import Event

from hal.clock import Clock
from hal.errors import Cancelled, DeviceError, DeviceTimeoutError, StageError
from hal.stage.grbl import wire
from hal.stage.grbl.codes import alarm_error, refusal_error
from hal.stage.grbl.link import SerialLink
from hal.stage.serial_port import Deadline

log = logging.getLogger(__name__)

STATUS_TRIES = 3
STATUS_TIMEOUT_S = 0.5 / STATUS_TRIES
COMMAND_TIMEOUT_S = 1.0
RESET_TIMEOUT_S = 2.0
BOOT_TIMEOUT_S = 2.5
# Real time between two status questions: a fast simulated clock must not busy a processor core.
MIN_REAL_POLL_S = 0.001
# These stop the controller until a reset: it answers nothing but the reset.
MUTING_ALARMS = frozenset({1, 2})


class Controller:
    """Talks to the firmware.  One owner thread; :meth:`send_realtime` is safe from any thread."""

    def __init__(self, link: SerialLink, clock: Clock) -> None:
        self._link = link
        self._clock = clock
        self._last_poll_s = 0.0
        self.position_known = False

    def connect(self) -> str:
        """Open the port and return the firmware version; the controller is idle or locked.

        Raises:
            DeviceError: the port cannot be opened.
            DeviceTimeoutError: nothing answers like a GRBL controller.
        """
        self.position_known = False
        self._link.open()
        version = self._await_banner(BOOT_TIMEOUT_S)
        if version is None or self._poll_once() is None:
            # Not every board restarts when its port is opened, and a stopped one is mute.
            version = self.soft_reset()
        return version

    def status(self) -> wire.Status:
        """Ask for the state, at most three times.

        Raises:
            StageAlarmError, StageError: the controller restarted, raised an alarm, or answers
                garbage only.
            DeviceTimeoutError: no answer, not even to a reset; the connection is closed.
        """
        heard = False
        for _ in range(STATUS_TRIES):
            reply = self._poll_once()
            if isinstance(reply, wire.Status):
                return reply
            heard = heard or reply is not None
        if heard:
            raise StageError("STAGE-GARBLED", tries=STATUS_TRIES)
        self.soft_reset()
        raise StageError("STAGE-SILENT")

    def command(self, line: str, timeout_s: float = COMMAND_TIMEOUT_S) -> list[wire.Reply]:
        """Send ``line`` and return what came before its ``ok``.

        Raises:
            StageError: the line was refused.
            StageAlarmError: an alarm came instead.
            DeviceTimeoutError: no answer; the line may or may not have been taken.
        """
        self._drain()
        self._write(line.encode("ascii") + b"\n")
        deadline = Deadline(self._clock, timeout_s)
        replies: list[wire.Reply] = []
        while (reply := self._next(deadline)) is not None:
            match reply:
                case wire.Ok():
                    return replies
                case wire.ErrorCode(code):
                    raise refusal_error(code, line)
                case _:
                    replies.append(reply)
        raise DeviceTimeoutError("STAGE-NO-ANSWER", line=line, timeout_s=timeout_s)

    def home(self, timeout_s: float, cancel: Event | None) -> None:
        """Run ``$H``.  An alarm before the ``ok`` is a failure: the firmware sends both.

        Raises:
            StageAlarmError: homing failed.
            DeviceTimeoutError: no end within ``timeout_s``; the controller was reset.
            Cancelled: ``cancel`` was set; the controller was reset.
        """
        self.position_known = False
        self._drain()
        self._write(b"$H\n")
        deadline = Deadline(self._clock, timeout_s)
        try:
            while (reply := self._next(deadline, cancel)) is not None:
                match reply:
                    case wire.Ok():
                        self.position_known = True
                        return
                    case wire.ErrorCode(code):
                        raise refusal_error(code, "$H")
        except Cancelled:
            self.soft_reset()
            raise Cancelled("Homing") from None
        self.soft_reset()
        raise DeviceTimeoutError("STAGE-HOME-TIMEOUT", timeout_s=timeout_s)

    def send_realtime(self, byte: bytes) -> None:
        """Send a real-time byte; safe from any thread.  Raises DeviceError."""
        self._link.write(byte)

    def soft_reset(self) -> str:
        """Reset the controller and return its version; the position counts as lost.

        Raises:
            DeviceTimeoutError: no banner came; the connection is closed.
        """
        self.position_known = False
        self._write(wire.SOFT_RESET)
        version = self._await_banner(RESET_TIMEOUT_S)
        if version is None:
            self._lose_connection()
            raise DeviceTimeoutError("STAGE-MUTE")
        return version

    def _await_banner(self, timeout_s: float) -> str | None:
        deadline = Deadline(self._clock, timeout_s)
        while (line := self._read_line(deadline)) is not None:
            reply = wire.parse_line(line)
            if isinstance(reply, wire.Banner):
                return reply.version
            if reply == wire.RESET_WANTED:
                # A reset in the half second between the alarm and this message was not heard.
                self._write(wire.SOFT_RESET)
            log.debug("before the banner: %r", line)
        return None

    def _poll_once(self) -> wire.Status | wire.Damaged | None:
        """Ask once: the status, a damaged line, or None for silence."""
        self._drain()
        pause_s = self._last_poll_s + MIN_REAL_POLL_S - time.monotonic()
        if pause_s > 0:
            time.sleep(pause_s)
        self._write(wire.STATUS_QUERY)
        self._last_poll_s = time.monotonic()
        deadline = Deadline(self._clock, STATUS_TIMEOUT_S)
        while (reply := self._next(deadline)) is not None:
            if isinstance(reply, wire.Status | wire.Damaged):
                return reply
        return None

    def _drain(self) -> None:
        """Act on what came unasked, so that an old answer is not taken for the next one."""
        while (line := self._take_line()) is not None:
            self._act_on(wire.parse_line(line))

    def _next(self, deadline: Deadline, cancel: Event | None = None) -> wire.Reply | None:
        line = self._read_line(deadline, cancel)
        return None if line is None else self._act_on(wire.parse_line(line))

    def _act_on(self, reply: wire.Reply) -> wire.Reply:
        match reply:
            case wire.AlarmCode(code):
                self.position_known = False
                log.warning("stage alarm %d", code)
                if code in MUTING_ALARMS:
                    self.soft_reset()
                else:
                    self._await_banner(RESET_TIMEOUT_S)
                raise alarm_error(code)
            case wire.Banner(version):
                self.position_known = False
                raise StageError("STAGE-REBOOTED", version=version)
            case wire.Damaged(text):
                log.warning("damaged line from the stage: %r", text)
        return reply

    def _write(self, data: bytes) -> None:
        try:
            self._link.write(data)
        except DeviceError:
            self._lose_connection()
            raise

    def _read_line(self, deadline: Deadline, cancel: Event | None = None) -> str | None:
        try:
            return self._link.read_line(deadline, cancel)
        except DeviceError:
            self._lose_connection()
            raise

    def _take_line(self) -> str | None:
        try:
            return self._link.take_line()
        except DeviceError:
            self._lose_connection()
            raise

    def _lose_connection(self) -> None:
        self.position_known = False
        self._link.close()
