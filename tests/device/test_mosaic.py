"""The mosaic: what is drawn from the kept tiles is what lay under the camera."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from itertools import islice
from pathlib import Path
from threading import Event

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from test_records import a_tile, open_records

from device.analysis.staining import CellView, VirtualStain
from device.mosaic import staining
from device.mosaic.drawing import NOT_SEEN, PIECE_PX, draw_piece, piece_px
from device.mosaic.layout import MosaicLayout, TileGeometry
from device.mosaic.pictures import WAITING, Look, MosaicBusyError, MosaicPictures, Piece
from device.mosaic.staining import MosaicStainer
from device.records.records import Records
from models.errors import ModelError

Image = NDArray[np.uint8]

TILE = TileGeometry(pixel_um=0.165, height_px=240, width_px=320, overlap_px=40)
CANVAS = (1700, 2300)


def blood(seed: int = 1) -> Image:
    rng = np.random.default_rng(seed)
    image = np.full(CANVAS, 220, np.uint8)
    for x, y in rng.integers(0, (CANVAS[1], CANVAS[0]), (900, 2)):
        cv2.circle(image, (int(x), int(y)), 20, 150, -1)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 3.0), np.uint8)


def layout_of(corners_px: list[tuple[int, int]]) -> MosaicLayout:
    return MosaicLayout(
        TILE,
        0.0,
        0.0,
        CANVAS[1],
        CANVAS[0],
        np.arange(len(corners_px), dtype=np.int64),
        np.array(corners_px, dtype=np.int64).reshape(-1, 2),
    )


def grid(columns: int = 7, rows: int = 7) -> list[tuple[int, int]]:
    return [(30 + 277 * column, 21 + 197 * row) for row in range(rows) for column in range(columns)]


def cut(image: Image, corner_px: tuple[int, int]) -> Image:
    x, y = corner_px
    return image[y : y + TILE.height_px, x : x + TILE.width_px]


def seen_mask(corners_px: list[tuple[int, int]]) -> NDArray[np.bool_]:
    seen = np.zeros(CANVAS, np.bool_)
    for x, y in corners_px:
        seen[y : y + TILE.height_px, x : x + TILE.width_px] = True
    return seen


def test_pieces_show_what_the_tiles_were_cut_from() -> None:
    image, corners_px = blood(), grid()
    layout = layout_of(corners_px)
    expected = np.where(seen_mask(corners_px), image, NOT_SEEN)
    for row in range(4):
        for column in range(5):
            left, top, right, bottom = piece_px(layout, 1, column, row)
            piece = draw_piece(layout, 1, column, row, lambda i, step: cut(image, corners_px[i]))
            assert np.array_equal(piece, expected[top:bottom, left:right])


def test_tiles_of_different_brightness_meet_without_a_step() -> None:
    layout = layout_of([(0, 0), (280, 0)])
    levels = (100, 140)
    shape = (TILE.height_px, TILE.width_px)
    piece = draw_piece(layout, 1, 0, 0, lambda i, step: np.full(shape, levels[i], np.uint8))
    line = piece[100, :512].astype(int)
    assert (line[:280] == 100).all()
    assert (line[320:] == 140).all()
    assert np.diff(line).max() <= 2
    assert abs(int(line[299]) - 120) <= 1


def test_a_tile_without_a_picture_is_left_to_its_neighbours() -> None:
    layout = layout_of([(0, 0), (280, 0)])
    white = np.full((TILE.height_px, TILE.width_px), 200, np.uint8)
    piece = draw_piece(layout, 1, 0, 0, lambda i, step: white if i == 0 else None)
    assert (piece[: TILE.height_px, : TILE.width_px] == 200).all()
    assert (piece[:, TILE.width_px :] == NOT_SEEN).all()


def test_colours_are_blended_alike() -> None:
    layout = layout_of([(0, 0)])
    red = np.zeros((TILE.height_px, TILE.width_px, 3), np.uint8)
    red[..., 0] = 180
    piece = draw_piece(layout, 1, 0, 0, lambda i, step: red, channels=3)
    assert piece.shape == (PIECE_PX, PIECE_PX, 3)
    assert (piece[:200, :300] == (180, 0, 0)).all()


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return open_records(tmp_path)


def kept(records: Records, image: Image, corners_px: list[tuple[int, int]]) -> int:
    """Store a run whose tiles lie at these corners of its canvas."""
    scan = {"left_um": 20.0, "top_um": 20.0, "width_um": 339.3, "height_um": 240.3}
    camera = {"width_px": TILE.width_px, "height_px": TILE.height_px, "pixel_um": 0.165}
    run_id = records.begin_run("S-1", {"camera": camera, "scan": scan}, {})
    for sequence, corner_px in enumerate(corners_px):
        x_um, y_um = (
            (side + (size - 1) / 2) * 0.165
            for side, size in zip(corner_px, (TILE.width_px, TILE.height_px), strict=True)
        )
        tile = a_tile(sequence, x_um=x_um + 2.0, y_um=y_um - 1.0)
        records.add_tile(run_id, replace_place(tile, x_um, y_um))
        records.tile_pictures.save(run_id, sequence, cut(image, corner_px))
    return run_id


def replace_place(tile: object, x_um: float, y_um: float) -> object:
    return replace(tile, mosaic_x_um=x_um, mosaic_y_um=y_um)  # type: ignore[type-var]


def a_piece(
    mosaics: MosaicPictures, records: Records, run_id: int, step: int, column: int = 0, row: int = 0
) -> Piece:
    with records.reader() as reader:
        run = reader.run(run_id)
        assert run is not None
        layout = mosaics.layout(reader, run)
    kept = records.tile_pictures.kept(run_id)
    stained = records.tile_pictures.stained(run_id)
    return Piece(run_id, layout, Look.GRAY, step, column, row, kept, stained)


def decoded(data: bytes, flag: int = cv2.IMREAD_GRAYSCALE) -> Image:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), flag), np.uint8)


def pictures(records: Records) -> MosaicPictures:
    return MosaicPictures(records, VirtualStain(TwoTones))


class TwoTones:
    """Colours dark pixels violet and bright ones yellow."""

    def stain(self, image: Image, *, wide_field: bool = False) -> Image:
        assert wide_field
        dark = (image < 190)[:, :, None]
        return np.where(dark, (120, 60, 160), (240, 230, 200)).astype(np.uint8)


def test_the_canvas_is_the_scan_area_with_a_margin(records: Records) -> None:
    run_id = kept(records, blood(), grid(2, 2))
    with records.reader() as reader:
        run = reader.run(run_id)
        assert run is not None
        layout = MosaicLayout.of(run, reader.every_tile(run_id))
    assert (layout.left_um, layout.top_um) == (0.0, 0.0)
    assert (layout.width_px, layout.height_px) == (2300, 1700)
    assert layout.corners_px.tolist() == [list(corner) for corner in grid(2, 2)]
    assert layout.seen_px == (30, 21, 30 + 277 + 320, 21 + 197 + 240)
    assert layout.place_px(33.0, 16.5) == (200.0, 100.0)


def test_tiles_outside_the_scan_area_of_the_settings_lie_on_the_canvas(records: Records) -> None:
    run_id = kept(records, blood(), [(30, 21)])
    records.add_tile(run_id, replace_place(a_tile(1), -500.0, 900.0))
    with records.reader() as reader:
        run = reader.run(run_id)
        assert run is not None
        layout = MosaicLayout.of(run, reader.every_tile(run_id))
    assert layout.corners_px[1, 0] == 0
    assert 0 <= layout.height_px - TILE.height_px - layout.corners_px[1, 1] <= 1
    assert layout.corners_px.min() >= 0


@pytest.mark.parametrize("step", [1, 2, 4, 8, 16, 32])
def test_every_step_shows_the_same_blood(records: Records, step: int) -> None:
    image, corners_px = blood(), grid()
    run_id = kept(records, image, corners_px)
    mosaics = pictures(records)
    piece = decoded(mosaics.jpeg(a_piece(mosaics, records, run_id, step)))
    height, width = (-(-side // step) for side in CANVAS)
    padding = [(0, height * step - CANVAS[0]), (0, width * step - CANVAS[1])]
    blocks = np.pad(image, padding, mode="edge").reshape(height, step, width, step)
    expected = blocks.mean(axis=(1, 3))[:PIECE_PX, :PIECE_PX]
    assert piece.shape == expected.shape
    # Without what lies at the outer border of the tiles.
    inner = (slice(40 // step + 2, 1440 // step - 2), slice(40 // step + 2, 2000 // step - 2))
    difference = piece[inner] - expected[inner]
    # At coarse steps a tile of this test is 10 px wide, and drawn between pixels.
    assert np.abs(difference).mean() < (3.0 if step <= 8 else 8.0)
    assert abs(difference.mean()) < 1.0


def test_a_tile_that_comes_later_appears(records: Records) -> None:
    image, corners_px = blood(), grid(2, 1)
    run_id = kept(records, image, corners_px[:1])
    mosaics = pictures(records)
    place = (slice(40, 200), slice(380, 500))
    before = a_piece(mosaics, records, run_id, 1)
    assert (decoded(mosaics.jpeg(before))[place] < NOT_SEEN + 20).all()
    x_um, y_um = (307 + 159.5) * 0.165, (21 + 119.5) * 0.165
    records.add_tile(run_id, replace_place(a_tile(1), x_um, y_um))
    records.tile_pictures.save(run_id, 1, cut(image, corners_px[1]))
    after = a_piece(mosaics, records, run_id, 1)
    assert after.tag != before.tag
    assert (decoded(mosaics.jpeg(after))[place] > 100).all()


def test_what_was_drawn_is_named_after_all_that_it_shows(records: Records) -> None:
    run_id = kept(records, blood(), grid(2, 1))
    mosaics = pictures(records)
    piece = a_piece(mosaics, records, run_id, 1)
    assert piece.tag == a_piece(mosaics, records, run_id, 1).tag
    assert a_piece(mosaics, records, run_id, 1).layout is piece.layout
    others = (
        replace(piece, column=3),
        replace(piece, run_id=run_id + 1),
        replace(piece, look=Look.STAINED),
        replace(piece, stained=frozenset({1})),
        replace(piece, cells=(CellView(5.0, 5.0, b"", "dead"),)),
    )
    assert len({piece.tag, *(other.tag for other in others)}) == 6


class Neighbourly(TwoTones):
    """Colours a pixel by what lies up to 40 pixels around it, as a network does."""

    def stain(self, image: Image, *, wide_field: bool = False) -> Image:
        return np.repeat(cv2.blur(image, (81, 81))[:, :, None], 3, axis=2)


def test_the_stain_has_no_seams_between_pieces(records: Records) -> None:
    run_id = kept(records, blood(), grid())
    mosaics = MosaicPictures(records, VirtualStain(Neighbourly))
    left, right = (
        decoded(
            mosaics.jpeg(replace(a_piece(mosaics, records, run_id, 1, column), look=Look.STAINED))
        )
        for column in (0, 1)
    )
    # So blurred, neighbouring columns hardly differ, and a seam would.
    apart = np.abs(right[100:, 0].astype(int) - left[100:, -1])
    assert apart.max() <= 4
    assert np.ptp(left[100:, 100:].astype(int)) > 20


def test_what_no_tile_shows_is_not_stained(records: Records) -> None:
    run_id = kept(records, blood(), grid())
    mosaics = pictures(records)
    piece = replace(a_piece(mosaics, records, run_id, 1), look=Look.STAINED)
    shown = decoded(mosaics.jpeg(piece), cv2.IMREAD_COLOR).astype(int)
    assert (np.abs(shown[:10] - NOT_SEEN) < 20).all()
    assert np.ptp(shown[60:, 60:], axis=2).mean() > 20


def test_coarse_pieces_are_gray_until_their_tiles_have_been_stained(records: Records) -> None:
    run_id = kept(records, blood(), grid(2, 2))
    stain = VirtualStain(TwoTones)
    mosaics = MosaicPictures(records, stain)

    def coarse() -> Image:
        piece = replace(a_piece(mosaics, records, run_id, 16), look=Look.STAINED)
        return decoded(mosaics.jpeg(piece), cv2.IMREAD_COLOR)

    seen = (slice(4, 24), slice(4, 30))
    assert np.ptp(coarse()[seen].astype(int), axis=2).max() < 12
    MosaicStainer(records, stain).want(run_id, range(4))
    give_up_s = time.monotonic() + 60.0
    while records.tile_pictures.stained(run_id) != {0, 1, 2, 3}:
        assert time.monotonic() < give_up_s
        time.sleep(0.001)
    assert np.ptp(coarse()[seen].astype(int), axis=2).mean() > 20


def test_a_tile_that_cannot_be_stained_stays_gray_and_keeps_nobody_waiting(
    records: Records,
) -> None:
    run_id = kept(records, blood(), grid(2, 1))
    calls: list[int] = []

    class Failing(TwoTones):
        def stain(self, image: Image, *, wide_field: bool = False) -> Image:
            calls.append(1)
            if len(calls) == 1:
                raise ModelError("MODEL-STAINER-NOT-LISTED")
            return super().stain(image, wide_field=wide_field)

    MosaicStainer(records, VirtualStain(Failing)).want(run_id, [0, 1])
    give_up_s = time.monotonic() + 60.0
    while not records.tile_pictures.stained(run_id):
        assert time.monotonic() < give_up_s
        time.sleep(0.001)
    assert records.tile_pictures.stained(run_id) == {0}  # what was wanted last came first


def test_pieces_never_take_more_than_some_threads(records: Records) -> None:
    run_id = kept(records, blood(), grid(2, 1))
    let = Event()

    class Slow(TwoTones):
        def stain(self, image: Image, *, wide_field: bool = False) -> Image:
            assert let.wait(60.0)
            return super().stain(image, wide_field=wide_field)

    mosaics = MosaicPictures(records, VirtualStain(Slow))
    piece = replace(a_piece(mosaics, records, run_id, 1), look=Look.STAINED)
    with ThreadPoolExecutor(WAITING + 3) as asking:
        answers = [asking.submit(mosaics.jpeg, piece) for _ in range(WAITING + 3)]
        refused = list(islice(as_completed(answers, timeout=60.0), 3))
        let.set()
        assert {type(answer.exception()) for answer in refused} == {MosaicBusyError}
        assert all(answer.result() for answer in answers if answer not in refused)


def test_staining_ends_after_the_tile_that_is_being_stained(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = kept(records, blood(), grid(2, 2))
    entered, let = Event(), Event()

    class Slow(TwoTones):
        def stain(self, image: Image, *, wide_field: bool = False) -> Image:
            entered.set()
            assert let.wait(60.0)
            return super().stain(image, wide_field=wide_field)

    stainer = MosaicStainer(records, VirtualStain(Slow))
    stainer.want(run_id, range(4))
    assert entered.wait(60.0)
    with monkeypatch.context() as patch:
        patch.setattr(staining, "CLOSE_S", 0.0)
        stainer.close()
    let.set()
    stainer.close()
    assert records.tile_pictures.stained(run_id) == {3}
    stainer.want(run_id, range(4))
    stainer.close()
    assert records.tile_pictures.stained(run_id) == {3}
