"""What a run can be downloaded as."""

from __future__ import annotations

import csv
from io import StringIO

import pytest
from flask.testing import FlaskClient
from instrument_double import FIVE_NAMES, HEALTHY

from webui.exports import EXPORTS


@pytest.mark.parametrize("address", ["result.csv", "result?format=csv"])
def test_result_table_has_one_row_per_class(screen: FlaskClient, run_id: int, address: str) -> None:
    response = screen.get(f"/api/v1/runs/{run_id}/{address}")
    assert response.mimetype == "text/csv"
    rows = {row["class"]: row for row in csv.DictReader(StringIO(response.text))}
    assert list(rows) == [*FIVE_NAMES, "dead", "other", "unidentified"]
    assert rows["lymphocyte"]["n"] == "58"
    assert float(rows["lymphocyte"]["interval_low_percent"]) == pytest.approx(22.8, abs=0.06)
    assert rows["dead"]["percent"] == ""
    assert {row["software"] for row in rows.values()} == {"0.1.0"}


@pytest.mark.parametrize("address", ["cells.csv", "cells?format=csv"])
def test_cells_table_holds_every_cell(screen: FlaskClient, run_id: int, address: str) -> None:
    response = screen.get(f"/api/v1/runs/{run_id}/{address}")
    rows = list(csv.DictReader(StringIO(response.text)))
    assert len(rows) == sum(HEALTHY.values()) + 3
    assert sum(row["identified"] == "0" for row in rows) == 3
    assert {row["software"] for row in rows} == {"0.1.0"}
    assert {"area_um2", "nucleus_area_um2", "x_um", "probability_dead"} <= set(rows[0])


@pytest.mark.parametrize("name", EXPORTS)
def test_every_export_says_what_it_may_be_used_for(
    screen: FlaskClient, run_id: int, name: str
) -> None:
    lines = screen.get(f"/api/v1/runs/{run_id}/{name}").text.splitlines()
    assert lines[0].endswith(",intended_use")
    assert all(line.endswith(",research use only") for line in lines[1:])


@pytest.mark.parametrize("name", EXPORTS)
def test_the_page_of_a_run_links_every_export_which_names_its_file(
    screen: FlaskClient, run_id: int, name: str
) -> None:
    address = f"/api/v1/runs/{run_id}/{name}"
    assert f'href="{address}" download' in screen.get(f"/runs/{run_id}/details").text
    saved_as = screen.get(address).headers["Content-Disposition"]
    assert saved_as == f'attachment; filename="leukolux-run-{run_id}-{name}"'
