from __future__ import annotations

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient
from instrument_double import HEALTHY, TwoTones, keep_tiles, store_run
from markupsafe import escape
from test_pages import RESEARCH, SIMULATED, page, words
from test_stain_api import use

from device.analysis.staining import VirtualStain
from device.records.records import Records
from device.results.cell import CellKind
from device.settings.file import Settings
from models.errors import ModelError

NOTE = "Virtual stain, computed from the ultraviolet image: no dye."
SHOWN_NOTE = re.compile(r'data-look="stained">' + re.escape(NOTE))


@pytest.fixture
def run_id(records: Records, settings: Settings) -> int:
    stored = store_run(records, settings)
    keep_tiles(records, stored)
    return stored


def boxes(html: str) -> list[tuple[str, int]]:
    """Return class and cell of every box."""
    found = re.findall(r'<a class="box ([a-z ]+)"[^>]*href="/cells/(\d+)\?', html)
    return [(name, int(cell)) for name, cell in found]


def steps(html: str) -> list[str | None]:
    """Return the fields that the two arrows lead to."""
    return [
        found[1] if found else None
        for name in ("Previous", "Next")
        for found in [re.search(rf'fields/(\d+)\?[^"]*" aria-label="{name} field"', html)]
    ]


def test_fields_lead_to_the_first_one_with_counted_cells(
    screen: FlaskClient, run_id: int, records: Records
) -> None:
    response = screen.get(f"/runs/{run_id}/fields")
    assert response.headers["Location"] == f"/runs/{run_id}/fields/0"
    empty = records.begin_run("S-2", {}, {})
    assert "no fields" in page(screen, f"/runs/{empty}/fields")


def test_field_shows_its_cells_boxed_lettered_and_counted(screen: FlaskClient, run_id: int) -> None:
    html = page(screen, f"/runs/{run_id}/fields/0")
    assert [name for name, _ in boxes(html)] == ["neutrophil", "eosinophil", "monocyte"]
    assert re.findall(r"<text[^>]*>(.)</text>", html) == ["N", "E", "M"]
    assert re.search(r"N Neutrophils 1 E Eosinophils 1 M Monocytes 1", words(html))
    assert f'href="/api/v1/runs/{run_id}/tiles/0/stained.jpg"' in html
    assert 'aria-label="Neutrophil, cell 1"' in html
    for text in (RESEARCH, SIMULATED, "1 of 3 fields with counted cells"):
        assert text in html
    assert SHOWN_NOTE.search(html)


def test_cell_counted_in_the_neighbour_is_boxed_otherwise(screen: FlaskClient, run_id: int) -> None:
    html = page(screen, f"/runs/{run_id}/fields/1")
    assert [name for name, _ in boxes(html)] == ["neutrophil neighbour"]
    assert "Dashed: counted in the neighbouring field." in html


@pytest.mark.parametrize(("pixel_um", "size"), [(0.165, "1424 1000"), (0.137, "1182 830")])
def test_field_is_shown_at_the_size_of_its_picture(
    screen: FlaskClient, records: Records, settings: Settings, pixel_um: float, size: str
) -> None:
    taken = {"pixel_um": pixel_um, "width_px": 1424, "height_px": 1000}
    camera = settings.camera.model_copy(update=taken)
    run_id = store_run(records, settings.model_copy(update={"camera": camera}))
    keep_tiles(records, run_id)
    assert f'viewBox="0 0 {size}"' in page(screen, f"/runs/{run_id}/fields/0")


def test_field_without_cells_says_so(
    screen: FlaskClient, records: Records, settings: Settings
) -> None:
    run_id = store_run(records, settings, counts={CellKind.MONOCYTE: 1}, unidentified=0)
    html = page(screen, f"/runs/{run_id}/fields/2")
    assert boxes(html) == []
    assert "No counted cell in this field." in html


def test_arrows_lead_through_fields_with_cells_or_through_all(
    screen: FlaskClient, run_id: int
) -> None:
    assert steps(page(screen, f"/runs/{run_id}/fields/0")) == [None, "2"]
    assert steps(page(screen, f"/runs/{run_id}/fields/2")) == ["0", "3"]
    assert steps(page(screen, f"/runs/{run_id}/fields/1")) == ["0", "2"]
    assert steps(page(screen, f"/runs/{run_id}/fields/0?every=yes")) == [None, "1"]
    assert steps(page(screen, f"/runs/{run_id}/fields/3?every=yes")) == ["2", None]


def test_choices_are_kept_from_field_to_field(screen: FlaskClient, run_id: int) -> None:
    html = page(screen, f"/runs/{run_id}/fields/0?look=gray&boxes=no&every=yes")
    assert f'href="/api/v1/runs/{run_id}/tiles/0/gray.jpg"' in html
    assert '<g id="boxes" hidden>' in html
    assert not SHOWN_NOTE.search(html)
    assert 'data-look="gray">As taken in ultraviolet' in html
    following = re.search(r'href="([^"]+)" aria-label="Next field"', html)
    assert following is not None
    assert {"look=gray", "boxes=no", "every=yes"} <= set(re.split(r"[?&;]", following[1]))


def test_field_of_a_cell_marks_it(screen: FlaskClient, run_id: int) -> None:
    link = re.search(r'href="(/runs/\d+/fields/0\?[^"]*)"', page(screen, "/cells/1"))
    assert link is not None
    html = page(screen, link[1].replace("&amp;", "&"))
    assert ("neutrophil marked", 1) in boxes(html)


def test_field_that_was_not_kept_says_so_and_still_counts(screen: FlaskClient, run_id: int) -> None:
    html = page(screen, f"/runs/{run_id}/fields/3")
    assert "was not kept" in html
    assert "records.keep_tiles" in html
    assert "<image" not in html
    assert "Lymphocytes" in html


def test_cells_are_paged_and_every_one_is_on_one_page(screen: FlaskClient, run_id: int) -> None:
    seen: list[str] = []
    path: str | None = f"/runs/{run_id}/cells?kind=neutrophil&look=gray"
    pages = 0
    while path:
        html = page(screen, path)
        pages += 1
        seen += re.findall(r'<li><a href="/cells/(\d+)\?look=gray"', html)
        older = re.search(r'class="button" href="([^"]+)">Next page', html)
        path = older[1].replace("&amp;", "&") if older else None
    assert len(seen) == len(set(seen)) == HEALTHY[CellKind.NEUTROPHIL]
    assert pages == 6


@pytest.mark.parametrize("path", ["/runs/1/cells", "/cells/1", "/runs/1/fields/0"])
def test_pictures_are_stained_unless_the_gray_ones_are_asked_for(
    screen: FlaskClient, run_id: int, path: str
) -> None:
    stained, gray = page(screen, path), page(screen, f"{path}?look=gray")
    assert re.search(r'(?:src|<image[^>]* href)="[^"]*/stained\.', stained)
    assert SHOWN_NOTE.search(stained)
    assert not re.search(r'(?:src|<image[^>]* href)="[^"]*/stained\.', gray)
    assert not SHOWN_NOTE.search(gray)


@pytest.mark.parametrize("path", ["/runs/1/cells", "/cells/1", "/runs/1/fields/0"])
def test_without_the_network_pictures_are_gray_and_the_page_says_why(
    screen: FlaskClient, app: Flask, run_id: int, path: str
) -> None:
    def load() -> TwoTones:
        raise ModelError("MODEL-STAINER-NOT-LISTED")

    use(app, VirtualStain(load))
    html = page(screen, path)
    problem = ModelError("MODEL-STAINER-NOT-LISTED")
    assert escape(problem.cause) in html
    assert escape(problem.remedy) in html
    assert not re.search(r'(?:src|<image[^>]* href)="[^"]*/stained\.', html)
    assert not SHOWN_NOTE.search(html)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/runs/99/fields", 404),
        ("/runs/1/fields/99", 404),
        ("/runs/1/fields/" + "9" * 40, 404),
        ("/runs/1/fields/0?look=red", 400),
        ("/runs/1/fields/0?boxes=x", 400),
        ("/runs/1/fields/0?every=x", 400),
        ("/runs/1/fields/0?cell=-1", 400),
        ("/runs/1/cells?page=0", 400),
        ("/runs/1/cells?page=99", 400),
        ("/cells/1?look=", 400),
    ],
)
def test_wrong_addresses_of_pictures_give_a_page_with_a_way_back(
    screen: FlaskClient, run_id: int, path: str, status: int
) -> None:
    response = screen.get(path)
    assert response.status_code == status
    assert "What to do" in response.text
