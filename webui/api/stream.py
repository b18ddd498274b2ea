"""Server-sent events: the status as the screen shows it, whenever it changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from flask import Blueprint, Response, jsonify

from webui.context import Context, context
from webui.errors import StreamsError
from webui.views.status import status_view_of

if TYPE_CHECKING:
    from device.system.events import Subscription

SHORTEST_PERIOD_S: Final = 0.25
LONGEST_PERIOD_S: Final = 1.0
HEARTBEAT_S: Final = 1.0
RETRY_MS: Final = 1000

blueprint = Blueprint("stream", __name__)


@blueprint.get("/stream")
def stream() -> Response:
    """Answer with an endless stream of ``status`` events."""
    parts = context()
    subscription = parts.instrument.events.subscribe()
    try:
        parts.streams.enter(subscription)
    except StreamsError:
        subscription.close()
        raise
    body = _StreamBody(parts, subscription)
    return Response(body, mimetype="text/event-stream")


@blueprint.get("/screen/status")
def screen_status() -> Response:
    """Answer with the status as the screen shows it, for a page whose stream does not open."""
    return jsonify(status_view_of(context()))


class _StreamBody:
    """The body of one stream; the server calls ``close`` also when the client is gone."""

    def __init__(self, parts: Context, subscription: Subscription) -> None:
        self._subscription = subscription
        self._gate = parts.streams
        self._chunks = status_events(partial(status_view_of, parts), subscription)

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        self._subscription.close()
        self._gate.leave(self._subscription)


def status_events(
    view: Callable[[], dict[str, Any]], subscription: Subscription
) -> Iterator[bytes]:
    """Yield what ``view`` returns as event-stream text until ``subscription`` is closed.

    A new view comes at most every ``SHORTEST_PERIOD_S``; without a change a comment comes every
    ``HEARTBEAT_S``, so that a client that went away is noticed.
    """
    yield f"retry: {RETRY_MS}\n\n".encode()
    last, sent_s = "", 0.0
    while not subscription.closed:
        text = json.dumps(view(), separators=(",", ":"))
        if text != last:
            yield f"event: status\ndata: {text}\n\n".encode()
            last, sent_s = text, monotonic()
        elif monotonic() - sent_s >= HEARTBEAT_S:
            yield b": here\n\n"
            sent_s = monotonic()
        _wait_for_news(subscription)


def _wait_for_news(subscription: Subscription) -> None:
    """Return at the next notification, but not sooner or later than the two periods."""
    begin_s = monotonic()
    subscription.next(LONGEST_PERIOD_S)
    while not subscription.closed:
        left_s = begin_s + SHORTEST_PERIOD_S - monotonic()
        if left_s <= 0:
            return
        subscription.next(left_s)
