"""Signals that end something."""

from __future__ import annotations

import _thread
from collections.abc import Callable
from threading import Event
from types import FrameType


def setter(event: Event) -> Callable[[int, FrameType | None], None]:
    """Return a signal handler that sets ``event``, whatever the main thread is doing.

    A handler runs in the main thread between two of its steps.  When that is about to wait for the
    event it holds the event's lock, so setting it there would wait for itself forever.
    """

    def handler(_number: int, _frame: FrameType | None) -> None:
        # Not threading.Thread, whose locks the main thread may hold as well.
        _thread.start_new_thread(event.set, ())

    return handler
