"""Sweeps: the right knob is turned, and what is reported is what was measured."""

import json
import sys

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from swept_points import NOTHING, point

from device.laboratory import sweeps
from device.laboratory.donors import unseen_donors
from device.laboratory.pictures import sweep_chart, write_picture
from device.laboratory.scores import Evaluation
from device.laboratory.sweeps import COLUMNS, SWEEPS, points, table, text
from device.laboratory.virtual_scan import ORDINARY, virtual_tiles
from hal.factory import virtual_microscope
from webui.cli.main import cli


@pytest.fixture(scope="module")
def microscope():
    return virtual_microscope("healthy:3000")


def test_defocus_reaches_every_tile_and_stage_errors_stay(microscope):
    swept = SWEEPS["defocus"]
    places = []
    for value in (-2.0, 0.0, 1.5):
        same, conditions = swept.setting(microscope, value)
        assert same is microscope
        tile, true_um = next(virtual_tiles(microscope, 1, 7, conditions))
        assert tile.z_um - microscope.smear.focus_z_um(*true_um) == pytest.approx(value)
        places.append(true_um)
    assert len(set(places)) == 1


def test_less_light_gives_fewer_counts(microscope):
    _, conditions = SWEEPS["noise"].setting(microscope, 6.0)
    dim, _ = next(virtual_tiles(microscope, 1, 7, conditions))
    bright, _ = next(virtual_tiles(microscope, 1, 7, ORDINARY))
    assert dim.exposure_ms == 6.0
    assert dim.pixels.mean() / bright.pixels.mean() == pytest.approx(6 / 50, abs=0.03)


@pytest.mark.parametrize("wanted", SWEEPS["density"].values)
def test_density_sweep_looks_where_the_blood_is_that_dense(microscope, wanted):
    _, conditions = SWEEPS["density"].setting(microscope, wanted)
    smear = microscope.smear
    assert smear.density_factor(conditions.x_um, 44_000.0) * smear.donor.rbc_per_mm2 == (
        pytest.approx(wanted, rel=0.01)
    )


def test_overlap_sweep_draws_the_same_donor_with_kinds_alike(microscope):
    other, conditions = SWEEPS["overlap"].setting(microscope, 0.4)
    assert conditions == ORDINARY
    assert other.smear.donor.class_overlap == 0.4
    assert other.smear.donor.name == microscope.smear.donor.name
    assert other.smear.white_cell_enrichment == microscope.smear.white_cell_enrichment


@pytest.mark.parametrize("name", SWEEPS)
def test_every_sweep_begins_or_passes_through_ordinary_conditions(name):
    ordinary = {"defocus": 0.0, "noise": 50.0, "density": 6500.0, "overlap": 0.0}
    assert ordinary[name] in SWEEPS[name].values


def test_what_could_not_be_measured_is_a_dash_not_a_number():
    lines = table("defocus, um", [point(0.0), NOTHING], list(COLUMNS))
    assert lines[1][:2] == ["0", "90.0"]
    assert lines[2][1] == "-"
    assert "0.9700" in lines[1]
    assert "100.0" in lines[2]
    assert text("defocus, um", [point(0.0), NOTHING]).count("\n") == 2


def test_points_of_no_tiles_are_json_without_numbers():
    found = points({1.0: Evaluation(())})
    assert found[0]["red_cells_per_mm2"] is None
    json.dumps(found, allow_nan=False)


def curves(figure):
    return {line.get_label(): line.get_ydata() for axes in figure.axes for line in axes.lines}


def test_chart_shows_each_curve_and_leaves_gaps():
    drawn = curves(sweep_chart("defocus, um", [point(0.0), NOTHING]))
    assert len(drawn) == 10
    assert np.array_equal(drawn["found"], [90.0, np.nan], equal_nan=True)
    assert np.array_equal(drawn["Dice cell x 100"], [97.0, np.nan], equal_nan=True)
    assert np.array_equal(drawn["tiles refused"], [0.0, 100.0])


def test_the_same_chart_is_the_same_file(tmp_path):
    paths = [tmp_path / "one.png", tmp_path / "two.png"]
    for path in paths:
        write_picture(path, sweep_chart("overlap", [point(0.0), point(1.0)]))
    assert cv2.imread(str(paths[0])).std() > 1
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_missing_drawing_library_is_told_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.delitem(sys.modules, "device.laboratory.pictures")
    result = CliRunner().invoke(
        cli, ["lab", "sweep", "noise", "--picture", str(tmp_path / "a.png")]
    )
    assert (result.exit_code, result.stdout) == (2, "")
    assert "LAB-EXTRA-MISSING" in result.output
    assert "leukolux[lab]" in result.output


@pytest.mark.slow
def test_sweep_command_measures_draws_and_writes(tmp_path, monkeypatch):
    short = sweeps.Sweep("defocus, um", (0.0, 6.0), SWEEPS["defocus"].setting)
    monkeypatch.setitem(sweeps.SWEEPS, "defocus", short)
    paths = tmp_path / "new" / "defocus.json", tmp_path / "new" / "defocus.png"
    options = ["--donors", "1", "--tiles", "2", "--json", str(paths[0]), "--picture", str(paths[1])]
    result = CliRunner().invoke(cli, ["lab", "sweep", "defocus", *options], catch_exceptions=False)
    assert result.exit_code == 0
    document = json.loads(paths[0].read_text())
    sharp, blurred = document["points"]
    assert document["sweep"] == "defocus"
    assert sharp["found"]["n"] > 3
    assert blurred["tiles_refused"] > sharp["tiles_refused"] or (
        blurred["found"]["percent"] < sharp["found"]["percent"]
    )
    assert cv2.imread(str(paths[1])) is not None
    assert unseen_donors(1)[0] in result.stderr
