"""Press Start on the real instrument, simulated hardware below, and read the differential."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from device.analysis.staining import VirtualStain
from device.assembly import assembled, simulated_settings
from device.laboratory.truth import compare_with_truth
from device.results.cell import FIVE_TYPES, CellKind
from device.results.differential import clopper_pearson
from device.settings.file import parse_settings
from webui.server import WebServer

sys.path.insert(0, str(Path(__file__).parent.parent / "device"))
from instrument_double import TwoTones
from small_instrument import TIMEOUT_S, SmallInstrument, small_instrument, small_settings

SCAN_TIMEOUT_MS = 540_000
PIECE = re.compile(r"/mosaic/stained/")


def press_start(page: Page, url: str, sample_id: str, timeout_ms: float) -> int:
    """Enter a sample, press Start, stay until the result is on the screen; return the run."""
    page.goto(url)
    page.get_by_role("textbox", name="Sample ID").fill(sample_id)
    page.get_by_role("button", name="Start").tap(timeout=timeout_ms)
    page.wait_for_url("**/live", timeout=timeout_ms)
    expect(page.get_by_role("heading", name=f"Sample {sample_id}")).to_be_visible()
    page.wait_for_url("**/runs/*", timeout=timeout_ms)
    expect(page.get_by_role("heading", name=sample_id)).to_be_visible()
    return int(page.url.rsplit("/", 1)[1])


def differential(page: Page) -> dict[CellKind, tuple[int, float, float, float]]:
    """Read n, percent, low and high of every type off the screen."""
    shares = {}
    for kind in FIVE_TYPES:
        row = page.locator(f".differential tr.{kind.value}").inner_text()
        n, percent, low, high = re.findall(r"[0-9.]+", row)
        shares[kind] = (int(n), float(percent), float(low), float(high))
    return shares


def _check_that_pictures_loaded(page: Page) -> None:
    """A stained picture that fails is replaced by the gray one, and the page says so."""
    page.wait_for_load_state("networkidle")
    expect(page.locator("#picture")).to_have_attribute("href", re.compile("stained"))
    expect(page.locator("#stain-problem")).to_be_hidden()


@contextmanager
def instrument_with_screen(folder: Path) -> Iterator[tuple[SmallInstrument, WebServer]]:
    """Open the small instrument of the engine's tests and a screen on it."""
    scan = {"width_um": 400.0, "height_um": 200.0, "target_cells": 60}
    settings = parse_settings({**small_settings(folder, **scan).model_dump(), "web": {"port": 0}})
    stain = VirtualStain(TwoTones)
    with (
        small_instrument(folder, **scan) as rig,
        WebServer(rig.instrument, rig.records, settings, stain) as server,
    ):
        rig.idle()
        yield rig, server


def test_the_result_of_the_engine_reaches_the_screen(tmp_path: Path, page: Page) -> None:
    with instrument_with_screen(tmp_path) as (rig, server):
        run_id = press_start(page, server.url, "WARD-7", TIMEOUT_S * 1000)
        shares = differential(page)
        expect(page.get_by_text("Enough cells counted")).to_be_visible()
        expect(page.get_by_text("Simulated smear: healthy:42")).to_be_visible()
        expect(page.get_by_text("Research use only").first).to_be_visible()
        document = rig.result(run_id)
        assert document["sample_id"] == "WARD-7"
        classified = sum(share[0] for share in shares.values())
        assert classified == document["classified"] >= 60
        for kind, (n, percent, low, high) in shares.items():
            assert n == document["differential"][kind.value]["n"]
            assert percent == pytest.approx(100 * n / classified, abs=0.051)
            expected = [100 * end for end in clopper_pearson(n, classified)]
            assert [low, high] == pytest.approx(expected, abs=0.051)
        page.get_by_role("button", name="New sample").tap()
        expect(page.get_by_role("button", name="Start")).to_be_enabled()


@pytest.mark.slow
def test_the_counted_cells_are_seen_stained_and_each_leads_to_its_place(
    tmp_path: Path, page: Page
) -> None:
    with instrument_with_screen(tmp_path) as (_, server):
        press_start(page, server.url, "WARD-9", TIMEOUT_S * 1000)
        page.get_by_role("link", name="Cells", exact=True).tap()
        thumbnail = page.locator(".thumbs img").first
        expect(thumbnail).to_have_attribute("src", re.compile("stained"))
        expect(thumbnail).to_have_js_property("naturalWidth", 160)
        thumbnail.tap()
        with page.expect_response(PIECE) as drawn:
            page.get_by_role("link", name="In the blood").tap()
        assert drawn.value.ok
        expect(page.get_by_text("computed from the ultraviolet image")).to_be_visible()
        expect(page.get_by_text("Research use only")).to_be_visible()


def test_an_open_lid_is_explained_and_resume_waits_for_it(tmp_path: Path, page: Page) -> None:
    with instrument_with_screen(tmp_path) as (rig, server):
        rig.camera.at[40] = lambda: rig.world.set_lid(closed=False)
        page.goto(server.url)
        page.get_by_role("button", name="Start").tap()
        alert = page.get_by_role("alert").filter(has_text="lid")
        expect(alert).to_be_visible(timeout=TIMEOUT_S * 1000)
        resume = page.get_by_role("button", name="Resume")
        expect(resume).to_be_disabled()
        assert rig.light_is_off()
        rig.world.set_lid(closed=True)
        resume.tap()
        page.wait_for_url("**/runs/*", timeout=TIMEOUT_S * 1000)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_differential_on_the_screen_agrees_with_the_simulated_donor(
    tmp_path: Path, page: Page
) -> None:
    settings = parse_settings(
        {
            "scan": {"target_cells": 60},
            "records": {"directory": str(tmp_path)},
            "web": {"port": 0},
        }
    )
    settings = simulated_settings(settings, smear="healthy:42", speed=50.0)
    with (
        assembled(settings) as assembly,
        WebServer(assembly.instrument, assembly.records, settings) as server,
    ):
        run_id = press_start(page, server.url, "S-42", SCAN_TIMEOUT_MS)
        shares = differential(page)
        assert sum(share[0] for share in shares.values()) >= 60
        world = assembly.hardware.simulation
        assert world is not None
        with assembly.records.reader() as reader:
            truth = compare_with_truth(reader, run_id, world.microscope).as_dict()
        for kind, (_, _, low, high) in shares.items():
            true_percent = truth[kind.value]["percent"]
            assert low <= true_percent <= high, f"{kind}: {true_percent} not in {low} to {high}"
        page.get_by_role("link", name="Cells", exact=True).tap()
        page.locator(".thumbs a").first.tap()
        expect(page.locator("polygon.outline.cell").first).to_be_visible()
        _check_that_pictures_loaded(page)
        with page.expect_response(PIECE) as drawn:
            page.get_by_role("link", name="In the blood").tap()
        assert drawn.value.ok
