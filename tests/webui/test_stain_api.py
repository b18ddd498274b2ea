from __future__ import annotations

import shutil
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from instrument_double import TwoTones, keep_tiles, store_run
from numpy.typing import NDArray
from werkzeug.test import TestResponse

from device.analysis import staining
from device.analysis.staining import StainBusyError, VirtualStain
from device.records.records import Records
from device.settings.file import Settings
from models.errors import ModelError
from webui.context import install, parts_of
from webui.views.palette import bgr

NEUTROPHIL_PX = (696, 520)


@pytest.fixture
def run_id(records: Records, settings: Settings) -> int:
    stored = store_run(records, settings)
    keep_tiles(records, stored)
    return stored


def get(client: FlaskClient, path: str, status: int = 200, **headers: str) -> TestResponse:
    response = client.get(path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    assert response.status_code == status, response.text
    return response


def problem(client: FlaskClient, path: str, status: int) -> dict[str, str]:
    error = get(client, path, status).get_json()["error"]
    assert set(error) == {"code", "cause", "remedy"}
    assert all(error.values())
    return dict(error)


def picture(client: FlaskClient, path: str) -> NDArray[np.uint8]:
    """Return the picture at ``path`` as BGR."""
    response = get(client, path)
    assert response.mimetype == ("image/png" if ".png" in path else "image/jpeg")
    image = cv2.imdecode(np.frombuffer(response.data, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(image, np.uint8)


def chroma(image: NDArray[np.uint8]) -> NDArray[np.int_]:
    return np.ptp(image.astype(int), axis=2)


def use(app: Flask, stain: VirtualStain) -> None:
    parts = parts_of(app)
    install(app, replace(parts, stain=stain))


def of_kind(client: FlaskClient, run_id: int, kind: str) -> list[dict[str, Any]]:
    cells = get(client, f"/api/v1/runs/{run_id}/cells?kind={kind}").get_json()["cells"]
    return list(cells)


def test_cell_is_stained_in_its_place_and_size(screen: FlaskClient, run_id: int) -> None:
    cell = of_kind(screen, run_id, "neutrophil")[0]
    gray = picture(screen, f"/api/v1/cells/{cell['id']}/picture.png")
    stained = picture(screen, f"/api/v1/cells/{cell['id']}/stained.png")
    assert stained.shape == (160, 160, 3)
    assert chroma(gray).max() == 0
    assert chroma(stained)[gray[..., 0] < 120].mean() > 40
    assert chroma(stained)[gray[..., 0] > 210].mean() < 10


def test_cells_of_known_class_are_retinted_and_unidentified_ones_are_not(
    screen: FlaskClient, run_id: int
) -> None:
    unsure = next(c for c in of_kind(screen, run_id, "monocyte") if not c["identified"])
    for cell, changes in ((of_kind(screen, run_id, "eosinophil")[0], True), (unsure, False)):
        gray = picture(screen, f"/api/v1/cells/{cell['id']}/picture.png")[..., 0]
        plain = TwoTones().stain(gray)[..., ::-1].astype(int)
        shown = picture(screen, f"/api/v1/cells/{cell['id']}/stained.png")
        assert bool(np.abs(shown - plain).max() > 5) is changes


def test_tile_comes_gray_and_stained_with_and_without_boxes(
    screen: FlaskClient, run_id: int
) -> None:
    base = f"/api/v1/runs/{run_id}/tiles/0"
    gray, stained = picture(screen, f"{base}/gray.jpg"), picture(screen, f"{base}/stained.jpg")
    assert gray.shape == stained.shape == (1040, 1392, 3)
    assert chroma(gray).max() == 0
    assert chroma(stained).max() > 60
    x, y = NEUTROPHIL_PX
    for name, plain in (("gray", gray), ("stained", stained)):
        boxed = picture(screen, f"{base}/{name}.jpg?boxes=yes")
        frame = boxed[y, x - 85 : x - 82].astype(int)
        assert np.abs(frame - bgr("neutrophil")).max() < 60
        inside = np.abs(
            boxed[y - 70 : y + 70, x - 70 : x + 70].astype(int)
            - plain[y - 70 : y + 70, x - 70 : x + 70]
        )
        assert inside.mean() < 3


def test_tile_tells_its_cells_those_of_the_neighbour_too(screen: FlaskClient, run_id: int) -> None:
    answer = get(screen, f"/api/v1/runs/{run_id}/tiles/0").get_json()
    assert answer["tile"]["sequence"] == 0
    assert answer["kept"] is True
    assert [cell["letter"] for cell in answer["cells"]] == ["N", "E", "M"]
    assert answer["cells"][0]["bbox_px"] == [616, 440, 776, 600]
    assert all(cell["measured_here"] for cell in answer["cells"])
    for link in answer["pictures"].values():
        assert get(screen, link).mimetype == "image/jpeg"
    (seen,) = get(screen, f"/api/v1/runs/{run_id}/tiles/1").get_json()["cells"]
    assert seen["measured_here"] is False
    shift_px = 205.0 / 0.165  # from tile to tile
    assert seen["bbox_px"][0] == pytest.approx(100 - 80 + shift_px, abs=0.1)
    assert seen["bbox_px"][1] == pytest.approx(300 - 80, abs=0.1)


def test_tiles_with_counted_cells_can_be_listed(screen: FlaskClient, run_id: int) -> None:
    every = get(screen, f"/api/v1/runs/{run_id}/tiles").get_json()["tiles"]
    assert [(tile["counted_cells"] > 0, tile["picture_kept"]) for tile in every] == [
        (True, True),
        (False, True),
        (True, True),
        (True, False),
    ]
    page = get(screen, f"/api/v1/runs/{run_id}/tiles?cells=counted&limit=2").get_json()
    assert [tile["sequence"] for tile in page["tiles"]] == [0, 2]
    assert page["more"] is True
    problem(screen, f"/api/v1/runs/{run_id}/tiles?cells=some", 400)


def test_tile_that_was_not_kept_says_so_and_what_to_set(
    screen: FlaskClient, run_id: int, records: Records
) -> None:
    for name in ("gray", "stained"):
        error = problem(screen, f"/api/v1/runs/{run_id}/tiles/3/{name}.jpg", 404)
        assert error["code"] == "WEB-TILE-NOT-KEPT"
        assert "records.keep_tiles" in error["remedy"]
    answer = get(screen, f"/api/v1/runs/{run_id}/tiles/3").get_json()
    assert (answer["kept"], answer["pictures"]) == (False, {})
    shutil.rmtree(records.path.parent / "tiles" / str(run_id))
    problem(screen, f"/api/v1/runs/{run_id}/tiles/0/stained.jpg", 404)


@pytest.mark.parametrize("name", ["", "/gray.jpg", "/stained.jpg"])
def test_unknown_tiles_are_not_found(screen: FlaskClient, run_id: int, name: str) -> None:
    for run, number in ((run_id, "4"), (run_id, "9" * 60), (run_id, "-1"), (99, "0")):
        code = problem(screen, f"/api/v1/runs/{run}/tiles/{number}{name}", 404)["code"]
        expected = {"4": "WEB-TILE-NOT-FOUND", "0": "WEB-RUN-NOT-FOUND", "-1": "WEB-404"}
        assert code == expected.get(number, "WEB-RECORD-NUMBER")


def test_unknown_cells_are_not_found_stained_either(screen: FlaskClient, run_id: int) -> None:
    for number in ("7777", "0", "9" * 60, "abc"):
        problem(screen, f"/api/v1/cells/{number}/stained.png", 404)


@pytest.mark.parametrize("query", ["boxes=maybe", "boxes=%FF", "boxes="])
def test_wrong_choice_of_boxes_is_a_bad_request(
    screen: FlaskClient, run_id: int, query: str
) -> None:
    for name in ("gray", "stained"):
        error = problem(screen, f"/api/v1/runs/{run_id}/tiles/0/{name}.jpg?{query}", 400)
        assert "boxes" in error["cause"]


def test_missing_network_is_told_and_gray_pictures_still_come(
    screen: FlaskClient, app: Flask, run_id: int
) -> None:
    def load() -> TwoTones:
        raise ModelError("MODEL-STAINER-NOT-LISTED")

    use(app, VirtualStain(load))
    for path in ("cells/1/stained.png", f"runs/{run_id}/tiles/0/stained.jpg"):
        error = problem(screen, f"/api/v1/{path}", 503)
        assert error["code"] == "MODEL-STAINER-NOT-LISTED"
    assert picture(screen, f"/api/v1/runs/{run_id}/tiles/0/gray.jpg?boxes=yes").any()


def test_busy_stain_is_told_as_unavailable(
    screen: FlaskClient, app: Flask, run_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Busy(VirtualStain):
        def cell_png(self, gray_png: bytes, cell: staining.CellView) -> bytes:
            raise StainBusyError

    use(app, Busy(TwoTones))
    assert problem(screen, "/api/v1/cells/1/stained.png", 503)["code"] == "STAIN-BUSY"


def test_failing_disk_is_told_as_unavailable(
    screen: FlaskClient, run_id: int, records: Records
) -> None:
    path = records.path.parent / "tiles" / str(run_id) / "000000.jpg"
    path.unlink()
    path.mkdir()
    failure = problem(screen, f"/api/v1/runs/{run_id}/tiles/0/gray.jpg", 503)
    assert failure["code"] == "RECORDS-FAILED"


@pytest.mark.parametrize(
    "path",
    [
        "cells/1/stained.png",
        "runs/1/tiles/0/gray.jpg",
        "runs/1/tiles/0/stained.jpg",
        "runs/1/tiles/0/stained.jpg?boxes=yes",
    ],
)
def test_picture_that_the_client_has_is_not_made_again(
    screen: FlaskClient, run_id: int, colours: TwoTones, path: str
) -> None:
    first = get(screen, f"/api/v1/{path}")
    assert first.headers["Cache-Control"] == "private, no-cache"
    made = colours.calls
    again = get(screen, f"/api/v1/{path}", 304, If_None_Match=first.headers["ETag"])
    assert again.data == b""
    assert again.headers["ETag"] == first.headers["ETag"]
    assert get(screen, f"/api/v1/{path}").data == first.data
    assert colours.calls == made <= 1


def test_boxes_and_colours_have_tags_of_their_own(screen: FlaskClient, run_id: int) -> None:
    names = ("gray.jpg", "gray.jpg?boxes=yes", "stained.jpg", "stained.jpg?boxes=yes")
    paths = [f"/api/v1/runs/{run_id}/tiles/0/{name}" for name in names]
    assert len({get(screen, path).headers["ETag"] for path in paths}) == len(paths)


def test_network_reads_pictures_with_its_token_and_keeps_none(
    network: FlaskClient, app: Flask, run_id: int
) -> None:
    for path in ("cells/1/stained.png", "runs/1/tiles/0/stained.jpg", "runs/1/tiles/0"):
        response = get(network, f"/api/v1/{path}")
        assert response.headers["Cache-Control"] == "no-store"
        assert app.test_client().get(f"/api/v1/{path}").status_code == 401
        assert network.post(f"/api/v1/{path}").status_code == 403


def test_shipped_network_colours_nuclei_violet_and_leaves_glass_alone(
    screen: FlaskClient, app: Flask, run_id: int
) -> None:
    use(app, VirtualStain())
    gray = picture(screen, "/api/v1/cells/1/picture.png")[..., 0]
    stained = picture(screen, "/api/v1/cells/1/stained.png").astype(int)
    blue, green, _ = (stained[gray < 120].mean(axis=0)[i] for i in range(3))
    assert blue > green + 20
    assert chroma(stained.astype(np.uint8))[gray > 210].mean() < 15
    field = picture(screen, f"/api/v1/runs/{run_id}/tiles/0/stained.jpg")
    assert field.shape == (1040, 1392, 3)
    assert chroma(field).max() > 40
