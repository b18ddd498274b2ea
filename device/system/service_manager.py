"""What the instrument tells systemd: that it is up, what it does, and that its loop is alive.

The protocol of ``sd_notify(3)``: datagrams of ``NAME=value`` lines to the socket that
``$NOTIFY_SOCKET`` names.  If nobody listens, nothing is sent.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import MutableMapping
from typing import Final, Protocol

from hal.clock import Clock, SystemClock

log = logging.getLogger(__name__)

HEARTBEATS_PER_TIMEOUT: Final = 4
"""The watchdog is fed this often within its time, while there are heartbeats."""


class Watchdog(Protocol):
    """Restarts the program when the owner of the hardware stands still."""

    def heartbeat(self) -> None:
        """Say that the loop has come round; called by the loop that does the work, by no other."""

    def allow(self, duration_s: float) -> None:
        """Say that the next heartbeat may take ``duration_s``: one long, bounded step is ahead."""


class NoWatchdog:
    """Nobody waits for heartbeats."""

    def heartbeat(self) -> None:
        """Nothing to tell."""

    def allow(self, duration_s: float) -> None:
        """Nothing to tell."""


class ServiceManager:
    """systemd's end of a ``Type=notify`` service; each method may be called from any thread.

    Never raises: a service manager that does not listen is no reason to end a measurement.

    Args:
        address: of the notify socket, a path or ``@`` and an abstract name; None sends nothing.
        timeout_s: silence after which systemd restarts the service; None if there is no
            watchdog.
        clock: real time.
    """

    def __init__(self, address: str | None, timeout_s: float | None, clock: Clock) -> None:
        self._address = _socket_address(address)
        self._timeout_s = timeout_s if self._address is not None else None
        self._clock = clock
        self._fed_s: float | None = None
        self._allowing = False
        self._failing = False

    @classmethod
    def from_environment(
        cls, environment: MutableMapping[str, str] = os.environ, clock: Clock | None = None
    ) -> ServiceManager:
        """Read what systemd says, and take it out of ``environment``: it is not for children."""
        address = environment.pop("NOTIFY_SOCKET", None)
        timeout_us = environment.pop("WATCHDOG_USEC", "")
        watched = environment.pop("WATCHDOG_PID", str(os.getpid()))
        is_number = timeout_us.isascii() and timeout_us.isdecimal()
        wanted = is_number and int(timeout_us) > 0 and watched == str(os.getpid())
        return cls(
            address,
            int(timeout_us) / 1e6 if wanted else None,
            clock if clock is not None else SystemClock(),
        )

    @property
    def listens(self) -> bool:
        """Whether there is a service manager."""
        return self._address is not None

    def ready(self) -> None:
        """Say that the service is up; what waits for it may start."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """Show ``text`` in ``systemctl status``; one line without anything about a sample."""
        self._send(f"STATUS={' '.join(text.split())}")

    def stopping(self) -> None:
        """Say that the service ends by itself or on request."""
        self._send("STOPPING=1")

    def heartbeat(self) -> None:
        """Feed the watchdog, as :meth:`Watchdog.heartbeat`."""
        if self._timeout_s is None:
            return
        now_s = self._clock.monotonic_s()
        if self._allowing:
            fed = self._send(f"WATCHDOG_USEC={self._timeout_s * 1e6:.0f}", "WATCHDOG=1")
            self._allowing = not fed
        elif self._fed_s is None or now_s - self._fed_s >= self._timeout_s / HEARTBEATS_PER_TIMEOUT:
            fed = self._send("WATCHDOG=1")
        else:
            return
        if fed:
            self._fed_s = now_s

    def allow(self, duration_s: float) -> None:
        """Widen the watchdog until the next heartbeat, as :meth:`Watchdog.allow`."""
        if self._timeout_s is None or duration_s <= self._timeout_s:
            return
        if self._send(f"WATCHDOG_USEC={duration_s * 1e6:.0f}", "WATCHDOG=1"):
            self._allowing = True

    def _send(self, *lines: str) -> bool:
        if self._address is None:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                # The loop that owns the light must not wait for systemd.
                sender.setblocking(False)
                sender.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            if not self._failing:
                log.warning("systemd does not listen: %s", error)
            self._failing = True
            return False
        self._failing = False
        return True


def _socket_address(address: str | None) -> str | None:
    if not address:
        return None
    if address.startswith("@"):
        return "\0" + address[1:]
    if address.startswith("/"):
        return address
    log.warning("NOTIFY_SOCKET=%s is not a UNIX socket", address)
    return None
