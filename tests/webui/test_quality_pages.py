"""The pages of checks and control slides."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from flask.testing import FlaskClient
from instrument_double import InstrumentDouble, store_run
from quality_double import CAUSE, TARGETS, check_report, store_check, store_lot
from test_pages import page, words

from device.checks.catalogue import CATALOGUE
from device.checks.report import CheckProgress, Level
from device.engine.state.states import State
from device.records.record_types import PointRecord
from device.records.records import Records
from device.settings.file import Settings
from device.status import StartCondition
from webui.views.levey_jennings import chart

PLANNED = tuple((check.id, check.title) for check in CATALOGUE)
REMARK = StartCondition("daily_check", False, "The daily check has never been done: do it.")


def test_past_checks_are_listed_with_operator_and_verdict_in_words(
    screen: FlaskClient, records: Records
) -> None:
    store_check(records, "AB", "CHECK-BLANK-LEVEL")
    store_check(records, "CD")
    shown = words(page(screen, "/checks"))
    assert re.search(r"CD Passed.*AB Failed", shown)


def test_history_goes_back_page_by_page(screen: FlaskClient, records: Records) -> None:
    for number in range(6):
        store_check(records, f"nurse-{number}")
    assert 'href="/checks?before=3"' in page(screen, "/checks")
    assert "nurse-0" in page(screen, "/checks?before=3")


def test_a_check_shows_the_failure_first_with_cause_and_remedy(
    screen: FlaskClient, records: Records
) -> None:
    check_id = store_check(records, failing="CHECK-BLANK-LEVEL")
    shown = words(page(screen, f"/checks/{check_id}"))
    assert shown.index("Brightness of the LED") < shown.index("Light supervisor")
    assert CAUSE in shown
    assert "have the LED replaced" in shown
    assert "CHECK-BLANK-LEVEL" in shown
    assert "at least 50 % of new" in shown


def test_a_check_in_progress_is_followed_row_by_row(
    screen: FlaskClient, instrument: InstrumentDouble
) -> None:
    done = check_report().results[:2]
    progress = CheckProgress(Level.DAILY, "AB", PLANNED, done, PLANNED[2][0])
    instrument.become(state=State.CHECKING, checking=progress)
    html = page(screen, "/checks")
    assert re.search(r'data-text="check.rows.CHECK-LIGHT-LINE">Passed', html)
    assert re.search(r'data-text="check.rows.CHECK-PANEL">Running', html)
    assert re.search(r'data-text="check.rows.CHECK-FOCUS">Waiting', html)
    assert screen.get("/").headers["Location"] == "/checks"
    view = screen.get("/screen/status").get_json()
    assert view["check"]["text"] == f"2 of {len(CATALOGUE)}"
    assert view["can"]["abort"]
    assert not view["can"]["start"]


def test_home_tells_what_does_not_hold_and_still_starts(
    screen: FlaskClient, instrument: InstrumentDouble
) -> None:
    instrument.become(remarks=(REMARK,))
    html = page(screen, "/")
    assert REMARK.explanation in html
    assert re.search(r'id="start">', html)


def test_home_offers_the_control_slides_in_use(
    screen: FlaskClient, records: Records, settings: Settings
) -> None:
    assert 'id="control-lot"' not in page(screen, "/")
    store_lot(records, settings, 1)
    assert "Control slide Q7 (normal)" in page(screen, "/")


def test_a_control_run_is_told_from_a_persons_result(
    screen: FlaskClient, records: Records, settings: Settings
) -> None:
    lot_id = records.quality.add_lot("Q7", "normal", None)
    run_id = records.begin_run("C-1", settings.model_dump(mode="json"), {}, lot_id)
    person = store_run(records, settings)
    notice = "Control slide: no result of a person"
    assert notice in page(screen, f"/runs/{run_id}")
    assert notice not in page(screen, f"/runs/{person}")
    assert page(screen, "/runs").count("Control slide ·") == 1


def test_the_chart_marks_and_names_what_is_out_of_the_rules(
    screen: FlaskClient, records: Records, settings: Settings
) -> None:
    lot_id = store_lot(records, settings, 14)
    html = page(screen, f"/controls/{lot_id}?analyte=neutrophil")
    svg = re.search(r'<svg class="levey-jennings".*?</svg>', html, re.DOTALL)
    assert svg is not None
    drawn = ElementTree.fromstring(svg.group())
    marks = list(drawn.iter("g"))
    assert len(marks) == 14
    assert [node.get("class") for node in marks].count("mark diamond") == 1
    assert marks[-1].find("path") is not None, "told by its shape, not by its colour alone"
    assert marks[-1].findtext("text", "").startswith("1-2s, 1-3s")
    assert "Rejected" in words(html)
    assert "style=" not in svg.group()


@pytest.mark.parametrize("runs", [0, 1, 2])
def test_a_lot_without_targets_has_a_page_from_the_beginning(
    screen: FlaskClient, records: Records, settings: Settings, runs: int
) -> None:
    lot_id = records.quality.add_lot("Q9", "normal", None)
    for number in range(runs):
        run_id = store_run(records, settings, counts={}, unidentified=0)
        records.quality.add_point(lot_id, run_id, {"neutrophil": 60.0 + number}, "establishing", {})
    shown = words(page(screen, f"/controls/{lot_id}"))
    assert f"{runs} of 20 runs" in shown
    assert ("No targets yet" in shown) is (runs == 2)


def point(value: float) -> PointRecord:
    return PointRecord(1, 1, 1, "2026-05-04T07:30:00+00:00", {"neutrophil": value}, "", {}, ())


def test_the_chart_is_to_scale_and_keeps_far_values_on_its_edge() -> None:
    values = (60.0, 63.0, 57.0, 90.0)
    drawn = chart(TARGETS, [point(value) for value in values], "neutrophil")
    assert drawn is not None
    y = {line.z: line.y for line in drawn.lines}
    assert [mark.y for mark in drawn.marks[:3]] == pytest.approx([y[0], y[1], y[-1]])
    assert drawn.marks[3].beyond
    assert 0 < drawn.marks[3].y < y[3]
    assert [mark.x for mark in drawn.marks] == sorted(mark.x for mark in drawn.marks)


def test_the_chart_shows_the_newest_thirty_runs() -> None:
    drawn = chart(TARGETS, [point(60.0 + 0.01 * number) for number in range(45)], "neutrophil")
    assert drawn is not None
    assert [mark.value for mark in drawn.marks] == pytest.approx(
        [60.15 + 0.01 * number for number in range(30)]
    )


def test_no_chart_of_what_a_lot_does_not_follow() -> None:
    assert chart(TARGETS, [point(60.0)], "platelets") is None


@pytest.mark.parametrize("path", ["/checks", "/checks/1", "/controls", "/controls/1"])
def test_pages_hold_no_inline_script_or_style_and_escape_what_people_wrote(
    screen: FlaskClient, records: Records, settings: Settings, path: str
) -> None:
    store_check(records, "<script>alert(1)</script>")
    store_lot(records, settings, 2, name="<script>alert(2)</script>")
    records.quality.comment(2, "<b>", "<script>alert(3)</script>")
    html = page(screen, path)
    assert "<script>alert" not in html
    assert not re.search(r"<script(?![^>]* src=)|style=|<style|https?://", html)
