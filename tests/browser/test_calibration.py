"""Guided calibration on the touchscreen, over the real instrument with simulated hardware below."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest
from fit import SCREENS, check_fit, show_at
from playwright.sync_api import Page, expect
from test_press_start import instrument_with_screen

from device.calibration.effective import made_for
from device.calibration.steps.catalogue import STEP_IDS
from device.calibration.steps.quantities import Outcome
from device.records.calibrations import CalibrationState
from webui.server import WebServer

sys.path.insert(0, str(Path(__file__).parent.parent / "device"))
from small_instrument import TIMEOUT_S, SmallInstrument

LONG_MS = TIMEOUT_S * 1000


@contextmanager
def begun(folder: Path, page: Page) -> Iterator[tuple[SmallInstrument, WebServer]]:
    """Begin a calibration as Ann on the screen; the page shows the first step."""
    with instrument_with_screen(folder) as (rig, server):
        page.goto(server.url)
        page.get_by_role("link", name="Calibrate").tap()
        page.wait_for_url("**/calibration")  # the page before has a keypad, too
        page.get_by_role("button", name="Keypad").tap()
        for key in ("ABC", "A", "N", "N", "Done"):
            page.get_by_role("button", name=key, exact=True).tap()
        page.get_by_role("button", name="Begin").tap()
        page.wait_for_url("**/calibration/slide_corners")
        yield rig, server


def test_a_step_is_measured_and_accepted_and_the_next_one_comes(tmp_path: Path, page: Page) -> None:
    with begun(tmp_path, page) as (rig, _):
        page.get_by_role("button", name="Skip").tap()
        page.get_by_role("link", name="Next").tap()
        page.wait_for_url("**/calibration/flat_field")
        expect(page.get_by_text("Close the lid: ultraviolet light is used.")).to_be_visible()
        page.get_by_role("button", name="Measure", exact=True).tap()
        row = page.get_by_role("row", name=re.compile("Unevenness"))
        expect(row).to_be_visible(timeout=LONG_MS)
        expect(row).to_contain_text("at most 0.6")
        page.get_by_role("button", name="Accept").tap()
        expect(page.get_by_text("Valid until").first).to_be_visible(timeout=LONG_MS)
        assert "flat_field" in rig.instrument.calibration.effective().used
        page.get_by_role("link", name="Next").tap()
        page.wait_for_url("**/calibration/camera_noise")


def test_a_number_is_entered_with_the_keypad(tmp_path: Path, page: Page) -> None:
    with begun(tmp_path, page) as (rig, server):
        page.goto(f"{server.url.rstrip('/')}/calibration/led_power")
        for name, keys in (
            ("power_mw", "0.02"),
            ("field_width_mm", "0.5"),
            ("field_height_mm", "0.5"),
        ):
            page.locator(f"[data-entry={name}]").tap()
            for key in keys:
                page.get_by_role("button", name=key, exact=True).tap()
            page.get_by_role("button", name="Done").tap()
        page.get_by_role("button", name="Measure", exact=True).tap()
        expect(page.get_by_text("8.00 ± 0.80 mW/cm²")).to_be_visible(timeout=LONG_MS)
        record = rig.instrument.calibration.results()["led_power"]
        assert record.value("irradiance_mw_per_cm2") == pytest.approx(8.0)


@pytest.mark.slow
def test_the_light_pulses_for_a_power_meter_and_is_stopped(
    tmp_path: Path, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("device.calibration.steps.led_power.PERIOD_S", 1e6)
    with begun(tmp_path, page) as (rig, server):
        page.goto(f"{server.url.rstrip('/')}/calibration/led_power")
        width = page.locator("[data-entry=field_width_mm]")
        width.tap()
        page.get_by_role("button", name="5", exact=True).tap()
        page.get_by_role("button", name="Done").tap()
        give = page.get_by_role("button", name="Give 10 pulses")
        give.tap()
        expect(page.get_by_text("Pulse 1 of 10.")).to_be_visible(timeout=LONG_MS)
        expect(give).to_be_disabled(timeout=LONG_MS)
        page.get_by_role("button", name="Stop").tap()
        expect(give).to_be_enabled(timeout=LONG_MS)
        assert [e.level for e in rig.world.gpio.edges(rig.settings.light.pin)] == [1, 0]
        # What was entered stays: the reading is entered after the pulses.
        expect(width).to_have_value("5")


@pytest.mark.slow
def test_a_refusal_is_explained_and_cannot_be_accepted(tmp_path: Path, page: Page) -> None:
    with begun(tmp_path, page) as (rig, server):
        rig.camera.at[rig.camera.exposures + 3] = lambda: rig.world.set_lid(closed=False)
        page.goto(f"{server.url.rstrip('/')}/calibration/flat_field")
        page.get_by_role("button", name="Measure", exact=True).tap()
        alert = page.get_by_role("alert").filter(has_text="lid")
        expect(alert).to_be_visible(timeout=LONG_MS)
        expect(alert).to_contain_text("LIGHT-LID-OPENED")
        expect(page.get_by_role("button", name="Accept")).to_have_count(0)
        assert rig.light_is_off()


@pytest.mark.slow
def test_a_step_is_stopped(tmp_path: Path, page: Page) -> None:
    with begun(tmp_path, page) as (rig, server):
        tapped = Event()
        rig.camera.at[rig.camera.exposures + 3] = lambda: tapped.wait(TIMEOUT_S)
        page.goto(f"{server.url.rstrip('/')}/calibration/focus_reference")
        page.get_by_role("button", name="Measure", exact=True).tap()
        expect(page.get_by_role("progressbar")).to_be_visible(timeout=LONG_MS)
        with page.expect_response("**/requests/abort"):
            page.get_by_role("button", name="Stop").tap()
        tapped.set()
        expect(page.get_by_role("button", name="Stop")).to_be_hidden(timeout=LONG_MS)
        measure = page.get_by_role("button", name="Measure", exact=True)
        expect(measure).to_be_enabled(timeout=LONG_MS)
        assert rig.light_is_off()
        assert rig.instrument.calibration.results() == {}


def test_the_corners_are_driven_to_and_marked(tmp_path: Path, page: Page) -> None:
    with begun(tmp_path, page) as (rig, _):
        for corner in ("first", "second"):
            # The page loads again when the stage has arrived.
            with page.expect_navigation(timeout=LONG_MS):
                page.get_by_role("button", name=f"Go to {corner} corner").tap()
            expect(page.locator("#jog-picture")).to_be_visible(timeout=LONG_MS)
            mark = page.get_by_role("button", name=f"Mark {corner} corner")
            expect(mark).to_be_enabled(timeout=LONG_MS)
            mark.tap()
            expect(mark.locator("svg")).to_be_visible(timeout=LONG_MS)
        page.get_by_role("button", name="Right by 2 mm").tap()
        session = rig.instrument.calibration.session()
        assert session is not None
        assert set(session.marks) == {"first", "second"}


@pytest.mark.slow
def test_only_what_is_due_can_be_done_again(tmp_path: Path, page: Page) -> None:
    with begun(tmp_path, page) as (rig, server):
        # The page shown would load again when the session changes, in the middle of the next one.
        page.goto("about:blank")
        service = rig.instrument.calibration
        service.end()
        session = service.begin("Ann", ["flat_field"])
        store = rig.records.calibrations
        details = {"made_for": made_for("flat_field", rig.settings)}
        document = Outcome((), details).document()
        store.add(session, "simulated", "flat_field", CalibrationState.MEASURED, "1.0", document)
        service.accept("flat_field")
        page.goto(f"{server.url.rstrip('/')}/calibration")
        page.get_by_role("textbox", name="Operator").fill("Ann")
        page.get_by_role("button", name="Only what is due (2)").tap()
        page.wait_for_url("**/calibration/focus_reference")
        session = service.session()
        assert session is not None
        assert session.steps == ("focus_reference", "pixel_size")


@pytest.mark.slow
@pytest.mark.parametrize("size", SCREENS)
def test_everything_on_the_pages_fits_a_finger_and_can_be_read(
    tmp_path: Path, page: Page, size: str
) -> None:
    show_at(page, size)
    with begun(tmp_path, page) as (_, server):
        for path in ("", *(f"/{step}" for step in STEP_IDS)):
            page.goto(f"{server.url.rstrip('/')}/calibration{path}")
            page.wait_for_load_state("networkidle")
            check_fit(page, size)
