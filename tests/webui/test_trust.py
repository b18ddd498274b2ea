from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient
from instrument_double import InstrumentDouble, store_run

from device.engine.state.states import State
from device.records.records import Records
from device.settings.file import Settings
from webui.trust import is_loopback

CONTROLS = [
    "/api/v1/runs",
    "/api/v1/sample",
    "/api/v1/requests/abort",
    "/api/v1/requests/acknowledge",
]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8260", "localhost:8260", "[::1]:8260"])
def test_screen_answers_to_its_own_names(screen: FlaskClient, host: str) -> None:
    assert screen.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example:8260", "192.168.1.7", "localhost.evil", "[::1", ""],
)
def test_screen_refuses_other_host_names_and_shows_nothing(screen: FlaskClient, host: str) -> None:
    for path in ("/", "/api/v1/runs", "/stream", "/static/screen.css", "/nowhere"):
        response = screen.get(path, headers={"Host": host})
        assert response.status_code == 421
        assert set(response.get_json()) == {"error"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:9999"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example"},
    ],
)
def test_screen_refuses_control_from_another_site(
    screen: FlaskClient, instrument: InstrumentDouble, headers: dict[str, str]
) -> None:
    instrument.become(state=State.COMPLETE)
    for path in CONTROLS:
        response = screen.post(path, json={"sample_id": "S-1"}, headers=headers)
        assert response.status_code == 403
        assert response.get_json()["error"]["code"] == "WEB-OTHER-SITE"
    assert instrument.requests == []


def test_screen_takes_control_from_its_own_page(
    screen: FlaskClient, instrument: InstrumentDouble
) -> None:
    headers = {
        "Host": "127.0.0.1:8260",
        "Origin": "http://127.0.0.1:8260",
        "Sec-Fetch-Site": "same-origin",
    }
    response = screen.post("/api/v1/runs", json={"sample_id": "S-1"}, headers=headers)
    assert response.status_code == 202
    assert instrument.requests == ["start S-1"]


def test_network_reads_results_with_the_token(
    network: FlaskClient, records: Records, settings: Settings
) -> None:
    run_id = store_run(records, settings)
    cell_id = network.get(f"/api/v1/runs/{run_id}/cells").get_json()["cells"][0]["id"]
    for path in (
        "runs",
        f"runs/{run_id}",
        f"runs/{run_id}/result.csv",
        f"runs/{run_id}/cells.csv",
        f"cells/{cell_id}/picture.png",
    ):
        assert network.get(f"/api/v1/{path}").status_code == 200


def test_network_takes_the_token_from_the_address(app: Flask, settings: Settings) -> None:
    client = app.test_client()
    assert client.get(f"/api/v1/runs?token={settings.web.lan_token}").status_code == 200


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic 0123456789abcdef-token", "Bearer ÿ"],
)
def test_network_refuses_a_missing_or_wrong_token(app: Flask, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    response = app.test_client().get("/api/v1/runs", headers=headers)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert response.get_json()["error"]["code"] == "WEB-TOKEN"


@pytest.mark.parametrize("token", ["", "wrong", "%FF", "0123456789abcdef-token%00"])
def test_network_refuses_a_wrong_token_in_the_address(app: Flask, token: str) -> None:
    assert app.test_client().get(f"/api/v1/runs?token={token}").status_code == 401


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_network_never_controls(
    network: FlaskClient, instrument: InstrumentDouble, method: str
) -> None:
    instrument.become(state=State.COMPLETE)
    for path in CONTROLS:
        response = network.open(path, method=method, json={"sample_id": "S-1"})
        assert response.status_code == 403
        assert response.get_json()["error"]["code"] == "WEB-FORBIDDEN"
    assert instrument.requests == []


def test_network_gets_no_page_and_no_stream(network: FlaskClient) -> None:
    for path in ("/", "/live", "/runs", "/stream", "/static/screen.css"):
        assert network.get(path).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1"},
        {"Host": "127.0.0.1"},
        {"Leukolux.Listener": "screen", "leukolux-listener": "screen"},
    ],
)
def test_no_header_makes_the_network_the_screen(app: Flask, headers: dict[str, str]) -> None:
    client = app.test_client()
    client.environ_base["REMOTE_ADDR"] = "127.0.0.1"
    assert client.get("/api/v1/runs", headers=headers).status_code == 401


def test_empty_token_setting_opens_nothing(instrument: InstrumentDouble, records: Records) -> None:
    from webui.app import create_app

    app = create_app(instrument, records, Settings())  # type: ignore[arg-type]
    assert app.test_client().get("/api/v1/runs?token=").status_code == 401


@pytest.mark.parametrize("path", ["/", "/runs", "/api/v1/runs", "/api/v1/nothing", "/nowhere"])
def test_every_answer_is_hardened(screen: FlaskClient, path: str) -> None:
    headers = screen.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("box", False)],
)
def test_loopback_is_told_by_the_address(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
