"""Where overlapping tiles lie: pairs, and all together, against places that are known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.analysis.registration.links import Link, StageAxes, TileLinker
from device.analysis.registration.pair import measure_shift
from device.analysis.registration.placement import place_tiles

SIDE_PX = 600
TILE = (120, 160)
STEP_UM = 50.0
PIXEL_UM = 0.66


@pytest.fixture(scope="module")
def canvas() -> np.ndarray:
    """Red cells as a microscope sees them, four times finer than the previews."""
    rng = np.random.default_rng(3)
    image = np.full((4 * SIDE_PX, 4 * SIDE_PX), 220, np.uint8)
    for x, y in rng.integers(0, 4 * SIDE_PX, (1200, 2)):
        cv2.circle(image, (int(x), int(y)), 22, 150, -1)
    return cv2.GaussianBlur(image, (0, 0), 4.0)


def view(canvas: np.ndarray, x_px: float, y_px: float, seed: int = 0) -> np.ndarray:
    """Return what a tile shows whose corner lies at a place of the previews' grid, with noise."""
    left, top = round(4 * x_px), round(4 * y_px)
    shown = canvas[top : top + 4 * TILE[0], left : left + 4 * TILE[1]]
    small = cv2.resize(shown, TILE[::-1], interpolation=cv2.INTER_AREA)
    noise = np.random.default_rng(seed).normal(0.0, 1.0, TILE)
    return np.clip(small + noise, 0, 255).round().astype(np.uint8)


@given(
    x_px=st.floats(-9.0, 9.0),
    y_px=st.floats(-9.0, 9.0),
    wide=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_a_shift_is_found_to_a_twentieth_of_a_pixel(
    canvas: np.ndarray, x_px: float, y_px: float, wide: bool
) -> None:
    """Across the long and the short side, on a grid of quarters that the canvas allows."""
    step = (0.0, 84.0) if wide else (124.0, 0.0)
    x_px, y_px = round(4 * x_px) / 4, round(4 * y_px) / 4
    fixed = view(canvas, 200.0, 200.0, 1)
    moving = view(canvas, 200.0 + step[0] + x_px, 200.0 + step[1] + y_px, 2)
    shift = measure_shift(fixed, moving, step, 9)
    assert shift is not None
    assert shift.correlation > 0.9
    assert np.hypot(shift.x_px - x_px, shift.y_px - y_px) < max(0.05, 4.0 * shift.sigma_px)


def test_a_shift_of_twice_the_search_is_found(canvas: np.ndarray) -> None:
    fixed, moving = view(canvas, 200.0, 200.0, 1), view(canvas, 200.0 + 124.0 - 14.0, 213.0, 2)
    shift = measure_shift(fixed, moving, (124.0, 0.0), 9)
    assert shift is not None
    assert (shift.x_px, shift.y_px) == pytest.approx((-14.0, 13.0), abs=0.1)


@pytest.mark.parametrize("what", ["nothing", "noise", "another place", "an edge"])
def test_what_shows_no_shift_gives_none(canvas: np.ndarray, what: str) -> None:
    rng = np.random.default_rng(5)
    blank = np.full(TILE, 220, np.uint8)
    edge = blank.copy()
    edge[:, 140:] = 150  # shows no place along the edge
    fixed, moving = {
        "nothing": (blank, blank),
        "noise": (
            rng.integers(200, 240, TILE).astype(np.uint8),
            rng.integers(200, 240, TILE).astype(np.uint8),
        ),
        "another place": (view(canvas, 50.0, 50.0), view(canvas, 400.0, 300.0)),
        "an edge": (edge, np.roll(edge, -124, axis=1)),
    }[what]
    assert measure_shift(fixed, moving, (124.0, 0.0), 9) is None


def a_scan(columns: int, rows: int, seed: int, error_um: float) -> tuple[np.ndarray, np.ndarray]:
    """Return true and reported centres of a scan in serpentines, um."""
    rng = np.random.default_rng(seed)
    true_um = np.array(
        [
            (STEP_UM * (c if r % 2 == 0 else columns - 1 - c), STEP_UM * r)
            for r in range(rows)
            for c in range(columns)
        ]
    )
    return true_um, true_um + rng.normal(0.0, error_um, true_um.shape)


def links_of(true_um: np.ndarray, seed: int, sigma_um: float = 0.02) -> list[Link]:
    """Return what measuring all neighbours gives."""
    rng = np.random.default_rng(seed)
    return [
        Link(i, j, *(true_um[j] - true_um[i] + rng.normal(0.0, sigma_um, 2)), sigma_um, 0.99)
        for j in range(len(true_um))
        for i in range(j)
        if np.abs(true_um[j] - true_um[i]).max() < 1.1 * STEP_UM
    ]


def off_um(centres_um: np.ndarray, true_um: np.ndarray) -> np.ndarray:
    apart_um = centres_um - true_um
    return np.hypot(*(apart_um - apart_um.mean(axis=0)).T)


@given(seed=st.integers(0, 1000), bad=st.integers(0, 12))
@settings(max_examples=25, deadline=None)
def test_bad_links_neither_move_a_tile_nor_stay_unnoticed(seed: int, bad: int) -> None:
    true_um, reported_um = a_scan(8, 7, seed, 2.0)
    links = links_of(true_um, seed)
    wrong = np.random.default_rng(seed).choice(len(links), bad, replace=False)
    for i in wrong:
        link = links[i]
        links[i] = Link(link.fixed, link.moving, link.x_um + 4.0, link.y_um - 3.0, 0.02, 0.85)
    placement = place_tiles(reported_um, links)
    assert off_um(placement.centres_um, true_um).max() < 0.1
    assert set(np.flatnonzero(placement.rejected)) >= set(wrong)
    assert placement.rejected.sum() <= bad + 3


@pytest.mark.parametrize("degrees", [0.0, 0.2, -1.0])
def test_a_turned_camera_is_seen_in_the_axes(degrees: float) -> None:
    true_um, reported_um = a_scan(12, 10, 1, 1.0)
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    placement = place_tiles(reported_um, links_of(true_um @ turn.T, 2))
    assert placement.summary()["camera_rotation_deg"] == pytest.approx(degrees, abs=0.1)
    assert off_um(placement.centres_um, true_um @ turn.T).max() < 0.1


def test_tiles_that_no_link_joins_lie_where_the_stage_says_and_in_groups_of_their_own() -> None:
    true_um, reported_um = a_scan(4, 4, 3, 0.3)
    links = [link for link in links_of(true_um, 4) if link.moving < 8]
    placement = place_tiles(reported_um, links)
    assert len(set(placement.groups[:8])) == 1
    assert len(set(placement.groups)) == 1 + 8
    assert np.hypot(*(placement.centres_um - reported_um).T)[8:].max() < 0.6
    assert placement.summary()["groups"] == 9


def test_without_tiles_there_is_nothing_to_place() -> None:
    assert place_tiles(np.empty((0, 2)), []).summary()["tiles"] == 0


def test_without_links_the_stage_decides() -> None:
    _, reported_um = a_scan(3, 2, 5, 1.0)
    assert place_tiles(reported_um, []).centres_um == pytest.approx(reported_um)


def test_the_axes_need_evidence_to_leave_the_straight_camera() -> None:
    axes = StageAxes()
    assert axes.seen_um(np.array([10.0, 0.0])) == pytest.approx([10.0, 0.0])
    axes.learn(np.array([50.0, 0.0]), np.array([50.0, 1.0]))
    assert 0.0 < axes.seen_um(np.array([50.0, 0.0]))[1] < 0.5
    for _ in range(500):
        axes.learn(np.array([50.0, 0.0]), np.array([50.0, 1.0]))
    assert axes.seen_um(np.array([50.0, 0.0]))[1] == pytest.approx(1.0, abs=0.1)


def test_a_linker_finds_neighbours_however_many_tiles_came_before(canvas: np.ndarray) -> None:
    linker = TileLinker(PIXEL_UM)
    preview = view(canvas, 100.0, 100.0)
    assert linker.add(preview, 0.0, 0.0) == ((), ())
    for i in range(1, 600):
        linker.add(preview, 1000.0 * i, 0.0)
    neighbours, links = linker.add(preview, 10.0, 0.0)
    assert neighbours == (0,)
    assert links == ()  # its picture is forgotten


def test_a_linker_learns_how_the_camera_is_turned(canvas: np.ndarray) -> None:
    linker = TileLinker(PIXEL_UM)
    step_px, turned_px = 110.0, 2.0
    for i in range(4):
        place_px = (20.0 + step_px * i, 200.0 + turned_px * i)
        _, links = linker.add(view(canvas, *place_px, i), step_px * PIXEL_UM * i, 0.0)
        assert len(links) == min(i, 1)
    seen_um = linker.axes.seen_um(np.array([step_px * PIXEL_UM, 0.0]))
    assert 0.4 * turned_px * PIXEL_UM < seen_um[1] < turned_px * PIXEL_UM


def test_links_tell_the_step_between_the_centres_of_tiles(canvas: np.ndarray) -> None:
    fixed, moving = view(canvas, 200.0, 200.0, 1), view(canvas, 325.5, 197.25, 2)
    linker = TileLinker(PIXEL_UM)
    linker.add(fixed, 1000.0, 2000.0)
    neighbours, (link,) = linker.add(moving, 1000.0 + 124 * PIXEL_UM, 2000.0)
    shift = measure_shift(fixed, moving, (124.0, 0.0), 9)
    assert shift is not None
    assert (neighbours, link.fixed, link.moving) == ((0,), 0, 1)
    assert link.step_um == pytest.approx((125.5 * PIXEL_UM, -2.75 * PIXEL_UM), abs=0.05)
    assert link.sigma_um == pytest.approx(shift.sigma_px * PIXEL_UM, rel=0.05)
    assert link.correlation == pytest.approx(shift.correlation, abs=0.01)
