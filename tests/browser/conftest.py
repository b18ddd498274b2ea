from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import CHROMIUM
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from device.analysis.staining import VirtualStain
from device.records.records import Records
from device.settings.file import Settings
from device.settings.sections import WebConfig
from webui.server import WebServer

sys.path.insert(0, str(Path(__file__).parent.parent / "device"))
sys.path.insert(0, str(Path(__file__).parent.parent / "webui"))
from instrument_double import InstrumentDouble, TwoTones, open_records

SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
MISSING = ("Failed to load resource", "failed to load: %s - error")
"""What browser and viewer say of a picture that the server refuses, as some tests want it to."""

PANEL = {"width": 1024, "height": 600}
# What never comes fails late; what comes slowly on a busy computer does not fail.
expect.set_options(timeout=60_000)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("the browser tests need chromium-headless-shell or chromium in the PATH")
    with sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=list(SWITCHES))
        yield launched
        launched.close()


@pytest.fixture
def settings() -> Settings:
    return Settings(web=WebConfig(port=0))


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    opened = open_records(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def instrument(records: Records, settings: Settings) -> InstrumentDouble:
    return InstrumentDouble(records, settings)


@pytest.fixture
def server(
    instrument: InstrumentDouble, records: Records, settings: Settings
) -> Iterator[WebServer]:
    stain = VirtualStain(TwoTones)
    with WebServer(instrument, records, settings, stain) as running:  # type: ignore[arg-type]
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A touchscreen page; a test fails when a script on it fails or the content policy speaks."""
    context = browser.new_context(viewport=PANEL, has_touch=True, locale="en-GB")
    context.set_default_timeout(60_000)
    opened = context.new_page()
    defects: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        missing = any(words in message.text for words in MISSING)
        if message.type == "error" and not missing:
            defects.append(message.text)

    opened.on("console", listen)
    opened.on("pageerror", lambda error: defects.append(str(error)))
    yield opened
    context.close()
    assert defects == []
