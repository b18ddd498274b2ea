"""Checks and control slides over the API."""

from __future__ import annotations

import csv
from io import StringIO
from typing import Any

import pytest
from flask.testing import FlaskClient
from instrument_double import FIVE_NAMES, InstrumentDouble, store_run
from quality_double import TARGETS, store_check, store_lot

from device.checks.catalogue import CATALOGUE
from device.engine.state.states import State
from device.records.records import Records
from device.settings.file import Settings


def ok(response: Any, status: int = 200) -> Any:
    assert response.status_code == status, response.text
    return response.get_json()


def error(response: Any, status: int) -> dict[str, str]:
    return dict(ok(response, status)["error"])


def test_checks_are_listed_through_the_cursor(screen: FlaskClient, records: Records) -> None:
    ids = [store_check(records) for _ in range(3)]
    first = ok(screen.get("/api/v1/checks?limit=2"))
    rest = ok(screen.get(f"/api/v1/checks?after={first['next_after']}"))
    assert [c["id"] for c in first["checks"] + rest["checks"]] == ids
    assert (first["more"], rest["more"]) == (True, False)


def test_a_check_says_what_limit_measured_and_remedy(screen: FlaskClient, records: Records) -> None:
    found = ok(screen.get(f"/api/v1/checks/{store_check(records, failing='CHECK-BLANK-LEVEL')}"))
    assert (found["verdict"], found["operator"]) == ("fail", "AB")
    results = {result["id"]: result for result in found["report"]["results"]}
    assert list(results) == [check.id for check in CATALOGUE]
    led = results["CHECK-BLANK-LEVEL"]
    assert (led["verdict"], led["unit"], led["low"]) == ("fail", "% of new", 50.0)
    assert all(led[key] for key in ("what", "limit", "cause", "remedy", "code"))


def test_an_unknown_check_or_lot_is_not_found(screen: FlaskClient) -> None:
    for path, code in (
        ("checks/9", "WEB-CHECK-NOT-FOUND"),
        ("quality/lots/9", "WEB-LOT-NOT-FOUND"),
        ("quality/lots/9/points", "WEB-LOT-NOT-FOUND"),
        (f"checks/{2**70}", "WEB-RECORD-NUMBER"),
    ):
        assert error(screen.get(f"/api/v1/{path}"), 404)["code"] == code


def test_a_check_is_asked_for(screen: FlaskClient, instrument: InstrumentDouble) -> None:
    answer = ok(screen.post("/api/v1/checks", json={"operator": "AB", "level": "full"}), 202)
    assert answer["requested"] == "full"
    ok(screen.post("/api/v1/checks", json={}), 202)
    assert instrument.requests == ["check full AB", "check daily "]


def test_a_check_is_refused_during_a_run(screen: FlaskClient, instrument: InstrumentDouble) -> None:
    instrument.become(state=State.SCANNING)
    assert error(screen.post("/api/v1/checks", json={}), 409)["code"] == "REQUEST-REFUSED"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ([], "WEB-JSON"),
        ("x", "WEB-JSON"),
        ({"level": "startup"}, "WEB-CHECK-LEVEL"),
        ({"operator": 7}, "WEB-TEXT"),
        ({"operator": "x" * 65}, "WEB-TEXT"),
    ],
)
def test_a_check_that_makes_no_sense_is_a_clear_error(
    screen: FlaskClient, body: Any, code: str
) -> None:
    assert error(screen.post("/api/v1/checks", json=body), 400)["code"] == code


def test_the_network_reads_checks_and_controls_and_orders_nothing(
    network: FlaskClient, records: Records, settings: Settings
) -> None:
    check_id, lot_id = store_check(records), store_lot(records, settings, 2)
    assert ok(network.get(f"/api/v1/checks/{check_id}"))
    assert ok(network.get(f"/api/v1/quality/lots/{lot_id}/points"))
    for path in ("checks", "quality/lots", "quality/points/1/comments"):
        assert error(network.post(f"/api/v1/{path}", json={}), 403)["code"] == "WEB-FORBIDDEN"


def test_a_lot_is_entered_with_targets_and_closed(screen: FlaskClient) -> None:
    targets = {"neutrophil": {"mean": 60.0, "sd": 3.0}}
    body = {"name": "Q8", "level": "low", "targets": targets}
    lot_id = ok(screen.post("/api/v1/quality/lots", json=body), 201)["lot_id"]
    lot = ok(screen.get(f"/api/v1/quality/lots/{lot_id}"))
    assert (lot["name"], lot["level"], lot["source"], lot["targets"]) == (
        *("Q8", "low", "entered"),
        targets,
    )
    again = screen.post("/api/v1/quality/lots", json=body)
    assert error(again, 400)["code"] == "LOT-NAME-IN-USE"
    ok(screen.post(f"/api/v1/quality/lots/{lot_id}/close"))
    assert ok(screen.get("/api/v1/quality/lots"))["lots"][0]["closed_utc"]
    ok(screen.post("/api/v1/quality/lots", json=body), 201)


@pytest.mark.parametrize(
    ("targets", "code"),
    [
        ({"neutrophil": {"mean": 60.0}}, "TARGETS-NUMBER-MISSING"),
        ({"neutrophil": {"mean": 60.0, "sd": 0.0}}, "TARGETS-OUT-OF-RANGE"),
        ({"neutrophil": {"mean": -1.0, "sd": 1.0}}, "TARGETS-OUT-OF-RANGE"),
        ({"neutrophil": {"mean": 1.0, "sd": float("inf")}}, "TARGETS-OUT-OF-RANGE"),
        ({"neutrophil": {"mean": 101.0, "sd": 1.0}}, "TARGETS-OUT-OF-RANGE"),
        ({"neutrophil": {"mean": "sixty", "sd": "3"}}, "TARGETS-NUMBER-MISSING"),
        ({"neutrophil": {"mean": True, "sd": 1.0}}, "TARGETS-NUMBER-MISSING"),
        ({"neutrophil": {"mean": 10**400, "sd": 1.0}}, "TARGETS-NUMBER-MISSING"),
        ({"neutrophil": 60.0}, "TARGETS-NUMBER-MISSING"),
        ({"hemoglobin": {"mean": 60.0, "sd": 1.0}}, "TARGETS-VALUE-UNKNOWN"),
        ("", "TARGETS-NOT-AN-OBJECT"),
        (0, "TARGETS-NOT-AN-OBJECT"),
        (["neutrophil"], "TARGETS-NOT-AN-OBJECT"),
    ],
)
def test_targets_that_cannot_be_any_are_refused(
    screen: FlaskClient, targets: Any, code: str
) -> None:
    answer = screen.post("/api/v1/quality/lots", json={"name": "Q", "targets": targets})
    assert error(answer, 400)["code"] == code


def test_control_runs_are_listed_and_exported(
    screen: FlaskClient, records: Records, settings: Settings
) -> None:
    lot_id = store_lot(records, settings, 5)
    points = ok(screen.get(f"/api/v1/quality/lots/{lot_id}/points"))["points"]
    assert len(points) == 5
    assert points[-1]["rules"]["neutrophil"] == ["1-2s", "1-3s"]
    table = screen.get(f"/api/v1/quality/lots/{lot_id}/points.csv")
    rows = list(csv.DictReader(StringIO(table.text)))
    assert rows[-1]["verdict"] == "rejected"
    assert rows[-1]["rules"] == "neutrophil:1-2s+1-3s"
    assert float(rows[0]["neutrophil_percent"]) == points[0]["values"]["neutrophil"]
    assert {f"{name}_percent" for name in FIVE_NAMES} < set(rows[0])
    assert "red_cells_per_mm2" in rows[0]
    assert table.text == screen.get(f"/api/v1/quality/lots/{lot_id}/points?format=csv").text


def test_what_a_person_says_is_added_and_nothing_is_overwritten(
    screen: FlaskClient, records: Records, settings: Settings
) -> None:
    lot_id = store_lot(records, settings, 2)
    path = "/api/v1/quality/points/2/comments"
    for text in ("Optics cleaned", "Repeated"):
        ok(screen.post(path, json={"operator": "AB", "text": text}), 201)
    said = ok(screen.get(f"/api/v1/quality/lots/{lot_id}/points"))["points"][1]["comments"]
    assert [(one["operator"], one["text"]) for one in said] == [
        ("AB", "Optics cleaned"),
        ("AB", "Repeated"),
    ]
    assert error(screen.post(path, json={"text": "  "}), 400)["code"] == "WEB-COMMENT-EMPTY"
    missing = screen.post("/api/v1/quality/points/99/comments", json={"text": "x"})
    assert error(missing, 404)["code"] == "WEB-CONTROL-RUN-NOT-FOUND"


def test_a_control_slide_is_started_as_such(
    screen: FlaskClient, instrument: InstrumentDouble, records: Records, settings: Settings
) -> None:
    lot_id = store_lot(records, settings, 1)
    body = {"sample_id": "CONTROL", "control_lot": lot_id}
    run_id = ok(screen.post("/api/v1/runs", json=body), 202)["run_id"]
    assert ok(screen.get(f"/api/v1/runs/{run_id}"))["run"]["control_lot"] == lot_id
    other = store_run(records, settings)
    assert ok(screen.get(f"/api/v1/runs/{other}"))["run"]["control_lot"] is None


@pytest.mark.parametrize("lot", [0, -1, "1", 1.5, True])
def test_a_control_lot_that_is_no_number_is_refused(screen: FlaskClient, lot: Any) -> None:
    body = {"sample_id": "CONTROL", "control_lot": lot}
    assert error(screen.post("/api/v1/runs", json=body), 400)["code"] == "WEB-SAMPLE-LOT"


def test_the_targets_of_the_double_are_known_analytes(screen: FlaskClient) -> None:
    assert set(TARGETS) <= set(ok(screen.get("/api/v1/quality/lots"))["units"])
