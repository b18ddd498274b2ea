"""The limit on open event streams."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Final

from webui.errors import StreamsError

if TYPE_CHECKING:
    from device.system.events import Subscription

MAX_STREAMS: Final = 8


class StreamGate:
    """Counts open streams, so that they never take all threads of a listener."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._open: set[Subscription] = set()
        self._closed = False

    def enter(self, subscription: Subscription) -> None:
        """Let a stream in.

        Raises:
            StreamsError: ``MAX_STREAMS`` are open, or the server is stopping.
        """
        with self._lock:
            if self._closed:
                raise StreamsError("WEB-STOPPING")
            if len(self._open) >= MAX_STREAMS:
                raise StreamsError("WEB-STREAMS", limit=MAX_STREAMS)
            self._open.add(subscription)

    def leave(self, subscription: Subscription) -> None:
        """Forget a stream that ended."""
        with self._lock:
            self._open.discard(subscription)

    def close(self) -> None:
        """End all streams and let no further one in."""
        with self._lock:
            self._closed = True
            subscriptions = list(self._open)
        for subscription in subscriptions:
            subscription.close()
