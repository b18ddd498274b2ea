from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from threading import Event, Thread
from typing import Any

import pytest
from instrument_double import TOKEN, InstrumentDouble, store_run

from device.engine.state.states import State
from device.records.records import Records
from device.settings.file import Settings
from device.settings.sections import WebConfig
from hal.errors import SettingsError
from webui.server import IDLE_TIMEOUT_S, NETWORK_THREADS, SCREEN_THREADS, ListenError, WebServer

PATIENCE_S = 60.0


@pytest.fixture
def server(
    instrument: InstrumentDouble, records: Records, settings: Settings
) -> Iterator[WebServer]:
    with WebServer(instrument, records, settings) as running:  # type: ignore[arg-type]
        yield running


def screen_port(server: WebServer) -> int:
    return int(server.url.rsplit(":", 1)[1].strip("/"))


def ask(
    port: int, path: str, method: str = "GET", headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request(method, path, headers=headers or {})
        response = connection.getresponse()
        body = response.read()
        is_json = response.getheader("Content-Type", "").startswith("application/json")
        return response.status, json.loads(body) if is_json else body
    finally:
        connection.close()


def test_screen_listener_has_full_control_without_a_token(
    server: WebServer, instrument: InstrumentDouble
) -> None:
    instrument.become(state=State.SCANNING)
    status, _ = ask(screen_port(server), "/api/v1/requests/abort", "POST")
    assert status == 202
    assert instrument.requests == ["abort"]


def test_network_listener_reads_with_the_token_and_never_controls(
    server: WebServer, instrument: InstrumentDouble, records: Records, settings: Settings
) -> None:
    run_id = store_run(records, settings)
    port, token = server.network_port, {"Authorization": f"Bearer {TOKEN}"}
    status, document = ask(port, f"/api/v1/runs/{run_id}/result", headers=token)
    assert (status, document["classified"]) == (200, 200)
    assert ask(port, f"/api/v1/runs?token={TOKEN}")[0] == 200
    assert ask(port, "/api/v1/runs")[0] == 401
    assert ask(port, "/", headers=token)[0] == 403
    assert ask(port, "/api/v1/requests/abort", "POST", token)[0] == 403
    assert instrument.requests == []


def test_network_listener_stays_closed_by_default(
    instrument: InstrumentDouble, records: Records
) -> None:
    settings = Settings(web=WebConfig(port=0, lan_host="127.0.0.1", lan_port=0))
    with WebServer(instrument, records, settings) as server:  # type: ignore[arg-type]
        assert ask(screen_port(server), "/api/v1/runs")[0] == 200
        assert server.network_port == 0


def test_silent_clients_take_no_thread(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    # A thread that waited for one of them would never be free again.
    monkeypatch.setattr(server._screen._server, "timeout", 10 * PATIENCE_S)
    port = screen_port(server)
    with ExitStack() as stack:
        for _ in range(3 * SCREEN_THREADS):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        assert ask(port, "/api/v1/status")[0] == 200


def test_stalled_network_does_not_freeze_the_screen(
    server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server._network._server, "timeout", 10 * PATIENCE_S)
    with ExitStack() as stack:
        for _ in range(2 * NETWORK_THREADS):
            client = socket.create_connection(("127.0.0.1", server.network_port))
            stack.enter_context(client)
            client.sendall(b"GET /api/v1/runs HTTP/1.1\r\nHost: box\r\n")  # and never the rest
        assert ask(screen_port(server), "/api/v1/status")[0] == 200


def test_silent_client_is_let_go_after_the_timeout(
    server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 3 <= IDLE_TIMEOUT_S <= 5
    monkeypatch.setattr(server._screen._server, "timeout", 0.2)
    with socket.create_connection(("127.0.0.1", screen_port(server)), timeout=PATIENCE_S) as client:
        assert client.recv(1) == b""


def test_stream_arrives_while_it_is_open(server: WebServer, instrument: InstrumentDouble) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", screen_port(server), timeout=PATIENCE_S)
    connection.request("GET", "/stream")
    response = connection.getresponse()
    assert response.getheader("Content-Type") == "text/event-stream; charset=utf-8"
    _read_until(response, b'"page":"/"')
    instrument.become(state=State.SCANNING)
    _read_until(response, b'"page":"/live"')
    connection.close()


def test_close_ends_open_streams_promptly(
    instrument: InstrumentDouble, records: Records, settings: Settings
) -> None:
    server = WebServer(instrument, records, settings)  # type: ignore[arg-type]
    server.start()
    connection = http.client.HTTPConnection("127.0.0.1", screen_port(server), timeout=PATIENCE_S)
    connection.request("GET", "/stream")
    response = connection.getresponse()
    ended = Event()

    def drain() -> None:
        response.read()
        ended.set()

    Thread(target=drain, daemon=True).start()
    server.close()
    assert ended.wait(PATIENCE_S)
    response.close()
    connection.close()
    server.close()


def test_taken_port_is_an_error_that_names_the_setting(
    instrument: InstrumentDouble, records: Records, server: WebServer
) -> None:
    taken = Settings(web=WebConfig(port=screen_port(server)))
    with pytest.raises(ListenError, match=r"web\.port"):
        WebServer(instrument, records, taken).start()  # type: ignore[arg-type]


def test_taken_network_port_leaves_nothing_open(
    instrument: InstrumentDouble, records: Records, server: WebServer
) -> None:
    web = WebConfig(
        port=0, lan=True, lan_host="127.0.0.1", lan_port=server.network_port, lan_token=TOKEN
    )
    second = WebServer(instrument, records, Settings(web=web))  # type: ignore[arg-type]
    with pytest.raises(ListenError, match=r"web\.lan_port"):
        second.start()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", screen_port(second)))


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "box.local"])
def test_screen_refuses_an_address_that_others_can_reach(
    instrument: InstrumentDouble, records: Records, host: str
) -> None:
    with pytest.raises(SettingsError, match=r"web\.host"):
        WebServer(instrument, records, Settings(web=WebConfig(host=host)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 40_000 + b"\r\n\r\n",
        b"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n",
    ],
)
def test_garbage_is_refused_and_the_server_lives_on(server: WebServer, raw: bytes) -> None:
    port = screen_port(server)
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as client:
        client.sendall(raw)
        assert client.recv(20)[:10] in {b"HTTP/1.1 4", b"HTTP/1.0 4"}
    assert ask(port, "/api/v1/status")[0] == 200


def _read_until(response: http.client.HTTPResponse, wanted: bytes) -> None:
    seen = b""
    while wanted not in seen:
        chunk = response.read1(4096)
        assert chunk, "the stream ended"
        seen += chunk
