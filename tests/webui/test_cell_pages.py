from __future__ import annotations

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient
from instrument_double import HEALTHY, TwoTones, keep_tiles, store_run
from markupsafe import escape
from test_pages import page
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


@pytest.mark.parametrize("path", ["/runs/1/cells", "/cells/1"])
def test_pictures_are_stained_unless_the_gray_ones_are_asked_for(
    screen: FlaskClient, run_id: int, path: str
) -> None:
    stained, gray = page(screen, path), page(screen, f"{path}?look=gray")
    assert re.search(r'(?:src|<image[^>]* href)="[^"]*/stained\.', stained)
    assert SHOWN_NOTE.search(stained)
    assert not re.search(r'(?:src|<image[^>]* href)="[^"]*/stained\.', gray)
    assert not SHOWN_NOTE.search(gray)


@pytest.mark.parametrize("path", ["/runs/1/cells", "/cells/1", "/runs/1/mosaic"])
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
        ("/runs/99/mosaic", 404),
        ("/runs/1/mosaic?look=red", 400),
        ("/runs/1/mosaic?cell=-1", 400),
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
