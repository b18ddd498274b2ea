"""Calibration on the screen and over the API, over an instrument that a test moves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from instrument_double import InstrumentDouble, store_run

from device.calibration.effective import made_for
from device.calibration.service import CalibrationService
from device.calibration.steps.catalogue import STEP_IDS
from device.calibration.steps.led_power import PERIOD_S, PULSE_MS, PULSES
from device.calibration.steps.quantities import CalibrationRefusedError, Outcome, Quantity
from device.engine.state.states import State
from device.records.calibrations import CalibrationState
from device.records.records import Records
from device.settings.file import Settings

API = "/api/v1/calibration"
GOOD = Outcome(
    (Quantity("exposure_ms", 33.25, "ms", 0.5, 1.0, 100.0),),
    {"made_for": made_for("flat_field", Settings())},
)
BAD = Outcome(
    (Quantity("rotation_deg", 2.5, "deg", 0.1, -0.4, 0.4),),
    {},
    CalibrationRefusedError("CALIBRATION-ROTATION", found="0.9 deg", limits="at most 0.4 deg"),
)


def begin(screen: FlaskClient) -> None:
    answer = screen.post(f"{API}/session", json={"operator": "Ann"})
    assert answer.status_code == 201


def store(records: Records, step: str, outcome: Outcome) -> None:
    session = records.calibrations.open_session("simulated")
    assert session is not None
    state = CalibrationState.MEASURED if outcome.refusal is None else CalibrationState.REFUSED
    records.calibrations.add(session, "simulated", step, state, "1.0", outcome.document())


def steps(screen: FlaskClient) -> dict[str, dict[str, Any]]:
    return {step["id"]: step for step in screen.get(API).get_json()["steps"]}


def test_all_steps_are_listed_as_not_calibrated(screen: FlaskClient) -> None:
    assert tuple(steps(screen)) == STEP_IDS
    assert {step["validity"] for step in steps(screen).values()} == {"missing"}
    page = screen.get("/calibration").text
    assert page.count("Not calibrated") == len(STEP_IDS)
    assert "Operator" in page


def test_a_session_is_begun_resumed_and_ended(screen: FlaskClient) -> None:
    assert screen.get("/calibration/next").location == "/calibration"
    begin(screen)
    assert "Begun by Ann" in screen.get("/calibration").text
    assert screen.get("/calibration/next").location == "/calibration/slide_corners"
    assert screen.post(f"{API}/steps/slide_corners/skip").status_code == 202
    assert screen.get("/calibration/next").location == "/calibration/flat_field"
    assert screen.post(f"{API}/end").status_code == 200
    assert screen.get(API).get_json()["session"] is None


def test_the_page_of_a_step_says_what_to_put_in(screen: FlaskClient) -> None:
    begin(screen)
    page = screen.get("/calibration/focus_reference").text
    assert "Put in a slide with a smear" in page
    assert "ultraviolet light" in page
    assert 'data-entry="offset_um"' in page
    assert "Skip" not in page
    assert "Skip" in screen.get("/calibration/backlash").text
    assert screen.get("/calibration/colour").status_code == 404


def test_a_step_is_measured_accepted_and_valid(
    screen: FlaskClient, instrument: InstrumentDouble, records: Records
) -> None:
    begin(screen)
    assert screen.post(f"{API}/steps/flat_field/measure").status_code == 202
    assert [order.name for order in instrument.orders] == ["flat_field"]
    assert instrument.orders[0].lit
    view = screen.get("/screen/status").get_json()
    assert view["page"] == "/calibration/flat_field"
    assert view["calibration"]["busy"]
    assert view["can"]["abort"]
    assert screen.get("/").location == "/calibration/flat_field"
    store(records, "flat_field", GOOD)
    instrument.become(state=State.IDLE)
    page = screen.get("/calibration/flat_field").text
    assert "33.25 ± 0.50 ms" in page
    assert "1 to 100 ms" in page
    assert "Accept" in page
    assert screen.post(f"{API}/steps/flat_field/accept").status_code == 202
    assert steps(screen)["flat_field"]["validity"] == "valid"
    assert "Valid until" in screen.get("/calibration/flat_field").text


def test_a_refused_step_shows_cause_remedy_and_code_and_cannot_be_accepted(
    screen: FlaskClient, records: Records
) -> None:
    begin(screen)
    store(records, "pixel_size", BAD)
    page = screen.get("/calibration/pixel_size").text
    for part in ("turned by 0.9 deg", "Turn the camera", "CALIBRATION-ROTATION", "Repeat"):
        assert part in page
    assert "/accept" not in page
    answer = screen.post(f"{API}/steps/pixel_size/accept")
    assert answer.status_code == 409


def test_entered_numbers_reach_the_step_and_are_checked(
    screen: FlaskClient, instrument: InstrumentDouble
) -> None:
    begin(screen)
    answer = screen.post(f"{API}/steps/led_power/measure", json={"power_mw": 0.01})
    assert answer.status_code == 400
    assert answer.get_json()["error"]["code"] == "CALIBRATION-ENTRY-MISSING"
    whole = {"power_mw": 0.01, "field_width_mm": 0.4, "field_height_mm": 0.4}
    typed = {**whole, "power_mw": "0.01"}
    assert screen.post(f"{API}/steps/led_power/measure", json=typed).status_code == 202
    assert not instrument.orders[0].lit


@pytest.mark.parametrize(
    "body",
    [
        [1],
        *({"power_mw": value} for value in ("much", "0x10", "", True, None, 10**400, float("nan"))),
    ],
)
def test_what_is_no_number_is_refused(screen: FlaskClient, body: Any) -> None:
    begin(screen)
    answer = screen.post(f"{API}/steps/led_power/measure", json=body)
    assert answer.status_code == 400
    expected = "WEB-CALIBRATION-NUMBER" if isinstance(body, dict) else "WEB-JSON"
    assert answer.get_json()["error"]["code"] == expected


def test_a_move_names_its_axes(screen: FlaskClient, instrument: InstrumentDouble) -> None:
    begin(screen)
    assert screen.post(f"{API}/jog", json={"x": 1}).status_code == 400
    assert instrument.orders == []


@pytest.mark.parametrize("body", [{}, {"operator": 7}, {"operator": "Ann", "steps": "all"}])
def test_a_session_needs_an_operator(screen: FlaskClient, body: Any) -> None:
    assert screen.post(f"{API}/session", json=body).status_code == 400


def test_the_stage_is_driven_and_a_corner_marked(
    screen: FlaskClient, instrument: InstrumentDouble
) -> None:
    begin(screen)
    for path, body in (
        ("visit/first", None),
        ("jog", {"dx_um": 200, "dy_um": -200}),
        ("mark/first", None),
    ):
        assert screen.post(f"{API}/{path}", json=body).status_code == 202
        assert instrument.status().state == State.CALIBRATING
        assert screen.get("/screen/status").get_json()["page"] == "/calibration/slide_corners"
        instrument.become(state=State.IDLE, calibrating=None)
    assert screen.post(f"{API}/mark/third").status_code == 400
    assert screen.get(f"{API}/picture.png").status_code == 404
    assert "Go to second corner" in screen.get("/calibration/slide_corners").text


def test_pulses_for_a_power_meter_are_asked_for(
    screen: FlaskClient, instrument: InstrumentDouble
) -> None:
    assert screen.post(f"{API}/pulses").status_code == 409
    begin(screen)
    page = screen.get("/calibration/led_power").text
    assert f"{API}/pulses" in page
    assert f"Give {PULSES} pulses" in page
    factor = 1000 * PERIOD_S / PULSE_MS
    assert f"{PULSES} pulses of {PULSE_MS:g} ms, one per second" in page
    assert f"{factor:g} times the reading" in page
    assert f"{API}/pulses" not in screen.get("/calibration/flat_field").text
    assert screen.post(f"{API}/pulses").status_code == 202
    (order,) = instrument.orders
    assert order.lit
    view = screen.get("/screen/status").get_json()
    assert view["page"] == "/calibration/led_power"
    assert view["can"]["abort"]
    instrument.become(state=State.IDLE, calibrating=None)
    screen.post(f"{API}/steps/led_power/skip")
    assert f"{API}/pulses" not in screen.get("/calibration/led_power").text
    assert 'data-entry="power_mw"' in screen.get("/calibration/led_power").text, "to repeat it"


def test_the_picture_of_a_jog_is_shown(
    screen: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CalibrationService, "picture", np.full((64, 80), 2000, np.uint16))
    answer = screen.get(f"{API}/picture.png")
    assert answer.mimetype == "image/png"
    assert answer.data.startswith(b"\x89PNG")


def test_nothing_is_asked_for_while_something_else_goes_on(
    screen: FlaskClient, instrument: InstrumentDouble
) -> None:
    begin(screen)
    instrument.become(state=State.SCANNING)
    assert screen.post(f"{API}/steps/flat_field/measure").status_code == 409


def test_every_result_is_listed_page_by_page(screen: FlaskClient, records: Records) -> None:
    begin(screen)
    for _ in range(3):
        store(records, "flat_field", GOOD)
    first = screen.get("/api/v1/calibrations?limit=2").get_json()
    assert first["more"]
    assert [entry["step"] for entry in first["calibrations"]] == ["flat_field"] * 2
    rest = screen.get(f"/api/v1/calibrations?after={first['next_after']}").get_json()
    assert len(rest["calibrations"]) == 1
    assert not rest["more"]
    assert rest["calibrations"][0]["operator"] == "Ann"


def test_the_network_reads_and_never_calibrates(network: FlaskClient) -> None:
    assert network.get(API).status_code == 200
    assert network.post(f"{API}/session", json={"operator": "Ann"}).status_code == 403


def test_a_result_shows_the_calibration_it_used(
    screen: FlaskClient, records: Records, settings: Settings
) -> None:
    run_id = store_run(records, settings)
    assert (
        "Not calibrated: the values of the settings were used."
        in screen.get(f"/runs/{run_id}/details").text
    )
    used = {
        "id": 4,
        "step": "pixel_size",
        "utc": "2026-03-01T08:00:00.000+00:00",
        "operator": "Ann",
        "software": "1.0",
        "quantities": GOOD.document()["quantities"],
    }
    run_id = store_run(records, settings, calibration=[used])
    page = screen.get(f"/runs/{run_id}/details").text
    assert "Pixel size and rotation" in page
    assert "33.25 ± 0.50 ms" in page
    assert "Ann" in page
