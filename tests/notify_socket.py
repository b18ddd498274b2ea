"""A service manager's notify socket that keeps what was sent to it."""

from __future__ import annotations

import socket
from types import TracebackType

PROMPT_S = 20.0


class NotifySocket:
    """A bound datagram socket; a context manager.

    Args:
        address: a path, or ``@`` and an abstract name, as in ``$NOTIFY_SOCKET``.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)

    def next(self, timeout_s: float = PROMPT_S) -> dict[str, str]:
        """Return the next message; raise TimeoutError when none comes."""
        self._socket.settimeout(timeout_s)
        lines = self._socket.recv(4096).decode().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def until(self, name: str, timeout_s: float = PROMPT_S) -> list[dict[str, str]]:
        """Return the messages up to the first that holds ``name``."""
        messages = [self.next(timeout_s)]
        while name not in messages[-1]:
            messages.append(self.next(timeout_s))
        return messages

    def waiting(self) -> list[dict[str, str]]:
        """Return everything that has been sent and not been looked at."""
        messages = []
        while True:
            try:
                messages.append(self.next(0.001))
            except TimeoutError:
                return messages

    def __enter__(self) -> NotifySocket:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._socket.close()
