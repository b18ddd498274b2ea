"""The whole blood on the screen: zoomed with fingers, boxes tapped, places linked."""

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

PLACE = re.compile(r"x_um=(-?[\d.]+)&y_um=(-?[\d.]+)&width_um=([\d.]+)")


@pytest.fixture
def run_id(records: Records, settings: Settings) -> int:
    stored = store_run(records, settings)
    keep_tiles(records, stored)
    return stored


def width_um(page: Page) -> float:
    found = PLACE.search(page.url)
    assert found is not None
    return float(found[3])


def middle_of(page: Page) -> tuple[float, float]:
    box = page.locator("#mosaic").bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def open_mosaic(page: Page, server: WebServer, run_id: int, place: str = "") -> None:
    page.goto(f"{server.url}runs/{run_id}/mosaic{place}")
    page.wait_for_url(PLACE)


def test_the_mosaic_is_a_tab_of_the_run_and_shows_all_that_was_scanned(
    server: WebServer, run_id: int, page: Page
) -> None:
    page.goto(f"{server.url}runs/{run_id}")
    page.get_by_role("link", name="Blood").tap()
    page.wait_for_url(PLACE)
    assert 600.0 < width_um(page) < 1600.0
    expect(page.locator("#scale-bar")).to_contain_text("µm")
    expect(page.get_by_role("button", name=re.compile("Lymphocytes"))).to_be_visible()


def test_buttons_zoom_and_the_place_is_kept_in_the_address(
    server: WebServer, run_id: int, page: Page
) -> None:
    open_mosaic(page, server, run_id)
    whole_um = width_um(page)
    page.get_by_role("button", name="Larger").tap()
    page.wait_for_function(
        "um => Number(new URLSearchParams(location.search).get('width_um')) < um",
        arg=0.6 * whole_um,
    )
    address = page.url
    page.goto(server.url)
    page.goto(address)
    page.wait_for_url(PLACE)
    assert width_um(page) < 0.6 * whole_um
    page.get_by_role("button", name="Whole").tap()
    page.wait_for_function(
        "um => Number(new URLSearchParams(location.search).get('width_um')) > um",
        arg=0.9 * whole_um,
    )


def test_a_tap_on_a_box_opens_the_cell_unless_its_class_is_hidden(
    server: WebServer, run_id: int, page: Page, records: Records
) -> None:
    with records.reader() as reader:
        cell = next(cell for cell in reader.every_cell(run_id) if cell.tile_sequence == 0)
    place = f"?x_um={cell.x_um}&y_um={cell.y_um}&width_um=60"
    open_mosaic(page, server, run_id, place)
    middle = middle_of(page)
    group = page.locator(f'[data-group="{cell.kind.value}"]')
    group.tap()
    expect(group).to_have_attribute("aria-pressed", "false")
    page.touchscreen.tap(*middle)
    group.tap()
    expect(group).to_have_attribute("aria-pressed", "true")
    assert "/mosaic" in page.url
    page.touchscreen.tap(*middle)
    page.wait_for_url(f"**/cells/{cell.id}*")


def test_a_cell_leads_to_its_place_in_the_blood(server: WebServer, run_id: int, page: Page) -> None:
    page.goto(f"{server.url}runs/{run_id}/cells?kind=eosinophil")
    page.locator('.thumbs a[href^="/cells/2?"]').tap()
    page.get_by_role("link", name="In the blood").tap()
    page.wait_for_url("**/mosaic?cell=2&*")
    expect(page.locator("#mosaic")).to_have_attribute("data-marked", "2")
    page.wait_for_function(
        "() => Number(new URLSearchParams(location.search).get('width_um')) < 200"
    )
    page.touchscreen.tap(*middle_of(page))
    page.wait_for_url("**/cells/2?*")


@pytest.mark.slow
def test_a_mosaic_that_cannot_be_stained_is_shown_as_taken_with_the_reason(
    instrument: InstrumentDouble, records: Records, settings: Settings, run_id: int, page: Page
) -> None:
    class Failing(TwoTones):
        def stain(self, *_: object, **__: object) -> None:  # type: ignore[override]
            raise ModelError("MODEL-STAINER-NOT-LISTED")

    stain = VirtualStain(Failing)  # type: ignore[arg-type]
    with WebServer(instrument, records, settings, stain) as server:  # type: ignore[arg-type]
        with records.reader() as reader:
            cell = next(iter(reader.every_cell(run_id)))
        place = f"?x_um={cell.x_um}&y_um={cell.y_um}&width_um=60"
        open_mosaic(page, server, run_id, place)
        expect(page.get_by_text(ModelError("MODEL-STAINER-NOT-LISTED").cause)).to_be_visible()
        expect(page.get_by_text("As taken in ultraviolet")).to_be_visible()


@pytest.mark.slow
def test_the_stain_is_switched_and_comes_for_all_tiles(
    server: WebServer, run_id: int, page: Page, records: Records
) -> None:
    open_mosaic(page, server, run_id)
    expect(page.get_by_text("Virtual stain, computed")).to_be_visible()
    expect(page.locator("#staining")).to_be_hidden(timeout=60_000)
    assert records.tile_pictures.stained(run_id) == records.tile_pictures.kept(run_id)
    page.get_by_role("button", name="Stain").tap()
    expect(page.get_by_text("As taken in ultraviolet")).to_be_visible()
    with page.expect_response(re.compile("/mosaic/gray/")):
        page.get_by_role("button", name="Larger").tap()
    assert "look=gray" in page.url
