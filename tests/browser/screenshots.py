"""Takes the pictures of the README: one run of the simulated instrument, seen by its own screen.

    python tests/browser/screenshots.py

The pictures go to webui/screenshots as PNG.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Page, sync_playwright

from device.assembly import assembled, simulated_settings
from device.settings.file import parse_settings
from webui.server import WebServer

FOLDER = Path(__file__).parents[2] / "webui" / "screenshots"
PANEL = {"width": 1024, "height": 600}
SPEED = 20.0
RUN_TIMEOUT_MS = 900_000.0
LIVE_SHARE = 0.6
SETTLE_MS = 800.0
COLOURED = 60


def main() -> None:
    """Run one sample and keep home, live, result, cells, one cell and its field."""
    with tempfile.TemporaryDirectory() as folder:
        document = {"records": {"directory": folder}, "web": {"port": 0}}
        settings = simulated_settings(parse_settings(document), smear="healthy:42", speed=SPEED)
        with (
            assembled(settings) as assembly,
            WebServer(assembly.instrument, assembly.records, settings) as server,
            sync_playwright() as driver,
        ):
            browser = driver.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
            )
            page = browser.new_page(viewport=PANEL, locale="en-GB")
            take_all(page, server.url)
            browser.close()


def take_all(page: Page, url: str) -> None:
    """Go through one run and keep a picture of every page worth showing."""
    page.goto(url)
    page.locator("#start:enabled").wait_for()
    page.evaluate("document.activeElement.blur()")
    take(page, "home")
    page.locator("#start").click()
    page.wait_for_url("**/live")
    take_live(page)
    page.wait_for_url("**/runs/*", timeout=RUN_TIMEOUT_MS)
    result = page.url
    take(page, "result")
    page.goto(f"{result}/cells")
    page.wait_for_load_state("networkidle")
    take(page, "cells")
    page.locator(".thumbs a").last.click()
    page.locator("#outlines").wait_for()
    page.wait_for_load_state("networkidle")
    take(page, "cell")
    page.get_by_role("link", name="Field", exact=True).click()
    page.locator("#field .marked").wait_for()
    page.wait_for_load_state("networkidle")
    take(page, "field")


def take_live(page: Page) -> None:
    """Keep the live page when most cells are counted and the field on it holds a boxed one."""
    page.wait_for_function(
        "share => { const bar = document.querySelector('progress');"
        " return bar.value >= share * bar.max; }",
        arg=LIVE_SHARE,
        timeout=RUN_TIMEOUT_MS,
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
    FOLDER.mkdir(exist_ok=True)
    # The noise of the camera in every bit is what makes such a file large.
    coarse = np.clip((image.astype(np.uint16) + 2) // 4 * 4, 0, 255).astype(np.uint8)
    cv2.imwrite(str(FOLDER / f"{name}.png"), coarse, [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == "__main__":
    main()
