from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial

from flask import Flask
from flask.testing import FlaskClient
from instrument_double import InstrumentDouble

from device.engine.state.states import State
from webui.api.stream import status_events
from webui.context import parts_of
from webui.stream_gate import MAX_STREAMS
from webui.views.status import status_view_of


def next_view(chunks: Iterator[bytes]) -> dict[str, object]:
    for chunk in chunks:
        if chunk.startswith(b"event: status\n"):
            return dict(json.loads(chunk.split(b"data: ", 1)[1]))
    raise AssertionError("the stream ended")


def test_stream_begins_with_the_present_status_and_follows_changes(
    app: Flask,
    instrument: InstrumentDouble,
) -> None:
    subscription = instrument.events.subscribe()
    chunks = status_events(partial(status_view_of, parts_of(app)), subscription)
    assert next(chunks).startswith(b"retry: ")
    assert next_view(chunks)["page"] == "/"
    instrument.become(state=State.SCANNING)
    assert next_view(chunks)["page"] == "/live"


def test_unchanged_status_is_a_sign_of_life_not_an_event(
    app: Flask, instrument: InstrumentDouble
) -> None:
    chunks = status_events(partial(status_view_of, parts_of(app)), instrument.events.subscribe())
    next(chunks)
    next_view(chunks)
    assert next(chunks).startswith(b":")


def test_stream_ends_when_the_subscription_is_closed(
    app: Flask, instrument: InstrumentDouble
) -> None:
    subscription = instrument.events.subscribe()
    chunks = status_events(partial(status_view_of, parts_of(app)), subscription)
    next(chunks)
    next_view(chunks)
    subscription.close()
    assert list(chunks) == []


def test_number_of_streams_is_capped_and_a_closed_one_makes_room(screen: FlaskClient) -> None:
    streams = [screen.get("/stream", buffered=False) for _ in range(MAX_STREAMS)]
    assert {stream.status_code for stream in streams} == {200}
    refused = screen.get("/stream")
    assert refused.status_code == 503
    assert refused.get_json()["error"]["code"] == "WEB-STREAMS"
    streams.pop().close()
    again = screen.get("/stream", buffered=False)
    assert again.status_code == 200
    for stream in [*streams, again]:
        stream.close()


def test_closing_the_gate_ends_streams_and_refuses_new_ones(screen: FlaskClient) -> None:
    stream = screen.get("/stream", buffered=False)
    parts_of(screen.application).streams.close()
    assert b"".join(stream.response).startswith(b"retry: ")
    refused = screen.get("/stream")
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (503, "WEB-STOPPING")
    stream.close()


def test_status_can_be_polled_in_place_of_the_stream(
    screen: FlaskClient, instrument: InstrumentDouble
) -> None:
    instrument.become(state=State.PAUSED)
    view = screen.get("/screen/status").get_json()
    assert view["page"] == "/live"
    assert view["can"]["resume"] is True
