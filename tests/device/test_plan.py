"""The plan covers the area, with overlaps that show every cell whole."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.acquisition.plan import LARGEST_CELL_UM, choose_anchors, make_plan
from device.settings.sections import ScanConfig
from hal.config import CameraConfig
from hal.errors import SettingsError

areas = st.builds(
    ScanConfig,
    left_um=st.floats(0.0, 50_000.0),
    top_um=st.floats(0.0, 50_000.0),
    width_um=st.floats(100.0, 3_000.0),
    height_um=st.floats(100.0, 3_000.0),
    overlap_um=st.floats(20.5, 60.0),
    max_tiles=st.just(100_000),
)
cameras = st.builds(CameraConfig, width_px=st.integers(600, 1400), height_px=st.integers(450, 1100))


@given(areas, cameras)
def test_the_tiles_cover_the_area(scan: ScanConfig, camera: CameraConfig) -> None:
    plan = make_plan(scan, camera)
    xs = sorted({field.x_um for field in plan.fields})
    ys = sorted({field.y_um for field in plan.fields})
    assert len(plan.fields) == len(xs) * len(ys)
    for places, low_um, size_um, tile_um, step_um in (
        (xs, scan.left_um, scan.width_um, plan.tile_width_um, plan.step_x_um),
        (ys, scan.top_um, scan.height_um, plan.tile_height_um, plan.step_y_um),
    ):
        assert places[0] - tile_um / 2 <= low_um + 1e-6
        assert places[-1] + tile_um / 2 >= low_um + size_um - 1e-6
        for one, other in itertools.pairwise(places):
            assert other - one == pytest.approx(step_um, abs=1e-6)
            assert other - one <= tile_um - scan.overlap_um + 1e-6


@given(areas, cameras, st.data())
def test_a_cell_anywhere_is_whole_in_some_tile(
    scan: ScanConfig, camera: CameraConfig, data: st.DataObject
) -> None:
    plan = make_plan(scan, camera)
    radius_um = LARGEST_CELL_UM / 2
    x_um = scan.left_um + data.draw(st.floats(radius_um, scan.width_um - radius_um))
    y_um = scan.top_um + data.draw(st.floats(radius_um, scan.height_um - radius_um))
    assert any(
        abs(field.x_um - x_um) <= plan.tile_width_um / 2 - radius_um + 1e-6
        and abs(field.y_um - y_um) <= plan.tile_height_um / 2 - radius_um + 1e-6
        for field in plan.fields
    )


@given(areas, cameras)
def test_the_way_is_a_serpentine_of_single_steps(scan: ScanConfig, camera: CameraConfig) -> None:
    fields = make_plan(scan, camera).fields
    for one, other in itertools.pairwise(fields):
        assert abs(one.row - other.row) + abs(one.column - other.column) == 1


@given(areas, cameras, st.integers(5, 16))
def test_anchors_are_distinct_fields_of_the_plan_from_the_centre_outwards(
    scan: ScanConfig, camera: CameraConfig, count: int
) -> None:
    plan = make_plan(scan, camera)
    anchors = choose_anchors(plan, count)
    assert len(set(anchors)) == len(anchors) <= count
    if len(plan.fields) >= 400:
        assert len(anchors) == count
    assert set(anchors) <= set(plan.fields)
    xs, ys = [f.x_um for f in plan.fields], [f.y_um for f in plan.fields]
    centre = ((min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2)
    distances = [math.dist(centre, (anchor.x_um, anchor.y_um)) for anchor in anchors]
    assert distances == pytest.approx(sorted(distances), abs=1e-3)


def test_the_default_area_gets_nine_anchors_over_its_whole_extent() -> None:
    scan = ScanConfig()
    anchors = choose_anchors(make_plan(scan, CameraConfig()), scan.focus_anchors)
    assert len(anchors) == 9
    assert max(a.x_um for a in anchors) - min(a.x_um for a in anchors) > 0.85 * scan.width_um
    assert max(a.y_um for a in anchors) - min(a.y_um for a in anchors) > 0.85 * scan.height_um


def test_five_anchors_are_the_centre_and_the_corners_of_the_grid() -> None:
    anchors = choose_anchors(make_plan(ScanConfig(), CameraConfig()), 5)
    xs, ys = sorted({a.x_um for a in anchors}), sorted({a.y_um for a in anchors})
    assert (len(anchors), len(xs), len(ys)) == (5, 3, 3)
    assert (anchors[0].x_um, anchors[0].y_um) == (xs[1], ys[1])


@pytest.mark.parametrize("overlap_um", [0.0, 20.0, 150.0])
def test_an_overlap_that_would_cut_cells_or_leave_no_step_is_refused(overlap_um: float) -> None:
    camera = CameraConfig(width_px=900, height_px=800)
    with pytest.raises(SettingsError, match=r"scan\.overlap_um"):
        make_plan(ScanConfig(overlap_um=overlap_um), camera)


def test_a_plan_is_cut_to_the_longest_scan() -> None:
    assert len(make_plan(ScanConfig(max_tiles=7), CameraConfig()).fields) == 7
