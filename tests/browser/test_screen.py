"""The screen over an instrument that the test moves from state to state."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from dataclasses import replace

import pytest
from fit import CONTRAST, SCREENS, check_fit, show_at
from instrument_double import (
    DISK,
    LID,
    PROBLEM,
    InstrumentDouble,
    analysed_tile,
    keep_tiles,
    store_run,
)
from playwright.sync_api import Locator, Page, expect

from device.engine.state.states import State
from device.records.records import Records
from device.settings.file import Settings
from device.settings.sections import WebConfig
from webui.context import parts_of
from webui.server import WebServer
from webui.stream_gate import MAX_STREAMS

SCANNING = {
    "state": State.SCANNING,
    "activity": "Scanning row 4 of 46.",
    "tiles_planned": 1380,
    "tiles_analysed": 258,
    "classified": 87,
    "counts": {"neutrophil": 53, "lymphocyte": 25, "monocyte": 6, "eosinophil": 3, "dead": 2},
    "elapsed_s": 71.0,
    "sample_id": "S-0002",
}
LONGEST_ID = "WARD3-2207-" + 53 * "X"
LONGEST_DONOR = "neutropenia-moderate:123456"


def address(server: WebServer, path: str) -> str:
    return server.url.rstrip("/") + path


def sample_field(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Sample ID")


def test_a_sample_goes_from_start_to_result_and_back(
    server: WebServer,
    instrument: InstrumentDouble,
    records: Records,
    settings: Settings,
    page: Page,
) -> None:
    page.goto(server.url)
    page.get_by_role("button", name="Start").tap()
    page.wait_for_url("**/live")
    assert instrument.requests[-1] == "start S-0001"
    instrument.show_tile(analysed_tile())
    instrument.become(**SCANNING)
    expect(page.get_by_text("87 of 200")).to_be_visible()
    expect(page.locator("tr.neutrophil .number")).to_have_text("53")
    expect(page.locator("#tile")).to_be_visible()
    run_id = store_run(records, settings, sample_id="S-0002")
    instrument.become(state=State.COMPLETE, run_id=run_id)
    page.wait_for_url(f"**/runs/{run_id}")
    expect(page.locator("tr.neutrophil .percent")).to_have_text("61.0")
    expect(page.get_by_text("Research use only").first).to_be_visible()
    page.get_by_role("button", name="New sample").tap()
    expect(sample_field(page)).to_have_value(f"S-{run_id + 1:04d}")


def test_a_scanned_barcode_becomes_the_sample_and_does_not_start(
    server: WebServer, instrument: InstrumentDouble, page: Page
) -> None:
    page.goto(server.url)
    expect(sample_field(page)).to_be_focused()
    page.locator("h1").tap()
    page.evaluate("document.activeElement.blur()")
    for barcode in ("WARD3-2207", "B-1"):
        page.keyboard.type(barcode)
        page.keyboard.press("Enter")
        expect(sample_field(page)).to_have_value(barcode)
        expect(page.get_by_role("button", name="Start")).to_be_enabled()
        expect(page.locator(".waiting")).to_have_text(f"Next sample{barcode}")
        assert instrument.sample.waiting.sample_id == barcode
        assert instrument.sample.waiting.ready
    assert instrument.requests == []


def test_the_keypad_enters_digits_and_letters(
    server: WebServer, instrument: InstrumentDouble, page: Page
) -> None:
    page.goto(server.url)
    page.get_by_role("button", name="Keypad").tap()
    for key in ("7", "4", "-", "0"):
        page.get_by_role("button", name=key, exact=True).tap()
    page.get_by_role("button", name="Erase").tap()
    page.get_by_role("button", name="ABC").tap()
    page.get_by_role("button", name="K", exact=True).tap()
    page.get_by_role("button", name="Done").tap()
    expect(sample_field(page)).to_have_value("74-K")
    page.get_by_role("button", name="Start").tap()
    page.wait_for_url("**/live")
    assert instrument.requests[-1] == "start 74-K"


def test_an_unusable_sample_id_is_explained_and_keeps_start_closed(
    server: WebServer, page: Page
) -> None:
    page.goto(server.url)
    sample_field(page).fill("two words")
    expect(page.get_by_text("1 to 64 characters")).to_be_visible()
    expect(page.get_by_role("button", name="Start")).to_be_disabled()


def test_reasons_against_start_come_and_go_without_a_reload(
    server: WebServer, instrument: InstrumentDouble, page: Page
) -> None:
    page.goto(server.url)
    expect(page.get_by_role("button", name="Start")).to_be_enabled()
    instrument.become(start_conditions=(replace(LID, met=False), DISK))
    expect(page.get_by_text("The lid is open. Close the lid.")).to_be_visible()
    expect(page.get_by_role("button", name="Start")).to_be_disabled()
    instrument.become(start_conditions=(LID, DISK))
    expect(page.get_by_text("Start is not possible yet")).to_be_hidden()
    expect(page.get_by_role("button", name="Start")).to_be_enabled()


def test_abort_asks_first(server: WebServer, instrument: InstrumentDouble, page: Page) -> None:
    instrument.become(**SCANNING)
    page.goto(address(server, "/live"))
    page.get_by_role("button", name="Abort", exact=True).tap()
    page.get_by_role("button", name="Keep scanning").tap()
    assert instrument.requests == []
    page.get_by_role("button", name="Abort", exact=True).tap()
    page.get_by_role("button", name="Abort run").tap()
    expect(page.locator(".state-word")).to_have_text("Stopping")
    assert instrument.requests == ["abort"]


def test_pause_and_resume_are_two_buttons(
    server: WebServer, instrument: InstrumentDouble, page: Page
) -> None:
    instrument.become(**SCANNING)
    page.goto(address(server, "/live"))
    expect(page.get_by_role("button", name="Resume")).to_be_disabled()
    page.get_by_role("button", name="Pause").tap()
    expect(page.get_by_role("button", name="Pause")).to_be_disabled()
    instrument.become(state=State.PAUSED)
    page.get_by_role("button", name="Resume").tap()
    expect(page.locator(".state-word")).to_have_text("Preparing")
    assert instrument.requests == ["pause", "resume"]


def test_a_fault_takes_the_screen_and_stays_until_acknowledged(
    server: WebServer, instrument: InstrumentDouble, page: Page
) -> None:
    instrument.become(**SCANNING)
    page.goto(address(server, "/live"))
    instrument.become(state=State.FAULT, error=PROBLEM)
    page.wait_for_url("**/fault")
    for part in PROBLEM.values():
        expect(page.get_by_text(part)).to_be_visible()
    page.get_by_role("button", name="Acknowledge").tap()
    page.wait_for_url(server.url)
    assert instrument.requests[0] == "acknowledge"


def test_a_refused_request_is_explained_until_closed(
    server: WebServer, instrument: InstrumentDouble, page: Page
) -> None:
    page.goto(server.url)
    expect(page.get_by_role("button", name="Start")).to_be_enabled()
    page.route("**/stream", lambda route: route.abort())
    page.route("**/screen/status", lambda route: route.abort())
    page.reload()
    instrument.become(start_conditions=(replace(LID, met=False), DISK))
    page.evaluate("document.getElementById('start').disabled = false")
    page.get_by_role("button", name="Start").tap()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("START-REFUSED")
    expect(dialog).to_contain_text("Close the lid")
    dialog.get_by_role("button", name="Close").tap()
    expect(dialog).to_be_hidden()


def test_the_page_finds_the_instrument_again_after_a_restart(
    instrument: InstrumentDouble, records: Records, page: Page
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        fixed = Settings(web=WebConfig(port=free.getsockname()[1]))
    with WebServer(instrument, records, fixed) as server:  # type: ignore[arg-type]
        page.goto(server.url)
        expect(page.locator(".lamp")).to_have_text("Ready")
    instrument.become(**SCANNING)
    with WebServer(instrument, records, fixed):  # type: ignore[arg-type]
        page.wait_for_url("**/live")
        expect(page.get_by_text("87 of 200")).to_be_visible()


def test_a_lost_instrument_is_said_so(
    instrument: InstrumentDouble, records: Records, settings: Settings, page: Page
) -> None:
    page.clock.install()
    with WebServer(instrument, records, settings) as server:  # type: ignore[arg-type]
        page.goto(server.url)
        expect(page.locator(".lamp")).to_have_text("Ready")
        expect(page.locator("#lost")).to_be_hidden()
    page.clock.run_for(15_000)
    expect(page.locator("#lost")).to_be_visible()


def test_without_a_stream_the_page_polls(
    server: WebServer, instrument: InstrumentDouble, page: Page
) -> None:
    with ExitStack() as stack:
        for _ in range(MAX_STREAMS):
            parts_of(server.app).streams.enter(stack.enter_context(instrument.events.subscribe()))
        page.goto(server.url)
        instrument.become(start_conditions=(replace(LID, met=False), DISK))
        expect(page.get_by_text("The lid is open. Close the lid.")).to_be_visible()


def test_outlines_can_be_switched_off_and_on(
    server: WebServer, records: Records, settings: Settings, page: Page
) -> None:
    store_run(records, settings)
    page.goto(address(server, "/cells/1"))
    expect(page.locator("#outlines")).to_be_visible()
    page.get_by_role("button", name="Outlines").tap()
    expect(page.locator("#outlines")).to_be_hidden()
    page.get_by_role("button", name="Outlines").tap()
    expect(page.locator("#outlines")).to_be_visible()


@pytest.mark.slow
@pytest.mark.parametrize("size", SCREENS)
def test_keypad_keys_and_questions_fit_a_finger(
    server: WebServer, instrument: InstrumentDouble, page: Page, size: str
) -> None:
    px_per_mm = show_at(page, size)
    page.goto(server.url)
    page.get_by_role("button", name="Keypad").tap()
    key = page.get_by_role("button", name="5", exact=True).bounding_box()
    assert key is not None
    assert 18 <= min(key["width"], key["height"]) / px_per_mm <= 20
    page.get_by_role("button", name="ABC").tap()
    check_fit(page, size)
    page.goto("about:blank")
    instrument.become(**SCANNING)
    page.goto(address(server, "/live"))
    page.get_by_role("button", name="Abort", exact=True).tap()
    check_fit(page, size)


@pytest.mark.slow
@pytest.mark.parametrize("size", SCREENS)
def test_everything_fits_a_finger_and_can_be_read(
    server: WebServer,
    instrument: InstrumentDouble,
    records: Records,
    settings: Settings,
    page: Page,
    size: str,
) -> None:
    show_at(page, size)
    run_id = store_run(records, settings, sample_id=LONGEST_ID)
    keep_tiles(records, run_id)
    run = f"/runs/{run_id}"
    store_run(records, settings, counts={}, unidentified=0)
    states = {
        "/": {"donor": LONGEST_DONOR, "start_conditions": (replace(LID, met=False), DISK)},
        "/live": {**SCANNING, "sample_id": LONGEST_ID},
        "/fault": {"state": State.FAULT, "error": PROBLEM},
        run: {"state": State.COMPLETE, "run_id": 1, "error": None},
    }
    mosaics = (f"{run}/mosaic", "/runs/2/mosaic")
    results = (f"{run}/cells", f"{run}/details", "/cells/1", "/runs", "/runs/2", *mosaics)
    for path in (*states, *results):
        page.goto("about:blank")
        instrument.become(**states.get(path, {}))
        page.goto(address(server, path))
        check_fit(page, size, contrast=7.0 if path.startswith("/runs/") else CONTRAST)
