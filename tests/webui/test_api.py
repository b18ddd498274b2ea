from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from flask import abort
from flask.testing import FlaskClient
from instrument_double import (
    DISK,
    HEALTHY,
    LID,
    InstrumentDouble,
    analysed_tile,
    replace,
    store_run,
)

from device.engine.state.states import State
from device.records.records import Records
from device.results.cell import CellKind
from device.settings.file import Settings


def get(client: FlaskClient, path: str, status: int = 200) -> Any:
    response = client.get(path)
    assert response.status_code == status, response.text
    return response.get_json()


def problem(client: FlaskClient, path: str, status: int) -> dict[str, str]:
    error = get(client, path, status)["error"]
    assert set(error) == {"code", "cause", "remedy"}
    assert all(error.values())
    return dict(error)


def test_status_carries_units_and_conditions(screen: FlaskClient) -> None:
    status = get(screen, "/api/v1/status")
    assert status["state"] == "idle"
    assert {"elapsed_s", "remaining_s", "target_cells"} <= set(status)
    assert status["start_conditions"][0]["name"] == "lid_closed"


def test_runs_are_listed_through_the_cursor_without_gap_or_repeat(
    screen: FlaskClient, records: Records, settings: Settings
) -> None:
    ids = [store_run(records, settings, counts={}, unidentified=0) for _ in range(5)]
    seen, after, more = [], 0, True
    while more:
        page = get(screen, f"/api/v1/runs?after={after}&limit=2")
        assert len(page["runs"]) <= 2
        seen += [run["id"] for run in page["runs"]]
        after, more = page["next_after"], page["more"]
    assert seen == ids
    assert get(screen, f"/api/v1/runs?after={after}") == {
        "runs": [],
        "next_after": after,
        "more": False,
    }


def test_run_has_settings_versions_and_result_but_not_the_token(
    screen: FlaskClient, run_id: int, settings: Settings
) -> None:
    response = screen.get(f"/api/v1/runs/{run_id}")
    document = response.get_json()
    assert document["run"]["settings"]["scan"]["target_cells"] == settings.scan.target_cells
    assert document["run"]["versions"]["scout"]
    assert document["result"]["classified"] == 200
    assert settings.web.lan_token not in response.text
    assert settings.web.lan_token not in screen.get("/api/v1/runs").text


def test_result_gives_exact_intervals(screen: FlaskClient, run_id: int) -> None:
    share = get(screen, f"/api/v1/runs/{run_id}/result")["differential"]["neutrophil"]
    assert share["n"] == 122
    assert (round(share["low"], 1), round(share["high"], 1)) == (53.9, 67.8)


def test_cells_can_be_selected_by_class(screen: FlaskClient, run_id: int) -> None:
    cells = get(screen, f"/api/v1/runs/{run_id}/cells?kind=eosinophil")["cells"]
    assert len(cells) == HEALTHY[CellKind.EOSINOPHIL]
    assert {cell["kind"] for cell in cells} == {"eosinophil"}
    assert sum(cells[0]["probabilities"].values()) == pytest.approx(1.0)


def test_cell_has_its_picture_and_mask(screen: FlaskClient, run_id: int) -> None:
    cell = get(screen, f"/api/v1/runs/{run_id}/cells?limit=1")["cells"][0]
    assert get(screen, f"/api/v1/cells/{cell['id']}") == cell
    for name, levels in (("picture", 256), ("mask", 3)):
        response = screen.get(f"/api/v1/cells/{cell['id']}/{name}.png")
        assert response.mimetype == "image/png"
        image = cv2.imdecode(np.frombuffer(response.data, np.uint8), cv2.IMREAD_UNCHANGED)
        assert image.shape == (160, 160)
        assert image.max() < levels


def test_tiles_and_events_of_a_run_are_listed(screen: FlaskClient, run_id: int) -> None:
    assert get(screen, f"/api/v1/runs/{run_id}/tiles")["tiles"][0]["dose_mj_per_cm2"] == 0.3
    assert get(screen, f"/api/v1/runs/{run_id}/events")["events"][0]["kind"] == "note"


def test_latest_tile_is_a_picture_once_there_is_one(
    screen: FlaskClient, instrument: InstrumentDouble
) -> None:
    problem(screen, "/api/v1/tiles/latest.png", 404)
    instrument.show_tile(analysed_tile())
    image = cv2.imdecode(
        np.frombuffer(screen.get("/api/v1/tiles/latest.png").data, np.uint8), cv2.IMREAD_UNCHANGED
    )
    assert np.array_equal(image, analysed_tile().preview)


def test_running_run_has_no_result_yet(screen: FlaskClient, records: Records) -> None:
    run_id = records.begin_run("S-1", {}, {})
    assert get(screen, f"/api/v1/runs/{run_id}")["result"] is None
    error = problem(screen, f"/api/v1/runs/{run_id}/result", 404)
    assert error["code"] == "WEB-RESULT-NOT-FOUND"


@pytest.mark.parametrize(
    "query",
    [
        "after=-1",
        "after=x",
        "after=1.5",
        "after=",
        "after=%FF%FE",
        "after=9223372036854775808",
        "after=99999999999999999999999999",
        "after=٣",
        "limit=0",
        "limit=1001",
        "limit=1e3",
        "limit=-5",
    ],
)
def test_wrong_cursor_is_a_bad_request_that_names_the_parameter(
    screen: FlaskClient, query: str
) -> None:
    error = problem(screen, f"/api/v1/runs?{query}", 400)
    assert error["code"] == "WEB-NUMBER"
    assert query.partition("=")[0] in error["cause"]


@pytest.mark.parametrize("query", ["kind=plasma", "kind=%FF", "format=xml", "limit=abc"])
def test_wrong_selection_of_cells_is_a_bad_request(
    screen: FlaskClient, run_id: int, query: str
) -> None:
    problem(screen, f"/api/v1/runs/{run_id}/cells?{query}", 400)


@pytest.mark.parametrize(
    "address",
    ["runs/{}", "runs/{}/cells", "runs/{}/result.csv", "runs/{}/tiles", "cells/{}/picture.png"],
)
def test_unknown_numbers_are_not_found(screen: FlaskClient, address: str) -> None:
    for number in ("77", "0", "9223372036854775808", "9" * 5000, "-1", "abc", "%FF"):
        problem(screen, "/api/v1/" + address.format(number), 404)


@pytest.mark.parametrize("address", ["runs/{}", "runs/{}/result.csv", "cells/{}/picture.png"])
def test_digits_of_other_scripts_are_no_number(
    screen: FlaskClient, run_id: int, address: str
) -> None:
    assert run_id == 1
    assert screen.get("/api/v1/" + address.format("1")).status_code == 200
    for number in ("%D9%A1", "%EF%BC%91"):
        problem(screen, "/api/v1/" + address.format(number), 404)


def test_start_is_accepted_with_a_link_to_the_run(
    screen: FlaskClient, instrument: InstrumentDouble
) -> None:
    response = screen.post("/api/v1/runs", json={"sample_id": "S-0007"})
    assert response.status_code == 202
    answer = response.get_json()
    assert instrument.requests == ["start S-0007"]
    assert response.headers["Location"].endswith(answer["link"])
    assert get(screen, answer["link"])["run"]["sample_id"] == "S-0007"


def test_refused_start_is_a_conflict_that_names_what_to_do(
    screen: FlaskClient, instrument: InstrumentDouble
) -> None:
    instrument.become(start_conditions=(replace(LID, met=False), DISK))
    response = screen.post("/api/v1/runs", json={"sample_id": "S-0007"})
    assert response.status_code == 409
    error = response.get_json()["error"]
    assert error["code"] == "START-REFUSED"
    assert "Close the lid" in error["remedy"]
    assert instrument.requests == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"S-1"',
        b'{"sample_id": 7}',
        b'{"sample_id": "S-1", "control_lot": "3"}',
        b'{"sample_id": "S-1", "operator": null}',
        b'{"sample_id": ""}',
        b'{"sample_id": "a b"}',
        b'{"sample_id": "\\u0000"}',
        b'{"sample_id": "' + b"x" * 65 + b'"}',
        b'{"sample_id": "\xff"}',
        b'{"sample": "S-1"}',
        b"[" * 5000,
    ],
)
def test_unusable_sample_id_is_a_bad_request(
    screen: FlaskClient, instrument: InstrumentDouble, body: bytes
) -> None:
    for path in ("/api/v1/runs", "/api/v1/sample"):
        response = screen.post(path, data=body, content_type="application/json")
        assert response.status_code == 400
        assert response.get_json()["error"]["remedy"]
    assert instrument.requests == []


def enter(screen: FlaskClient, status: int = 200, **changes: Any) -> dict[str, Any]:
    response = screen.post("/api/v1/sample", json=changes)
    assert response.status_code == status
    return dict(response.get_json())


def test_the_waiting_sample_is_entered_as_a_whole_and_told_by_the_status(
    screen: FlaskClient, records: Records
) -> None:
    lot = records.quality.add_lot("Q7", "normal", None)
    entered = enter(screen, sample_id="Q7-1", control_lot=lot, operator="Ann Bee")
    assert entered == get(screen, "/api/v1/status")["waiting_sample"]
    assert (entered["sample_id"], entered["control_lot"], entered["ready"]) == ("Q7-1", lot, True)
    assert enter(screen, control_lot=None)["operator"] == "Ann Bee"


def test_a_draft_is_told_and_taken_back(screen: FlaskClient) -> None:
    enter(screen, sample_id="S-7")
    draft = enter(screen, draft_sample_id="S-7b")
    assert (draft["sample_id"], draft["draft_sample_id"], draft["ready"]) == ("S-7", "S-7b", False)
    assert draft["problems"][0]["code"] == "SAMPLE-ID-HALF-ENTERED"
    assert enter(screen, draft_sample_id=None)["ready"]


def test_an_id_that_is_refused_leaves_nothing_ready(screen: FlaskClient) -> None:
    enter(screen, sample_id="S-7")
    assert enter(screen, 400, sample_id="two words")["error"]["code"] == "INPUT-SAMPLE-ID"
    assert not get(screen, "/api/v1/status")["waiting_sample"]["ready"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "WEB-NO-SAMPLE"),
        ({"sample": "S-1"}, "WEB-NO-SAMPLE"),
        ({"sample_id": 7}, "WEB-SAMPLE-TEXT"),
        ({"draft_operator": 7}, "WEB-SAMPLE-DRAFT"),
        ({"sample_id": "\ud800"}, "WEB-SAMPLE-TEXT"),
        ({"draft_sample_id": "\ud800"}, "WEB-SAMPLE-DRAFT"),
        ({"control_lot": 0}, "WEB-SAMPLE-LOT"),
        ({"control_lot": True}, "WEB-SAMPLE-LOT"),
    ],
)
def test_a_body_that_says_nothing_of_a_sample_changes_nothing(
    screen: FlaskClient, body: dict[str, Any], code: str
) -> None:
    before = enter(screen, sample_id="S-7")
    assert enter(screen, 400, **body)["error"]["code"] == code
    assert get(screen, "/api/v1/status")["waiting_sample"] == before


def test_closing_the_chosen_lot_is_told_at_once(screen: FlaskClient, records: Records) -> None:
    lot = records.quality.add_lot("Q7", "normal", None)
    enter(screen, sample_id="Q7-1", control_lot=lot)
    assert screen.post(f"/api/v1/quality/lots/{lot}/close").status_code == 200
    problems = get(screen, "/api/v1/status")["waiting_sample"]["problems"]
    assert [problem["code"] for problem in problems] == ["INPUT-LOT"]


def test_a_start_stores_lot_and_operator_of_its_body(screen: FlaskClient, records: Records) -> None:
    lot = records.quality.add_lot("Q7", "normal", None)
    body = {"sample_id": "Q7-1", "control_lot": lot, "operator": "AB"}
    link = screen.post("/api/v1/runs", json=body).get_json()["link"]
    run = get(screen, link)["run"]
    assert (run["control_lot"], run["operator"]) == (lot, "AB")


def test_body_of_another_type_is_a_bad_request(screen: FlaskClient) -> None:
    response = screen.post("/api/v1/runs", data={"sample_id": "S-1"})
    assert response.status_code == 400


def test_too_large_body_is_refused(screen: FlaskClient) -> None:
    response = screen.post("/api/v1/runs", json={"sample_id": "x" * 100_000})
    assert response.status_code == 413
    assert response.get_json()["error"]["code"] == "WEB-413"


@pytest.mark.parametrize(
    ("state", "name", "after"),
    [
        (State.SCANNING, "pause", State.PAUSING),
        (State.PAUSED, "resume", State.PREPARING),
        (State.SCANNING, "abort", State.ABORTING),
        (State.COMPLETE, "acknowledge", State.IDLE),
        (State.FAULT, "acknowledge", State.SELF_TEST),
    ],
)
def test_control_reaches_the_instrument(
    screen: FlaskClient, instrument: InstrumentDouble, state: State, name: str, after: State
) -> None:
    instrument.become(state=state)
    response = screen.post(f"/api/v1/requests/{name}")
    assert response.status_code == 202
    assert instrument.requests == [name]
    assert instrument.status().state == after


@pytest.mark.parametrize("name", ["pause", "resume", "abort", "acknowledge"])
def test_control_that_does_not_fit_the_state_is_a_conflict(
    screen: FlaskClient, instrument: InstrumentDouble, name: str
) -> None:
    response = screen.post(f"/api/v1/requests/{name}")
    assert response.status_code == 409
    assert "idle" in response.get_json()["error"]["cause"]
    assert instrument.requests == []


def test_unknown_control_is_not_found(screen: FlaskClient) -> None:
    assert screen.post("/api/v1/requests/explode").status_code == 404


def test_reading_method_on_a_control_is_not_allowed(screen: FlaskClient) -> None:
    response = screen.get("/api/v1/requests/abort")
    assert response.status_code == 405
    assert "POST" in response.headers["Allow"]
    assert response.get_json()["error"]["code"] == "WEB-405"


@pytest.mark.parametrize(
    ("status", "code"), [(400, "WEB-400"), (404, "WEB-404"), (416, "WEB-416"), (418, "WEB-HTTP")]
)
def test_a_refusal_of_the_web_framework_has_the_texts_of_its_status(
    screen: FlaskClient,
    instrument: InstrumentDouble,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    code: str,
) -> None:
    monkeypatch.setattr(instrument, "latest_tile_png", lambda: abort(status))
    error = problem(screen, "/api/v1/tiles/latest.png", status)
    assert error["code"] == code
    assert "GET /api/v1/tiles/latest.png" in error["cause"]


def test_failed_records_are_told_as_unavailable(screen: FlaskClient, records: Records) -> None:
    records.close()
    records.path.write_bytes(b"no database")
    error = problem(screen, "/api/v1/runs", 503)
    assert error["code"] == "RECORDS-DAMAGED"


def test_defect_is_answered_without_its_text(
    screen: FlaskClient, instrument: InstrumentDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> bytes:
        raise RuntimeError("secret of the house")

    monkeypatch.setattr(instrument, "latest_tile_png", fails)
    response = screen.get("/api/v1/tiles/latest.png")
    assert response.status_code == 500
    assert response.get_json()["error"]["code"] == "WEB-INTERNAL"
    assert "secret" not in response.text
