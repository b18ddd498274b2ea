"""The waiting sample as people meet it: on one screen, on two, and at the panel's Start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from small_instrument import TIMEOUT_S, SmallInstrument
from test_press_start import instrument_with_screen

from device.engine.state.states import State
from device.status import Status
from webui.server import WebServer

LONG_MS = TIMEOUT_S * 1000


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[tuple[SmallInstrument, WebServer]]:
    with instrument_with_screen(tmp_path) as (rig, server):
        yield rig, server


@pytest.fixture
def second(browser: Browser) -> Iterator[Page]:
    """A page in another browser."""
    context = browser.new_context(viewport={"width": 1024, "height": 600}, locale="en-GB")
    yield context.new_page()
    context.close()


def press(rig: SmallInstrument) -> Status:
    """Press the panel's pin until a run has begun, or was refused."""
    rig.world.hold_start(down=True)
    status = rig.wait_until(lambda now: now.state != State.IDLE or now.refusal is not None)
    rig.world.hold_start(down=False)
    return status


def wait_for_draft(rig: SmallInstrument, text: str) -> None:
    rig.wait_until(lambda now: now.waiting_sample.draft_sample_id == text)


def expect_refused(page: Page, reason: str) -> None:
    alert = page.get_by_role("alert").filter(has_text="Start on the panel was refused")
    expect(alert).to_contain_text(reason)


def scan(page: Page, barcode: str) -> None:
    page.locator("#sample-id").focus()
    page.keyboard.type(barcode)
    page.keyboard.press("Enter")
    expect(page.locator(".waiting")).to_have_text(f"Next sample{barcode}")


def tap_keypad(page: Page, *keys: str) -> None:
    for key in ("Keypad", *keys):
        page.get_by_role("button", name=key, exact=True).tap()


def test_a_chosen_control_lot_and_operator_reach_the_run_of_the_panel(
    parts: tuple[SmallInstrument, WebServer], page: Page
) -> None:
    rig, server = parts
    lot = rig.records.quality.add_lot("Q7", "normal", None)
    page.goto(server.url)
    scan(page, "Q7-1")
    page.get_by_label("Slide").select_option(str(lot))
    page.get_by_label("Operator").fill("AB")
    page.get_by_label("Operator").press("Enter")
    rig.wait_until(lambda now: now.waiting_sample.operator == "AB")
    run_id = press(rig).run_id
    assert run_id is not None
    run = rig.run(run_id)
    assert (run.sample_id, run.control_lot, run.operator) == ("Q7-1", lot, "AB")
    page.wait_for_url("**/live", timeout=LONG_MS)


def test_an_id_typed_without_enter_is_not_started_by_the_panel_nor_is_the_former_one(
    parts: tuple[SmallInstrument, WebServer], page: Page
) -> None:
    rig, server = parts
    page.goto(server.url)
    scan(page, "FORMER-1")
    page.keyboard.type("WARD-8")
    wait_for_draft(rig, "WARD-8")
    assert press(rig).run_id is None
    expect_refused(page, "The sample id WARD-8 is only half entered")
    # Start on the screen starts what it shows, in one tap.
    page.get_by_role("button", name="Start").tap()
    page.wait_for_url("**/live", timeout=LONG_MS)
    assert rig.instrument.status().sample_id == "WARD-8"


def test_a_refused_id_is_not_started_by_the_panel_nor_is_the_former_one(
    parts: tuple[SmallInstrument, WebServer], page: Page
) -> None:
    rig, server = parts
    page.goto(server.url)
    scan(page, "FORMER-1")
    page.keyboard.type("two words")
    page.keyboard.press("Enter")
    wait_for_draft(rig, "two words")
    expect(page.get_by_role("button", name="Start")).to_be_disabled()
    assert press(rig).run_id is None
    expect_refused(page, "'two words' cannot be a sample id")
    scan(page, "WARD-8")
    expect(page.get_by_text("Start on the panel was refused")).to_be_hidden()
    assert rig.run(rig.instrument.start()).sample_id == "WARD-8"


def test_a_second_browser_that_opens_home_overwrites_nothing(
    parts: tuple[SmallInstrument, WebServer], page: Page, second: Page
) -> None:
    rig, server = parts
    page.goto(server.url)
    scan(page, "WARD-8")
    posted: list[str] = []
    second.on("request", lambda request: posted.append(request.method))
    second.goto(server.url)
    expect(second.locator("#sample-id")).to_have_value("WARD-8")
    expect(second.get_by_role("button", name="Start")).to_be_enabled()
    assert set(posted) == {"GET"}
    assert press(rig).sample_id == "WARD-8"


def test_leaving_home_and_coming_back_shows_id_lot_and_operator(
    parts: tuple[SmallInstrument, WebServer], page: Page
) -> None:
    rig, server = parts
    lot = rig.records.quality.add_lot("Q7", "normal", None)
    page.goto(server.url)
    scan(page, "Q7-1")
    page.get_by_label("Slide").select_option(str(lot))
    page.get_by_label("Operator").fill("AB")
    page.get_by_label("Operator").press("Enter")
    rig.wait_until(lambda now: now.waiting_sample.operator == "AB")
    page.get_by_role("link", name="Results").tap()
    expect(page.get_by_role("heading", name="Results")).to_be_visible()
    expect(page.locator(".waiting")).to_have_text("Next sampleQ7-1")
    page.get_by_role("link", name="Sample").tap()
    expect(page.locator("#sample-id")).to_have_value("Q7-1")
    expect(page.get_by_label("Slide")).to_have_value(str(lot))
    expect(page.get_by_label("Operator")).to_have_value("AB")
    assert rig.run(press(rig).run_id or 0).control_lot == lot


def test_what_a_closed_screen_left_half_typed_is_explained_and_replaced_on_another(
    parts: tuple[SmallInstrument, WebServer], page: Page, second: Page
) -> None:
    rig, server = parts
    second.goto(server.url)
    second.locator("#sample-id").focus()
    second.keyboard.type("HALF")
    wait_for_draft(rig, "HALF")
    second.close()
    page.goto(server.url)
    expect(page.locator("#sample-id")).to_have_value("HALF")
    expect(page.get_by_text("The sample id HALF is only half entered")).to_be_visible()
    # It was typed elsewhere: one tap here must not start it.
    expect(page.get_by_role("button", name="Start")).to_be_disabled()
    assert press(rig).run_id is None
    scan(page, "WARD-8")
    expect(page.get_by_role("button", name="Start")).to_be_enabled()
    assert rig.run(rig.instrument.start()).sample_id == "WARD-8"


def test_two_screens_show_each_others_typing(
    parts: tuple[SmallInstrument, WebServer], page: Page, second: Page
) -> None:
    rig, server = parts
    page.goto(server.url)
    second.goto(server.url)
    page.locator("#sample-id").focus()
    page.keyboard.type("LEFT")
    expect(second.locator("#sample-id")).to_have_value("LEFT")
    expect(second.get_by_role("button", name="Start")).to_be_disabled()
    second.locator("#sample-id").fill("RIGHT")
    expect(page.locator("#sample-id")).to_have_value("RIGHT")
    expect(page.get_by_role("button", name="Start")).to_be_disabled()
    expect(second.get_by_role("button", name="Start")).to_be_enabled()
    second.locator("#sample-id").press("Enter")
    expect(page.get_by_role("button", name="Start")).to_be_enabled()
    assert press(rig).sample_id == "RIGHT"


def test_the_keypad_half_way_keeps_the_panel_from_starting_and_cancel_gives_the_id_back(
    parts: tuple[SmallInstrument, WebServer], page: Page
) -> None:
    rig, server = parts
    page.goto(server.url)
    scan(page, "WARD-8")
    tap_keypad(page, "7", "4")
    wait_for_draft(rig, "74")
    assert press(rig).run_id is None
    page.get_by_role("button", name="Cancel").tap()
    rig.wait_until(lambda now: now.waiting_sample.ready)
    expect(page.locator("#sample-id")).to_have_value("WARD-8")
    assert rig.run(rig.instrument.start()).sample_id == "WARD-8"


def test_an_open_keypad_gives_way_to_what_another_screen_entered(
    parts: tuple[SmallInstrument, WebServer], page: Page, second: Page
) -> None:
    rig, server = parts
    page.goto(server.url)
    second.goto(server.url)
    tap_keypad(page, "7", "4")
    expect(second.locator("#sample-id")).to_have_value("74")
    scan(second, "OTHER")
    expect(page.locator("#keypad")).to_be_hidden()
    expect(page.locator("#sample-id")).to_have_value("OTHER")
    rig.wait_until(lambda now: now.waiting_sample.ready)
    assert press(rig).sample_id == "OTHER"


def test_a_keypad_that_nobody_touched_takes_nothing_back(
    parts: tuple[SmallInstrument, WebServer], page: Page, second: Page
) -> None:
    rig, server = parts
    page.goto(server.url)
    second.goto(server.url)
    tap_keypad(page)
    second.locator("#sample-id").focus()
    second.keyboard.type("HALF")
    wait_for_draft(rig, "HALF")
    page.get_by_role("button", name="Cancel").tap()
    expect(page.locator("#sample-id")).to_have_value("HALF")
    second.keyboard.type("WAY")
    expect(page.locator("#sample-id")).to_have_value("HALFWAY")


@pytest.mark.slow
def test_a_keypad_that_was_cleared_gives_way_too(
    parts: tuple[SmallInstrument, WebServer], page: Page, second: Page
) -> None:
    rig, server = parts
    page.goto(server.url)
    second.goto(server.url)
    tap_keypad(page, "7", "Clear")
    wait_for_draft(rig, "")
    scan(second, "OTHER")
    expect(page.locator("#keypad")).to_be_hidden()
    expect(page.locator("#sample-id")).to_have_value("OTHER")


def test_the_suggested_number_is_started_by_one_press_of_the_panel(
    parts: tuple[SmallInstrument, WebServer], page: Page
) -> None:
    rig, server = parts
    page.goto(server.url)
    expect(page.locator("#sample-id")).to_have_value("S-0001")
    assert press(rig).sample_id == "S-0001"
