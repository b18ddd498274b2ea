"""The instrument's end of the light supervisor, which owns the UV line and drives it.

One connection, one message per packet, in ASCII: ``hello 0`` takes the line, ``on SERIAL UNTIL``
and ``off SERIAL`` drive it; UNTIL is seconds of the computer's monotonic clock, which all processes
share, so that a late order gives no light.  The supervisor answers each with its first two words
and ``ok``, ``refused why`` or ``failed CODE why``.  The end of the connection means ``off``.
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import time
from pathlib import Path
from typing import Final

from hal.clock import SystemClock
from hal.errors import DeviceError, LightError, SilentSupervisorError, SupervisorError
from hal.interfaces.gpio import Gpio
from hal.light.cuts import deadline_cut, line_failed, line_stuck
from hal.light.switch_off import supervisor_listens, take_line_low

log = logging.getLogger(__name__)

MESSAGE_BYTES: Final = 256
ANSWER_TIMEOUT_S: Final = 2.0
CONNECT_TIMEOUT_S: Final = 2.0
RETRY_S: Final = 0.02
TAKE_LOW_S: Final = 0.5
"""How long to try to claim a line whose supervisor has just ended."""


class SupervisedLine:
    """:class:`hal.light.uv_line.UvLine` in the hands of the supervisor.

    If the supervisor ends in a pulse, or none runs, this process takes the line low: some boards
    keep the level of a line whose owner is gone.

    Args:
        path: of the supervisor's socket.
        gpio: provider of the line, for that case.
        pin: the line that enables the LED driver.
        connect_timeout_s: how long to wait for a supervisor that starts; real seconds.
    """

    def __init__(
        self, path: Path, gpio: Gpio, pin: int, connect_timeout_s: float = CONNECT_TIMEOUT_S
    ) -> None:
        self._path = path
        self._gpio = gpio
        self._pin = pin
        self._connect_timeout_s = connect_timeout_s
        self._connection: socket.socket | None = None
        self._serial = 0
        self._lit = False

    def open(self) -> None:
        """Connect again; wait for a supervisor that starts.

        Raises:
            LightError: the line fails, or reads high although it is driven low.
            SupervisorError: there is no supervisor, or it serves another instrument.
        """
        give_up_s = time.monotonic() + self._connect_timeout_s
        while True:
            try:
                return self.connect()
            except SupervisorError:
                if time.monotonic() >= give_up_s:
                    if not supervisor_listens(self._path):
                        self._take_low(0.0)
                    raise
            time.sleep(RETRY_S)

    def is_live(self) -> bool:
        """Return whether the supervisor still has the connection open."""
        if self._connection is None:
            return False
        poll = select.poll()
        # No event is requested: the end of a connection is reported in any case.
        poll.register(self._connection, 0)
        return not poll.poll(0)

    def on(self, until_s: float) -> None:
        """Let the supervisor drive the line high; raises LightError, SupervisorError."""
        self._serial += 1
        self._lit = True
        self._ask(f"on {self._serial} {until_s!r}")

    def off(self) -> None:
        """Let the supervisor drive the line low; raises LightError, DeviceError."""
        try:
            if self._connection is not None:
                self._ask(f"off {self._serial}")
        except SupervisorError as error:
            # A supervisor that has ended has no light on.
            if self._connection is not None:
                raise DeviceError("LIGHT-MAY-BE-ON") from error
        self._lit = False

    def close(self) -> None:
        """Close the connection.  Never raises."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def connect(self) -> None:
        """Connect again, without waiting; the supervisor drives the line low and reads it back.

        Raises:
            LightError: the line fails, or reads high although it is driven low.
            SilentSupervisorError: a supervisor listens and does not answer.
            SupervisorError: there is no supervisor, or it serves another instrument.
        """
        self.close()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.setblocking(False)
        try:
            connection.connect(str(self._path))
        except BlockingIOError as error:
            connection.close()
            raise SilentSupervisorError("LIGHT-SUPERVISOR-QUEUE") from error
        except OSError as error:
            connection.close()
            raise SupervisorError("LIGHT-SUPERVISOR", path=self._path, reason=error) from error
        self._connection = connection
        try:
            self._ask("hello 0")
        except LightError:
            self.close()
            raise

    def _ask(self, order: str) -> None:
        """Give an order and wait until it is obeyed.

        Raises:
            LightError: the line fails.
            SilentSupervisorError: no answer.
            SupervisorError: a refusal, or the end, after which there is no connection.
        """
        connection = self._connection
        if connection is None:
            raise SupervisorError("LIGHT-SUPERVISOR-UNCONNECTED")
        topic = order.split()[:2]
        give_up_s = time.monotonic() + ANSWER_TIMEOUT_S
        try:
            # One that refuses may have closed already; its answer can still be read.
            with contextlib.suppress(BrokenPipeError):
                connection.send(order.encode())
            # Skipped: late answers that nobody waits for any more.
            while (words := _receive(connection, give_up_s).split(" ", 3))[:2] != topic:
                if words == [""]:
                    raise ConnectionResetError
        except (TimeoutError, BlockingIOError) as error:
            raise SilentSupervisorError("LIGHT-SUPERVISOR-SILENT", reason=error) from error
        except OSError as error:
            self._lose()
            raise SupervisorError("LIGHT-SUPERVISOR-LOST") from error
        self._judge(*words[2:])

    def _judge(self, verdict: str = "", why: str = "") -> None:
        """Raise the error that the answer reports."""
        if verdict == "failed":
            code, _, cause = why.partition(" ")
            known = {"LIGHT-STUCK": line_stuck(self._pin), "LIGHT-DEADLINE": deadline_cut()}
            raise known.get(code) or line_failed(self._pin, cause)
        if verdict != "ok":
            raise SupervisorError("LIGHT-SUPERVISOR-REFUSES", reason=why)

    def _lose(self) -> None:
        self.close()
        if self._lit:
            self._lit = False
            self._take_low(TAKE_LOW_S)

    def _take_low(self, patience_s: float) -> None:
        try:
            take_line_low(self._gpio, self._pin, SystemClock(), patience_s)
        except LightError as error:
            log.critical("%s", error)


def _receive(connection: socket.socket, give_up_s: float) -> str:
    """Return the next message, empty at the end of the connection.  Raises OSError."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    if not poll.poll(max(0.0, give_up_s - time.monotonic()) * 1000.0):
        raise TimeoutError(f"nothing in {ANSWER_TIMEOUT_S:g} s")
    return connection.recv(MESSAGE_BYTES).decode("utf-8", "replace")
