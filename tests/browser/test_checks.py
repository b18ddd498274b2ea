"""A person has the instrument checked, and looks after the control slides."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from fit import SCREENS, check_fit, show_at
from playwright.sync_api import Page, expect
from test_screen import address

from device.assembly import assembled, simulated_settings
from device.checks.catalogue import CATALOGUE
from device.checks.report import CheckProgress, Level
from device.checks.runner import choose
from device.engine.state.states import State
from device.records.records import Records
from device.settings.file import Settings, parse_settings
from device.status import StartCondition
from webui.server import WebServer

sys.path.insert(0, str(Path(__file__).parent.parent / "webui"))
from instrument_double import LID, InstrumentDouble
from quality_double import check_report, store_check, store_lot

PLANNED = tuple((check.id, check.title) for check in CATALOGUE)
REMARK = StartCondition(
    "daily_check", False, "The daily check has never been done: do it on the page Checks."
)
CHECK_TIMEOUT_MS = 200_000


def tap_keys(page: Page, *keys: str) -> None:
    for key in keys:
        page.get_by_role("button", name=key, exact=True).tap()


def enter(page: Page, field: str, digits: str) -> None:
    page.get_by_role("textbox", name=field, exact=True).tap()
    expect(page.get_by_role("button", name="ABC")).to_be_hidden()
    tap_keys(page, *digits, "Done")


def test_a_check_is_started_followed_and_read(
    server: WebServer, instrument: InstrumentDouble, records: Records, page: Page
) -> None:
    page.goto(server.url)
    page.get_by_role("link", name="Checks").tap()
    page.wait_for_url("**/checks")
    operator = page.get_by_role("textbox", name="Operator")
    operator.tap()
    for key in "07":
        page.get_by_role("button", name=key, exact=True).tap()
    page.get_by_role("button", name="Done").tap()
    expect(operator).to_have_value("07")
    with page.expect_response("**/api/v1/checks"):
        page.get_by_role("button", name="Start check").tap()
    assert instrument.requests[-1] == "check daily 07"
    report = check_report("CHECK-BLANK-LEVEL")
    progress = CheckProgress(Level.DAILY, "07", PLANNED, report.results[:3], PLANNED[3][0])
    instrument.become(state=State.CHECKING, checking=progress)
    row = page.locator("li").filter(has_text="Camera frames").locator("b")
    expect(row).to_have_text("Waiting")
    instrument.become(
        checking=replace(progress, results=report.results[:4], now="CHECK-CAMERA-FRAMES")
    )
    expect(row).to_have_text("Running")
    check_id = store_check(records, "07", "CHECK-BLANK-LEVEL")
    instrument.become(state=State.IDLE, checking=None, last_check_id=check_id)
    page.wait_for_url(f"**/checks/{check_id}")
    expect(page.get_by_text("have the LED replaced")).to_be_visible()


def test_a_check_can_be_ended(server: WebServer, instrument: InstrumentDouble, page: Page) -> None:
    progress = CheckProgress(Level.DAILY, "AB", PLANNED, (), PLANNED[0][0])
    instrument.become(state=State.CHECKING, checking=progress)
    # The page leads on to the check, possibly before it is loaded itself.
    page.goto(server.url, wait_until="commit")
    page.wait_for_url("**/checks")
    page.get_by_role("button", name="End the check").tap()
    page.wait_for_url(server.url)
    assert instrument.requests[0] == "abort"


def test_a_lot_is_entered_a_control_started_and_a_rejection_commented(
    server: WebServer,
    instrument: InstrumentDouble,
    records: Records,
    settings: Settings,
    page: Page,
) -> None:
    page.goto(address(server, "/controls"))
    page.get_by_role("link", name="New lot").tap()
    page.wait_for_url("**/controls/new")
    page.get_by_role("textbox", name="Lot").tap()
    tap_keys(page, "ABC", "Q", "123", "9", "Done")
    enter(page, "Neutrophils: Mean", "60.5")
    with page.expect_response("**/quality/lots"):
        page.get_by_role("button", name="Add").tap()
    expect(page.get_by_role("dialog")).to_contain_text("SD of neutrophil is missing")
    page.get_by_role("button", name="Close").tap()
    enter(page, "Neutrophils: SD", "3.5")
    page.get_by_role("button", name="Add").tap()
    page.wait_for_url("**/controls/1")
    expect(page.get_by_text("Targets entered")).to_be_visible()
    with records.reader() as reader:
        lot = reader.control_lot(1)
    assert lot is not None
    assert lot.targets == {"neutrophil": {"mean": 60.5, "sd": 3.5}}
    page.goto(address(server, "/controls"))
    expect(page.get_by_role("link", name=re.compile("Q9"))).to_be_visible()
    page.goto(server.url)
    page.get_by_label("Slide").select_option(label="Control slide Q9 (normal)")
    page.get_by_role("button", name="Start").tap()
    page.wait_for_url("**/live")
    with records.reader() as reader:
        (run,) = reader.list_runs()
    assert run.control_lot == 1
    instrument.become(state=State.IDLE)
    lot_id = store_lot(records, settings, 12)
    page.goto(address(server, f"/controls/{lot_id}"))
    expect(page.locator(".mark.diamond")).to_have_count(1)
    page.get_by_role("button", name="Comment").first.tap()
    page.get_by_role("button", name="Optics cleaned").tap()
    expect(page.locator(".run-row.point").first).to_contain_text("Optics cleaned")


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
    for _ in range(5):
        check_id = store_check(records, "nurse-on-duty-7", "CHECK-BLANK-LEVEL")
    lot_id = store_lot(records, settings, 14, name="CONTROL-LOT-2026-0007")
    progress = CheckProgress(Level.FULL, "AB", PLANNED, check_report().results[:9], PLANNED[9][0])
    idle = {"remarks": (REMARK,)}
    checking = {"state": State.CHECKING, "checking": progress}
    lots = ("/controls", "/controls/new", f"/controls/{lot_id}")
    pages = ["/", "/checks", f"/checks/{check_id}", *lots]
    for path, state in (*((path, idle) for path in pages), ("/checks", checking)):
        page.goto("about:blank")
        instrument.become(**state)
        page.goto(address(server, path))
        check_fit(page, size)
    end = page.get_by_role("button", name="End the check").bounding_box()
    assert end is not None
    assert end["y"] + end["height"] <= SCREENS[size][1], "seen without scrolling"
    page.goto("about:blank")
    instrument.become(state=State.IDLE, checking=None)
    page.goto(address(server, f"/controls/{lot_id}"))
    page.get_by_role("button", name="Comment").first.tap()
    check_fit(page, size)


@pytest.mark.parametrize("size", SCREENS)
def test_start_is_seen_beside_remarks_and_control_slides(
    server: WebServer,
    instrument: InstrumentDouble,
    records: Records,
    settings: Settings,
    page: Page,
    size: str,
) -> None:
    show_at(page, size)
    store_lot(records, settings, 3)
    instrument.become(remarks=(REMARK,), start_conditions=(LID,))
    page.goto(server.url)
    expect(page.get_by_text(REMARK.explanation)).to_be_visible()
    start = page.get_by_role("button", name="Start").bounding_box()
    assert start is not None
    assert start["y"] + start["height"] <= SCREENS[size][1]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_morning_check_on_the_simulated_instrument(tmp_path: Path, page: Page) -> None:
    settings = parse_settings({"records": {"directory": str(tmp_path)}, "web": {"port": 0}})
    settings = simulated_settings(settings, speed=20.0)
    with (
        assembled(settings) as assembly,
        WebServer(assembly.instrument, assembly.records, settings) as server,
    ):
        page.goto(server.url)
        expect(page.get_by_text("The daily check has never been done")).to_be_visible(
            timeout=CHECK_TIMEOUT_MS
        )
        page.goto(address(server, "/checks"))
        page.get_by_role("button", name="Start check").tap()
        page.wait_for_url("**/checks/*", timeout=CHECK_TIMEOUT_MS)
        expect(page.locator("tbody .verdict-pass")).to_have_count(
            len(choose(CATALOGUE, Level.DAILY))
        )
        page.goto(server.url)
        expect(page.get_by_text("daily check")).to_be_hidden()
        expect(page.get_by_role("button", name="Start")).to_be_enabled()
