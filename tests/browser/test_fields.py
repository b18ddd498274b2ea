"""Stained pictures on the screen: switched, enlarged, walked through, and missed."""

from __future__ import annotations

import re

import pytest
from instrument_double import InstrumentDouble, TwoTones, keep_tiles, store_run
from playwright.sync_api import Page, expect

from device.analysis.staining import VirtualStain
from device.records.records import Records
from device.settings.file import Settings
from models.errors import ModelError
from webui.server import WebServer

NOTE = "Virtual stain, computed from the ultraviolet image: no dye."

# Whether the picture of the field has colours, by its pixels.
COLOURED = """async (href) => {
  const picture = new Image();
  picture.src = href;
  await picture.decode();
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  const context = canvas.getContext('2d');
  context.drawImage(picture, 0, 0);
  const { data } = context.getImageData(0, 0, picture.width, picture.height);
  for (let i = 0; i < data.length; i += 4) if (Math.abs(data[i] - data[i + 1]) > 30) return true;
  return false;
}"""


@pytest.fixture
def run_id(records: Records, settings: Settings) -> int:
    stored = store_run(records, settings)
    keep_tiles(records, stored)
    return stored


def coloured(page: Page) -> bool:
    href = page.locator("#picture").get_attribute("href")
    return bool(page.evaluate(COLOURED, href))


def test_a_cell_opens_its_field_and_boxes_and_stain_are_switched(
    server: WebServer, run_id: int, page: Page
) -> None:
    page.goto(f"{server.url}runs/{run_id}/cells?kind=eosinophil")
    expect(page.get_by_text(NOTE)).to_be_visible()
    page.locator('.thumbs a[href^="/cells/2?"]').tap()
    page.get_by_role("link", name="Field", exact=True).tap()
    page.wait_for_url("**/fields/*")
    expect(page.locator(".box.marked")).to_have_count(1)
    page.get_by_role("button", name="Boxes").tap()
    expect(page.locator("#boxes")).to_be_hidden()
    page.get_by_role("button", name="Boxes").tap()
    expect(page.locator("#boxes")).to_be_visible()


def test_the_stain_is_switched_and_the_choice_goes_along(
    server: WebServer, run_id: int, page: Page
) -> None:
    page.goto(f"{server.url}runs/{run_id}/fields/0")
    assert coloured(page)
    page.get_by_role("button", name="Stain").tap()
    expect(page.get_by_text("As taken in ultraviolet")).to_be_visible()
    expect(page.get_by_text(NOTE)).to_be_hidden()
    assert not coloured(page)
    page.get_by_role("button", name="Boxes").tap()
    page.get_by_role("link", name="Next field").tap()
    page.wait_for_url("**/fields/2?*")
    expect(page.get_by_role("button", name="Stain")).to_have_attribute("aria-pressed", "false")
    expect(page.locator("#boxes")).to_be_hidden()
    assert not coloured(page)
    page.get_by_role("link", name="Previous field").tap()
    page.wait_for_url("**/fields/0?*")


def test_a_field_is_enlarged_moved_and_its_cells_are_opened(
    server: WebServer, run_id: int, page: Page
) -> None:
    page.goto(f"{server.url}runs/{run_id}/fields/0?cell=1")
    field = page.locator("#field")
    page.get_by_role("button", name="Larger").tap()
    assert field.get_attribute("viewBox") == "348 260 696 520"
    box = field.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 200, box["y"] + 150)
    page.mouse.down()
    page.mouse.move(box["x"] + 100, box["y"] + 150, steps=3)
    page.mouse.up()
    left = float((field.get_attribute("viewBox") or "").split()[0])
    assert left == pytest.approx(348 + 100 * 696 / box["width"], abs=2)
    expect(page).to_have_url(re.compile("/fields/0"))
    page.get_by_role("button", name="Smaller").tap()
    assert field.get_attribute("viewBox") == "0 0 1392 1040"
    page.get_by_role("link", name="Neutrophil, cell 1").tap()
    page.wait_for_url("**/cells/1?*")


@pytest.mark.slow
def test_pictures_that_cannot_be_stained_are_shown_as_taken_with_the_reason(
    instrument: InstrumentDouble, records: Records, settings: Settings, run_id: int, page: Page
) -> None:
    class Failing(TwoTones):
        def stain(self, *_: object, **__: object) -> None:  # type: ignore[override]
            raise ModelError("MODEL-STAINER-NOT-LISTED")

    stain = VirtualStain(Failing)
    with WebServer(instrument, records, settings, stain) as server:  # type: ignore[arg-type]
        page.goto(f"{server.url}runs/{run_id}/fields/0")
        expect(page.get_by_text(ModelError("MODEL-STAINER-NOT-LISTED").cause)).to_be_visible()
        expect(page.get_by_text(NOTE)).to_be_hidden()
        assert not coloured(page)
        page.goto(f"{server.url}runs/{run_id}/cells")
        reason = page.get_by_text(ModelError("MODEL-STAINER-NOT-LISTED").cause)
        expect(reason).to_be_visible(timeout=30_000)
        expect(page.locator(".thumbs img").first).to_have_attribute("src", re.compile("picture"))
