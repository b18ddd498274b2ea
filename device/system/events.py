"""Notifications of what happens in the instrument, for screens and streams.

Nothing that matters travels only here: a subscriber that is too slow loses its oldest
notifications and reads the truth from the status and the records.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from threading import Condition, Lock
from types import TracebackType
from typing import Any


class EventKind(StrEnum):
    """What a notification is about."""

    STATUS = "status"
    TILE = "tile"
    CELL = "cell"
    RESULT = "result"
    FAILURE = "failure"


@dataclass(frozen=True)
class Event:
    """One notification.

    Attributes:
        sequence: counts up by one per event of the bus; a gap is a lost notification.
        kind: what it is about.
        data: JSON-compatible content.
    """

    sequence: int
    kind: EventKind
    data: Mapping[str, Any]


class Subscription:
    """The bounded inbox of one subscriber; a context manager that unsubscribes on exit."""

    def __init__(self, bus: EventBus, capacity: int) -> None:
        self._bus = bus
        self._inbox: deque[Event] = deque(maxlen=capacity)
        self._changed = Condition()
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether no further event will come."""
        return self._closed

    def next(self, timeout_s: float) -> Event | None:
        """Return the oldest waiting event, or None after ``timeout_s`` seconds or when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._inbox or self._closed, timeout_s)
            return self._inbox.popleft() if self._inbox else None

    def deliver(self, event: Event) -> None:
        """Put ``event`` into the inbox; a full inbox loses its oldest."""
        with self._changed:
            self._inbox.append(event)
            self._changed.notify_all()

    def close(self) -> None:
        """Unsubscribe and wake the thread that waits in :meth:`next`."""
        self._bus.unsubscribe(self)
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class EventBus:
    """Hands every event to every subscriber and never waits for one of them."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._subscriptions: list[Subscription] = []
        self._sequence = 0
        self._closed = False

    def publish(self, kind: EventKind, data: Mapping[str, Any]) -> Event:
        """Number the event and deliver it."""
        with self._lock:
            self._sequence += 1
            event = Event(self._sequence, kind, data)
            for subscription in self._subscriptions:
                subscription.deliver(event)
        return event

    def subscribe(self, capacity: int = 256) -> Subscription:
        """Return a new subscription that holds at most ``capacity`` waiting events."""
        subscription = Subscription(self, capacity)
        with self._lock:
            self._subscriptions.append(subscription)
            closed = self._closed
        if closed:
            subscription.close()
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Deliver nothing more to ``subscription``; unknown ones are ignored."""
        with self._lock:
            if subscription in self._subscriptions:
                self._subscriptions.remove(subscription)

    def close(self) -> None:
        """Close every subscription."""
        with self._lock:
            self._closed = True
            subscriptions = list(self._subscriptions)
        for subscription in subscriptions:
            subscription.close()
