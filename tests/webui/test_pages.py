from __future__ import annotations

import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
from flask.testing import FlaskClient
from instrument_double import DISK, LID, PROBLEM, InstrumentDouble, analysed_tile, store_run
from numpy.typing import NDArray

from device.engine.state.states import State
from device.errors import RecordsError
from device.records.record_types import RunState
from device.records.records import Records
from device.results.cell import CellKind
from device.settings.file import Settings
from device.status import StopReason
from webui.views.palette import bgr

RESEARCH = "Research use only"
SIMULATED = "Simulated smear: healthy:42"
REFUSAL = {"code": "SAMPLE-REFUSED", "cause": "No smear was found.", "remedy": "Turn the slide."}


def page(client: FlaskClient, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    assert response.mimetype == "text/html"
    return response.text


def words(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_home_offers_start_and_suggests_the_next_sample(
    screen: FlaskClient, instrument: InstrumentDouble, run_id: int
) -> None:
    instrument.become(state=State.IDLE)
    html = page(screen, "/")
    assert f'value="S-{run_id + 1:04d}"' in html
    assert re.search(r'id="start">', html)
    assert "Enough cells counted" in html
    assert "N 61.0" in html
    assert RESEARCH in html


def test_home_names_every_reason_against_start(
    screen: FlaskClient, instrument: InstrumentDouble
) -> None:
    instrument.become(start_conditions=(replace(LID, met=False), replace(DISK, met=False)))
    html = page(screen, "/")
    assert re.search(r'id="start"[^>]* disabled>', html)
    assert "Close the lid." in html
    assert "Free at least 1 GB." in html


@pytest.mark.parametrize(
    ("state", "address"),
    [
        (State.BOOTING, "/"),
        (State.IDLE, "/"),
        (State.CHECKING, "/checks"),
        (State.PREPARING, "/live"),
        (State.SCANNING, "/live"),
        (State.PAUSING, "/live"),
        (State.PAUSED, "/live"),
        (State.FINISHING, "/live"),
        (State.ABORTING, "/live"),
        (State.COMPLETE, "/runs/1"),
        (State.FAULT, "/fault"),
        (State.SHUTTING_DOWN, "/"),
    ],
)
def test_every_state_has_its_page_and_the_others_lead_there(
    screen: FlaskClient, instrument: InstrumentDouble, run_id: int, state: State, address: str
) -> None:
    instrument.become(state=state, run_id=run_id, error=PROBLEM if state is State.FAULT else None)
    assert page(screen, address)
    for other in {"/", "/live", "/fault"} - {address}:
        response = screen.get(other)
        assert response.status_code == 302
        assert response.headers["Location"] == address


def test_live_page_shows_counts_progress_and_time(
    screen: FlaskClient, instrument: InstrumentDouble
) -> None:
    instrument.become(
        state=State.SCANNING,
        sample_id="S-9",
        activity="Scanning row 4.",
        classified=87,
        tiles_planned=1380,
        tiles_analysed=258,
        counts={"neutrophil": 53, "dead": 2},
    )
    html = page(screen, "/live")
    text = words(html)
    for expected in ("Sample S-9", "Scanning row 4.", "87 of 200", "estimating"):
        assert expected in text
    assert 'data-text="counts.neutrophil.n">53<' in html
    assert SIMULATED in text
    assert RESEARCH in text
    assert re.search(r'requests/resume"[^>]* disabled', html)
    assert not re.search(r'requests/pause"[^>]* disabled', html)


def test_remaining_time_is_rounded_so_that_it_does_not_flicker(
    screen: FlaskClient, instrument: InstrumentDouble
) -> None:
    instrument.become(state=State.SCANNING, remaining_s=97.3, donor=None)
    assert "about 1 min 40 s" in page(screen, "/live")


def test_simulated_time_is_shown_as_the_time_a_person_waits(
    screen: FlaskClient, instrument: InstrumentDouble, settings: Settings
) -> None:
    speed = settings.simulation.speed
    instrument.become(state=State.SCANNING, elapsed_s=71.0 * speed, remaining_s=40.0 * speed)
    text = words(page(screen, "/live"))
    assert "1 min 11 s" in text
    assert "about 40 s" in text


def test_fault_page_says_what_happened_what_to_do_and_the_code(
    screen: FlaskClient, instrument: InstrumentDouble
) -> None:
    instrument.become(state=State.FAULT, error=PROBLEM)
    text = words(page(screen, "/fault"))
    assert all(part in text for part in PROBLEM.values())
    assert "Acknowledge" in text


def test_result_page_shows_the_differential_with_intervals(
    screen: FlaskClient, run_id: int
) -> None:
    html = page(screen, f"/runs/{run_id}")
    text = words(html)
    assert re.search(r"Neutrophils 122 61\.0 53\.9 . 67\.8", text)
    assert re.search(r"Basophils 1 0\.5 0\.0 . 2\.8", text)
    assert "counting error only" in text
    assert "612 of 1,380 planned fields" in text
    assert "3.5 per 100 white cells" in text
    assert "LIMIT-IMMATURE" in text
    assert html.count('class="whisker"') == 5


def test_result_under_50_cells_shows_counts_but_no_percentages(
    screen: FlaskClient, records: Records, settings: Settings
) -> None:
    run_id = store_run(records, settings, counts={CellKind.LYMPHOCYTE: 12})
    html = page(screen, f"/runs/{run_id}")
    assert "COUNT-TOO-FEW" in html
    assert "counts only, no percentages" in html
    assert "whisker" not in html


def test_refused_run_shows_cause_and_remedy_instead_of_numbers(
    screen: FlaskClient, records: Records, settings: Settings
) -> None:
    run_id = store_run(
        records, settings, counts={}, reason=StopReason.REFUSED, error=REFUSAL, unidentified=0
    )
    html = page(screen, f"/runs/{run_id}")
    assert all(part in html for part in REFUSAL.values())
    assert "<table" not in html


def test_aborted_run_says_so(screen: FlaskClient, records: Records, settings: Settings) -> None:
    run_id = store_run(records, settings, state=RunState.ABORTED, reason=StopReason.ABORTED)
    html = page(screen, f"/runs/{run_id}")
    assert "Aborted by the operator" in html
    assert "SCAN-ABORTED" in html


@pytest.mark.parametrize("tab", ["", "/cells", "/details"])
def test_every_page_of_a_run_is_labelled(screen: FlaskClient, run_id: int, tab: str) -> None:
    html = page(screen, f"/runs/{run_id}{tab}")
    assert RESEARCH in html
    assert SIMULATED in html


def test_run_in_progress_has_a_page_without_result(screen: FlaskClient, records: Records) -> None:
    run_id = records.begin_run("S-1", {}, {})
    for tab in ("", "/cells", "/details"):
        assert page(screen, f"/runs/{run_id}{tab}")
    assert "still in progress" in page(screen, f"/runs/{run_id}")


def test_new_sample_is_offered_only_on_the_run_that_has_the_screen(
    screen: FlaskClient, instrument: InstrumentDouble, records: Records, settings: Settings
) -> None:
    older, newer = store_run(records, settings), store_run(records, settings)
    instrument.become(state=State.COMPLETE, run_id=newer)
    assert "New sample" in page(screen, f"/runs/{newer}")
    assert "New sample" not in page(screen, f"/runs/{older}")


def test_cells_page_shows_one_class_least_certain_first(screen: FlaskClient, run_id: int) -> None:
    html = page(screen, f"/runs/{run_id}/cells?kind=monocyte&look=gray")
    shares = [int(share) for share in re.findall(r"<span>(\d+) %</span>", html)]
    assert len(shares) == 13
    assert shares == sorted(shares)
    assert html.count('src="/api/v1/cells/') == 13


def test_unidentified_cells_have_a_group_of_their_own(screen: FlaskClient, run_id: int) -> None:
    html = page(screen, f"/runs/{run_id}/cells?kind=unidentified")
    assert html.count('src="/api/v1/cells/') == 3


def test_cell_page_shows_outlines_probabilities_and_neighbours(
    screen: FlaskClient, run_id: int
) -> None:
    cells = screen.get(f"/api/v1/runs/{run_id}/cells?kind=eosinophil").get_json()["cells"]
    order = sorted(cells, key=lambda cell: (max(cell["probabilities"].values()), cell["id"]))
    html = page(screen, f"/cells/{order[1]['id']}")
    assert 'class="outline cell"' in html
    assert html.count('class="outline nucleus"') >= 1
    assert f'href="/cells/{order[0]["id"]}?' in html
    assert f'href="/cells/{order[2]["id"]}?' in html
    assert f"{100 * order[1]['probabilities']['eosinophil']:.1f} %" in html
    assert RESEARCH in html
    assert SIMULATED in html


def test_history_pages_back_through_all_runs(
    screen: FlaskClient, records: Records, settings: Settings
) -> None:
    ids = [store_run(records, settings, counts={}, unidentified=0) for _ in range(12)]
    seen: list[int] = []
    path: str | None = "/runs"
    while path:
        html = page(screen, path)
        seen += [int(found) for found in re.findall(r'class="run-row" href="/runs/(\d+)"', html)]
        older = re.search(r'href="(/runs\?before=\d+)"', html)
        path = older.group(1) if older else None
    assert seen == ids[::-1]


def test_empty_history_says_what_to_do(screen: FlaskClient) -> None:
    assert "Press Start" in page(screen, "/runs")


def test_latest_cells_are_the_newest_of_the_run(
    screen: FlaskClient, instrument: InstrumentDouble, run_id: int
) -> None:
    assert screen.get("/screen/cells").get_json() == []
    instrument.become(run_id=run_id)
    cells = screen.get("/screen/cells").get_json()
    assert [cell["label"] for cell in cells][:3] == ["Unidentified"] * 3
    assert cells[0]["id"] > cells[1]["id"]
    assert screen.get(cells[0]["picture"]).mimetype == "image/png"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/runs/99", 404),
        ("/runs/99/cells", 404),
        ("/cells/9999", 404),
        ("/cells/" + "9" * 40, 404),
        ("/cells/" + "9" * 5000, 404),
        ("/runs/%D9%A1", 404),
        ("/runs/1/cells?kind=plasma", 400),
        ("/runs?before=-3", 400),
        ("/runs?before=%FE", 400),
        ("/nowhere", 404),
        ("/%FF", 404),
    ],
)
def test_wrong_address_gives_a_page_with_a_way_back(
    screen: FlaskClient, run_id: int, path: str, status: int
) -> None:
    response = screen.get(path)
    assert response.status_code == status
    assert response.mimetype == "text/html"
    assert "What to do" in response.text
    assert 'href="/"' in response.text


def test_texts_from_records_are_escaped(
    screen: FlaskClient, records: Records, settings: Settings
) -> None:
    run_id = store_run(records, settings, sample_id="<script>alert(1)</script>", counts={})
    for path in ("/", "/runs", f"/runs/{run_id}", f"/runs/{run_id}/cells"):
        assert "<script>alert" not in page(screen, path)


@pytest.mark.parametrize(
    "path", ["/", "/runs", "/runs/1", "/runs/1/cells", "/cells/1", "/runs/1/mosaic"]
)
def test_pages_hold_no_inline_script_or_style_and_nothing_from_elsewhere(
    screen: FlaskClient, run_id: int, path: str
) -> None:
    html = page(screen, path)
    assert not re.search(r"<script(?![^>]*\bsrc=)", html)
    assert not re.search(r"\sstyle=|<style|\son[a-z]+=", html)
    assert not re.search(r'(?:src|href)="(?:https?:)?//', html)


def test_old_record_with_unknown_words_is_still_readable(
    screen: FlaskClient, records: Records
) -> None:
    run_id = records.begin_run("S-1", {"simulation": {}}, {"leukolux": "0.0.1"})
    assert "S-1" in page(screen, f"/runs/{run_id}/details")


def test_scripts_are_loaded_under_the_name_they_import_each_other_by(screen: FlaskClient) -> None:
    # Under two addresses one module would run twice: every tap would ask twice.
    html = page(screen, "/")
    assert 'src="/static/screen.js"' in html
    with screen.get("/static/home.js") as script:
        assert 'from "./screen.js"' in script.text


def test_latest_field_is_shown_with_its_white_cells_boxed_and_nothing_else_changed(
    screen: FlaskClient, instrument: InstrumentDouble
) -> None:
    assert screen.get("/screen/field.png").status_code == 404
    tile = analysed_tile()
    instrument.show_tile(tile)
    boxed = _picture(screen)
    instrument.show_tile(replace(tile, cells=()))
    plain = _picture(screen)
    assert boxed.shape[:2] == (2 * tile.preview.shape[0], 2 * tile.preview.shape[1])
    left, top, right, bottom = (side // 2 for side in tile.cells[0].bbox_px)
    changed = np.argwhere((boxed != plain).any(axis=2))
    assert tuple(boxed[(top + bottom) // 2, left - 4]) == bgr("neutrophil")
    assert changed[:, 1].min() >= left - 8
    assert changed[:, 0].max() <= bottom + 40
    assert not (boxed != plain)[top:bottom, left:right].any()


def test_names_of_neighbouring_cells_do_not_cover_cells(
    screen: FlaskClient, instrument: InstrumentDouble
) -> None:
    tile = analysed_tile()
    upper = tile.cells[0]
    x0, _, x1, y1 = upper.bbox_px
    lower = replace(upper, kind=CellKind.MONOCYTE, bbox_px=(x0, y1 + 30, x1, y1 + 190))
    instrument.show_tile(replace(tile, cells=()))
    plain = _picture(screen)
    instrument.show_tile(replace(tile, cells=(upper, lower)))
    boxed = _picture(screen)
    for cell in (upper, lower):
        left, top, right, bottom = (side // 2 for side in cell.bbox_px)
        assert not (boxed != plain)[top:bottom, left:right].any()


def test_resume_waits_for_the_lid(screen: FlaskClient, instrument: InstrumentDouble) -> None:
    instrument.become(state=State.PAUSED, start_conditions=(replace(LID, met=False), DISK))
    assert screen.get("/screen/status").get_json()["can"]["resume"] is False
    instrument.become(start_conditions=(LID, DISK))
    assert screen.get("/screen/status").get_json()["can"]["resume"] is True


def test_resume_is_not_offered_while_the_run_waits_for_the_records(
    screen: FlaskClient, instrument: InstrumentDouble
) -> None:
    instrument.become(state=State.PAUSED, error=RecordsError("RECORDS-WAITING").as_dict())
    view = screen.get("/screen/status").get_json()
    assert (view["can"]["resume"], view["can"]["abort"]) == (False, True)
    assert re.search(r'requests/resume"[^>]* disabled', page(screen, "/live"))
    instrument.become(error=None)
    assert screen.get("/screen/status").get_json()["can"]["resume"] is True


def _picture(screen: FlaskClient) -> NDArray[np.uint8]:
    data = screen.get("/screen/field.png").data
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)
