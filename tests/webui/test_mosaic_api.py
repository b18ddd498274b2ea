"""The mosaic of a run over the API."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from flask.testing import FlaskClient
from instrument_double import HEALTHY, TwoTones, keep_tiles

from device.records.records import Records


@pytest.fixture
def kept(records: Records, run_id: int) -> int:
    keep_tiles(records, run_id)
    return run_id


def mosaic(client: FlaskClient, run_id: int) -> dict[str, Any]:
    answer: dict[str, Any] = client.get(f"/api/v1/runs/{run_id}/mosaic").get_json()
    return answer


def piece(client: FlaskClient, run_id: int, step: int, place_px: list[float]) -> np.ndarray:
    side = 512 * step
    column, row = (int(along // side) for along in place_px)
    response = client.get(f"/api/v1/runs/{run_id}/mosaic/gray/{step}/{column}/{row}.jpg")
    assert response.mimetype == "image/jpeg"
    return cv2.imdecode(np.frombuffer(response.data, np.uint8), cv2.IMREAD_GRAYSCALE)


def test_the_mosaic_tells_canvas_tiles_and_cells(screen: FlaskClient, kept: int) -> None:
    document = mosaic(screen, kept)
    assert [tile["sequence"] for tile in document["tiles"]] == [0, 1, 2, 3]
    assert {tile["refused"] for tile in document["tiles"]} == {None}
    assert len(document["cells"]) == sum(HEALTHY.values()) + 3
    left, top, right, bottom = document["seen_px"]
    for cell in document["cells"]:
        x0, y0, x1, y1 = cell["box_px"]
        assert left <= x0 < x1 <= right
        assert top <= y0 < y1 <= bottom
    assert 0 <= left < right <= document["width_px"]


def test_a_piece_shows_the_tile_that_lies_there(screen: FlaskClient, kept: int) -> None:
    document = mosaic(screen, kept)
    x, y = document["tiles"][1]["corner_px"]
    shown = piece(screen, kept, 1, [x + 700, y + 300])
    assert shown.shape == (512, 512)
    assert np.median(shown) > 150
    assert np.median(piece(screen, kept, 1, [x + 700, y + 5000])) < 60


def test_the_coarsest_piece_shows_all(screen: FlaskClient, kept: int) -> None:
    document = mosaic(screen, kept)
    step = 1
    while 512 * step < max(document["width_px"], document["height_px"]):
        step *= 2
    shown = piece(screen, kept, step, [0, 0])
    assert shown.shape == (
        -(-document["height_px"] // step),
        -(-document["width_px"] // step),
    )
    assert shown.max() > 60


def test_a_stained_piece_has_the_colours_of_its_cells(
    screen: FlaskClient, kept: int, colours: TwoTones
) -> None:
    document = mosaic(screen, kept)
    x0, y0, x1, y1 = document["cells"][0]["box_px"]
    column, row = int((x0 + x1) / 2 // 512), int((y0 + y1) / 2 // 512)
    response = screen.get(f"/api/v1/runs/{kept}/mosaic/stained/1/{column}/{row}.jpg")
    shown = cv2.imdecode(np.frombuffer(response.data, np.uint8), cv2.IMREAD_COLOR)
    assert np.ptp(shown.astype(int), axis=2).max() > 40
    assert document["stained_tiles"] == 0


def test_what_has_not_changed_is_not_sent_again(screen: FlaskClient, kept: int) -> None:
    address = f"/api/v1/runs/{kept}/mosaic/gray/64/0/0.jpg"
    first = screen.get(address)
    again = screen.get(address, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("3/0/0.jpg", "WEB-STEP-NOT-FOUND"),
        ("0/0/0.jpg", "WEB-STEP-NOT-FOUND"),
        ("2097152/0/0.jpg", "WEB-STEP-NOT-FOUND"),
        ("1/99999999/0.jpg", "WEB-PIECE-NOT-FOUND"),
        ("1/0/99999999999999999999.jpg", "WEB-PIECE-NOT-FOUND"),
    ],
)
def test_a_piece_that_is_not_there_is_told(
    screen: FlaskClient, kept: int, address: str, code: str
) -> None:
    response = screen.get(f"/api/v1/runs/{kept}/mosaic/gray/{address}")
    assert response.status_code == 404
    assert response.get_json()["error"]["code"] == code


def test_the_network_may_look_with_its_token(network: FlaskClient, kept: int) -> None:
    assert network.get(f"/api/v1/runs/{kept}/mosaic").status_code == 200
    assert network.get(f"/api/v1/runs/{kept}/mosaic/gray/64/0/0.jpg").status_code == 200


def test_the_page_shows_the_classes_that_were_counted(screen: FlaskClient, kept: int) -> None:
    html = screen.get(f"/runs/{kept}/mosaic").text
    assert 'data-group="lymphocyte"' in html
    assert f'data-address="/api/v1/runs/{kept}/mosaic"' in html
