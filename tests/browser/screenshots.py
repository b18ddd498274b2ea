"""Takes the pictures of the screens for the documentation, from a simulated instrument.

    python tests/browser/screenshots.py

The pictures go to docs/pages/pictures/screens as PNG.  Everything on them comes from the simulated
instrument, except for the runs of the control chart: those are the example values of the tests.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from chromium import CHROMIUM
from numpy.typing import NDArray
from playwright.sync_api import Page, sync_playwright

from device.assembly import assembled, simulated_settings
from device.records.records import Records
from device.settings.file import Settings, parse_settings
from webui.server import WebServer

sys.path.insert(0, str(Path(__file__).parents[1] / "webui"))
from quality_double import store_lot

FOLDER = Path(__file__).parents[2] / "docs" / "pages" / "pictures" / "screens"
PANEL = {"width": 1024, "height": 600}
SPEED = 20.0
RUN_TIMEOUT_MS = 900_000.0
LIVE_SHARE = 0.6
SETTLE_MS = 800.0
COLOURED = 60


def main() -> None:
    """Run one sample and keep a picture of every screen."""
    with tempfile.TemporaryDirectory() as folder:
        document = {"records": {"directory": folder}, "web": {"port": 0}}
        settings = simulated_settings(parse_settings(document), smear="healthy:42", speed=SPEED)
        with (
            assembled(settings) as assembly,
            WebServer(assembly.instrument, assembly.records, settings) as server,
            sync_playwright() as driver,
        ):
            browser = driver.chromium.launch(
                executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
            )
            page = browser.new_page(viewport=PANEL, locale="en-GB", base_url=server.url)
            page.set_default_timeout(RUN_TIMEOUT_MS)
            simulation: Any = assembly.hardware.simulation
            take_run(page)
            take_pause_and_abort(page)
            take_refused_start(page, simulation.set_lid)
            take_check(page)
            take_calibration(page)
            take_controls(page, assembly.records, settings)
            take_fault(page, simulation.camera.unplug)
            browser.close()


def take_run(page: Page) -> None:
    """Go through one run and what its result opens."""
    page.goto("/")
    page.locator("#start:enabled").wait_for()
    page.evaluate("document.activeElement.blur()")
    take(page, "home")
    page.locator("#keypad-open").click()
    take(page, "keypad")
    page.get_by_role("button", name="Cancel").click()
    page.locator("#start").click()
    page.wait_for_url("**/live")
    take_live(page)
    page.wait_for_url("**/runs/*")
    result = page.url
    take(page, "result")
    page.goto(f"{result}/cells")
    page.wait_for_load_state("networkidle")
    take(page, "cells")
    page.locator(".thumbs a").last.click()
    page.locator("#outlines").wait_for()
    page.wait_for_load_state("networkidle")
    take(page, "cell")
    take_mosaic(page)
    page.goto(f"{result}/details")
    take(page, "details")
    page.goto("/runs")
    take(page, "history")


def take_mosaic(page: Page) -> None:
    """Keep a cell in the blood around it, and more of the blood."""
    page.get_by_role("link", name="In the blood").click()
    page.wait_for_url("**width_um=*")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(SETTLE_MS)
    take(page, "mosaic-cell")
    for _ in range(3):
        page.get_by_role("button", name="Smaller").click()
    page.locator("#staining").wait_for(state="hidden")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(SETTLE_MS)
    take(page, "mosaic")


def take_live(page: Page) -> None:
    """Keep the live page when most cells are counted and the field on it holds a boxed one."""
    page.wait_for_function(
        "share => { const bar = document.querySelector('progress');"
        " return bar.value >= share * bar.max; }",
        arg=LIVE_SHARE,
    )
    box = page.locator("#tile").bounding_box()
    assert box is not None
    left, top = int(box["x"]), int(box["y"])
    right, bottom = left + int(box["width"]), top + int(box["height"])
    while True:
        image = shot(page)
        # The field itself is gray: colour is a box.
        if np.ptp(image[top:bottom, left:right], axis=2).max() > COLOURED:
            break
        page.wait_for_timeout(150)
    keep(image, "live")


def take_pause_and_abort(page: Page) -> None:
    """Pause a second run, then abort it."""
    page.goto("/")
    page.get_by_role("button", name="New sample").click()
    page.locator("#start:enabled").click()
    page.wait_for_url("**/live")
    page.locator("#latest li").first.wait_for()
    page.get_by_role("button", name="Pause").click()
    page.locator("[data-call$=resume]:enabled").wait_for()
    take(page, "paused")
    page.locator("#abort").click()
    take(page, "abort")
    page.get_by_role("button", name="Abort run").click()
    page.wait_for_url("**/runs/*")
    page.get_by_role("button", name="New sample").click()
    page.locator("#start:enabled").wait_for()


def take_refused_start(page: Page, set_lid: Callable[..., None]) -> None:
    """Open the lid, so that Start is not possible."""
    set_lid(closed=False)
    page.locator("#start:disabled").wait_for()
    take(page, "not-ready")
    set_lid(closed=True)
    page.locator("#start:enabled").wait_for()


def take_check(page: Page) -> None:
    """Do the daily check and read its report."""
    page.goto("/checks")
    page.locator("[data-check=daily]").click()
    page.locator(".checking").wait_for()
    take(page, "checking")
    page.wait_for_url("**/checks/*")
    take(page, "check")
    page.goto("/checks")
    take(page, "checks")


def take_calibration(page: Page) -> None:
    """Begin a calibration and measure one step."""
    page.goto("/calibration")
    page.locator("#operator").fill("ANN")
    page.get_by_role("button", name="Begin").first.click()
    page.wait_for_url("**/calibration/slide_corners")
    take(page, "calibration-corners")
    page.goto("/calibration/flat_field")
    page.get_by_role("button", name="Measure", exact=True).click()
    page.get_by_role("button", name="Accept").wait_for()
    take(page, "calibration-step")
    page.get_by_role("button", name="Accept").click()
    page.get_by_role("link", name="Next").wait_for()
    page.goto("/calibration")
    take(page, "calibration")
    page.get_by_role("button", name="End").click()


def take_controls(page: Page, records: Records, settings: Settings) -> None:
    """Keep the chart of a lot whose newest run is rejected, and the entry of a new one."""
    lot_id = store_lot(records, settings, 14)
    page.goto("/controls")
    take(page, "controls")
    page.goto(f"/controls/{lot_id}")
    take(page, "control")
    page.goto("/controls/new")
    take(page, "control-new")


def take_fault(page: Page, break_it: Callable[[], None]) -> None:
    """Start a run on a device that fails."""
    page.goto("/")
    page.locator("#start:enabled").wait_for()
    break_it()
    page.locator("#start").click()
    page.wait_for_url("**/fault")
    take(page, "fault")


def take(page: Page, name: str) -> None:
    """Keep the page when its pictures have had time to load."""
    page.wait_for_timeout(SETTLE_MS)
    keep(shot(page), name)


def shot(page: Page) -> NDArray[np.uint8]:
    """Return the page as it is now."""
    encoded = np.frombuffer(page.screenshot(), np.uint8)
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)


def keep(image: NDArray[np.uint8], name: str) -> None:
    """Write a small PNG."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    # The noise of the camera in every bit is what makes such a file large.
    coarse = np.clip((image.astype(np.uint16) + 2) // 4 * 4, 0, 255).astype(np.uint8)
    cv2.imwrite(str(FOLDER / f"{name}.png"), coarse, [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == "__main__":
    main()
