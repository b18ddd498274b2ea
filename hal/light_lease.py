"""The instrument's end of the light supervisor: a lease is asked for before every pulse.

One connection, one message per packet, in ASCII: ``hello 0``, ``on SERIAL MILLISECONDS``,
``off SERIAL``; the supervisor answers the first two with ``ok SERIAL`` or ``refused SERIAL why``.
Whoever has no connection does not hold the light's line.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from typing import Final, Protocol

from hal.errors import SupervisorError

MESSAGE_BYTES: Final = 256
ANSWER_TIMEOUT_S: Final = 2.0
"""Longest wait for an answer; the light is off meanwhile."""
CONNECT_TIMEOUT_S: Final = 2.0
RETRY_S: Final = 0.02


class Lease(Protocol):
    """The right to have the light on, for one pulse at a time."""

    def connect(self) -> None:
        """Find the supervisor.  Raises SupervisorError."""

    def is_live(self) -> bool:
        """Whether the supervisor is there."""

    def begin(self, deadline_ms: float) -> None:
        """Open a lease for a pulse of at most ``deadline_ms``.  Raises SupervisorError."""

    def end(self) -> None:
        """Tell that the line is low.  Never raises; safe from any thread."""

    def close(self) -> None:
        """Give the connection up.  Never raises."""


class LightLease:
    """:class:`Lease` over the supervisor's socket.

    Args:
        path: of the socket.
        connect_timeout_s: how long a supervisor that starts is waited for; real seconds.
    """

    def __init__(self, path: str, connect_timeout_s: float = CONNECT_TIMEOUT_S) -> None:
        self._path = path
        self._connect_timeout_s = connect_timeout_s
        self._socket: socket.socket | None = None
        self._serial = 0

    def connect(self) -> None:
        """Connect anew; one that starts, or is still securing the line, is waited for.

        Raises:
            SupervisorError: there is no supervisor, or it serves another instrument.
        """
        deadline_s = time.monotonic() + self._connect_timeout_s
        while True:
            try:
                self._connect_once()
            except SupervisorError:
                if time.monotonic() >= deadline_s:
                    raise
                time.sleep(RETRY_S)
            else:
                return

    def is_live(self) -> bool:
        """Return whether the supervisor still has the connection open."""
        connection = self._socket
        if connection is None:
            return False
        try:
            while connection.recv(MESSAGE_BYTES):
                pass  # a late answer that nobody waits for any more
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def begin(self, deadline_ms: float) -> None:
        """Open a lease.

        Raises:
            SupervisorError: no answer or a refusal; the connection is given up.
        """
        self._serial += 1
        try:
            self._ask(f"on {self._serial} {deadline_ms:.3f}", self._serial)
        except SupervisorError:
            self.close()
            raise

    def end(self) -> None:
        """Tell that the line is low.  Never raises; safe from any thread."""
        connection = self._socket
        if connection is not None:
            # A supervisor that is gone or does not read is noticed by is_live() and begin().
            with contextlib.suppress(OSError):
                connection.send(f"off {self._serial}".encode())

    def close(self) -> None:
        """Give the connection up.  Never raises."""
        connection, self._socket = self._socket, None
        if connection is not None:
            connection.close()

    def _connect_once(self) -> None:
        self.close()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.setblocking(False)
        try:
            connection.connect(self._path)
        except OSError as error:
            connection.close()
            raise _missing(f"no light supervisor listens at {self._path} ({error})") from error
        self._socket = connection
        try:
            self._ask("hello 0", 0)
        except SupervisorError:
            self.close()
            raise

    def _ask(self, message: str, serial: int) -> None:
        connection = self._socket
        if connection is None:
            raise _missing("the light supervisor is not connected")
        give_up_s = time.monotonic() + ANSWER_TIMEOUT_S
        try:
            # Who refuses may have closed already; what it said is still to be read.
            with contextlib.suppress(BrokenPipeError):
                connection.send(message.encode())
            while True:
                words = _receive(connection, give_up_s).split(" ", 2)
                if words[:2] == ["ok", str(serial)]:
                    return
                if words[:2] == ["refused", str(serial)]:
                    raise _missing(f"the light supervisor refuses: {words[2]}")
                if words == [""]:
                    raise _missing("the light supervisor ended")
        except OSError as error:
            raise _missing(f"the light supervisor does not answer ({error})") from error


def _receive(connection: socket.socket, give_up_s: float) -> str:
    """Return the next message, empty at the end of the connection.  Raises OSError."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    if not poll.poll(max(0.0, give_up_s - time.monotonic()) * 1000.0):
        raise TimeoutError(f"nothing in {ANSWER_TIMEOUT_S:g} s")
    return connection.recv(MESSAGE_BYTES).decode("ascii", "replace")


def _missing(what: str) -> SupervisorError:
    return SupervisorError(
        f"The UV light stays off: {what}.",
        remedy="Start the light supervisor (`leukolux light-supervisor`), then try again.",
    )
