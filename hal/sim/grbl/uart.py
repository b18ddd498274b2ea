"""The emulated controller's end of the serial line: bytes arrive one after the other."""

from __future__ import annotations

from collections import deque

BYTE_S = 10.0 / 115200.0


class Uart:
    """Bytes on their way at 115200 baud, 8N1."""

    def __init__(self) -> None:
        self._arrivals: deque[tuple[float, int]] = deque()

    def send(self, data: bytes, now_s: float) -> None:
        """Let ``data`` begin to arrive at ``now_s``, or behind what is still on its way."""
        at_s = max(now_s, self._arrivals[-1][0] + BYTE_S) if self._arrivals else now_s
        for byte in data:
            self._arrivals.append((at_s, byte))
            at_s += BYTE_S

    @property
    def next_s(self) -> float | None:
        """When the next byte arrives, or None."""
        return self._arrivals[0][0] if self._arrivals else None

    def take(self) -> int:
        """Return the next byte."""
        return self._arrivals.popleft()[1]
