"""Pictures of tiles: whole or not there, within their space, and never in the way of a count."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path
from threading import Event as Signal
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from small_instrument import SmallInstrument, small_instrument
from test_records import open_records

from device.analysis.flatfield import Background
from device.analysis.quality import TileQuality
from device.analysis.tile import Tile
from device.analysis.tile_analyzer import TileAnalysis
from device.engine.run.tile_picture_writer import TilePictureWriter
from device.engine.state.states import State
from device.errors import RecordsError
from device.records import tile_pictures
from device.records.tile_pictures import TilePictures
from device.settings.sections import RecordsConfig
from hal.errors import LeukoluxError

PLENTY = RecordsConfig(min_free_mb=1.0)
PIXEL_UM = 0.165
BACKGROUND = Background(np.full((96, 128), 3000.0, np.float32), 4095)


def a_picture(seed: int = 1) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    image = np.full((96, 128), 220, np.uint8)
    for x, y in rng.integers(0, 96, (12, 2)):
        cv2.circle(image, (int(x), int(y)), 9, 150, -1)
    return image


def decoded(data: bytes | None) -> NDArray[np.uint8]:
    assert data is not None
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return np.asarray(image, np.uint8)


def a_tile(sequence: int) -> Tile:
    pixels = (a_picture(sequence) * (3000 / 220)).astype(np.uint16)
    return Tile(sequence, 0, sequence, 0.0, 0.0, 0.0, pixels, 4095, PIXEL_UM, 50.0)


def an_analysis(sequence: int) -> TileAnalysis:
    quality = TileQuality(1.0, 0.3, 0.0, usable=True, reason=None)
    return TileAnalysis(sequence, quality, (), 0, 0, 1.0, np.zeros((24, 32), np.uint8))


def test_pictures_are_kept_at_the_pixel_size_of_the_networks(tmp_path: Path) -> None:
    pictures = TilePictures(tmp_path)
    writer = TilePictureWriter(1, pictures, PLENTY, BACKGROUND, 2 * PIXEL_UM, Notes())
    writer.offer(a_tile(0), an_analysis(0))
    writer.close(lambda: None)
    kept = decoded(pictures.read(1, 0))
    assert kept.shape == (48, 64)
    half = cv2.resize(a_picture(0), (64, 48), interpolation=cv2.INTER_AREA)
    assert np.abs(kept.astype(int) - half).mean() < 5


class Notes:
    def __init__(self) -> None:
        self.seen: list[tuple[str, Mapping[str, Any]]] = []

    def __call__(self, kind: str, data: Mapping[str, Any]) -> None:
        self.seen.append((kind, data))


def keep(pictures: TilePictures, config: RecordsConfig, tiles: int = 3) -> Notes:
    notes = Notes()
    writer = TilePictureWriter(1, pictures, config, BACKGROUND, PIXEL_UM, notes)
    for sequence in range(tiles):
        writer.offer(a_tile(sequence), an_analysis(sequence))
    writer.close(lambda: None)
    return notes


def test_a_picture_comes_back_as_it_looked(tmp_path: Path) -> None:
    pictures = TilePictures(tmp_path / "tiles")
    image = a_picture()
    taken_bytes = pictures.save(3, 7, image)
    data = pictures.read(3, 7)
    assert data is not None
    small = pictures.read_small(3, 7)
    assert small is not None
    assert len(data) + len(small) == taken_bytes
    assert np.abs(decoded(data).astype(int) - image).mean() < 2.0
    assert pictures.kept(3) == {7}


def test_a_picture_that_was_not_kept_is_none(tmp_path: Path) -> None:
    pictures = TilePictures(tmp_path / "tiles")
    assert pictures.read(1, 0) is None
    assert pictures.kept(1) == frozenset()


def test_a_picture_that_cannot_be_finished_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    pictures = TilePictures(tmp_path / "tiles")
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(RecordsError) as caught:
        pictures.save(1, 0, a_picture())
    assert "space" in caught.value.remedy
    assert list((tmp_path / "tiles" / "1").iterdir()) == []
    assert pictures.kept(1) == frozenset()


def test_a_picture_half_written_by_a_killed_process_is_not_kept(tmp_path: Path) -> None:
    pictures = TilePictures(tmp_path / "tiles")
    pictures.save(1, 0, a_picture())
    (tmp_path / "tiles" / "1" / "000001.part").write_bytes(b"\xff\xd8")
    assert pictures.kept(1) == {0}
    assert pictures.read(1, 1) is None


@pytest.mark.parametrize("left", [b"", bytes(4096), b"\xff\xd8\xff\xe0"])
def test_a_picture_that_a_power_cut_emptied_is_not_kept(tmp_path: Path, left: bytes) -> None:
    pictures = TilePictures(tmp_path / "tiles")
    pictures.save(1, 0, a_picture())
    (tmp_path / "tiles" / "1" / "000000.jpg").write_bytes(left)
    assert pictures.read(1, 0) is None


def test_the_oldest_runs_make_room_and_the_present_one_stays(tmp_path: Path) -> None:
    pictures = TilePictures(tmp_path / "tiles")
    size = (
        sum(
            pictures.save(run, 0, np.random.default_rng(9).integers(0, 255, (800, 1200), np.uint8))
            for run in (9, 10, 11)
        )
        // 3
    )
    room_for_two = RecordsConfig(min_free_mb=1.0, tiles_max_mb=2.5 * size / 1e6)
    assert pictures.make_room(room_for_two, spare=9)
    assert [len(pictures.kept(run)) for run in (9, 10, 11)] == [1, 0, 1]
    assert pictures.make_room(PLENTY)
    assert [len(pictures.kept(run)) for run in (9, 10, 11)] == [1, 0, 1]


def test_there_is_no_room_when_only_the_present_run_is_left(tmp_path: Path) -> None:
    pictures = TilePictures(tmp_path / "tiles")
    for run_id in (1, 2):
        pictures.save(run_id, 0, a_picture())
    assert not pictures.make_room(RecordsConfig(min_free_mb=1e6), spare=2)
    assert pictures.kept(1) == frozenset()
    assert pictures.kept(2) == {0}


def test_pictures_leave_more_space_than_the_next_run_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 350e6

    pictures = TilePictures(tmp_path / "tiles")
    pictures.save(1, 0, a_picture())
    monkeypatch.setattr(tile_pictures.shutil, "disk_usage", lambda path: Usage)
    assert not pictures.make_room(RecordsConfig(min_free_mb=200.0))
    assert pictures.make_room(RecordsConfig(min_free_mb=175.0))


def test_a_new_run_does_not_inherit_the_pictures_of_another_database(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    records.tile_pictures.save(1, 0, a_picture())
    assert records.begin_run("S-1", {}, {}) == 2
    assert records.tile_pictures.kept(2) == frozenset()
    assert records.tile_pictures.kept(1) == {0}
    records.close()


def test_tiles_are_kept_normalised(tmp_path: Path) -> None:
    pictures = TilePictures(tmp_path / "tiles")
    assert keep(pictures, PLENTY).seen == []
    assert pictures.kept(1) == {0, 1, 2}
    difference = decoded(pictures.read(1, 2)).astype(int) - a_picture(2)
    assert np.abs(difference).mean() < 3.0


@pytest.mark.parametrize(
    ("which", "kept"), [("all", {0, 1}), ("with_cells", set()), ("none", set())]
)
def test_the_settings_say_which_tiles_are_kept(tmp_path: Path, which: str, kept: set[int]) -> None:
    pictures = TilePictures(tmp_path / "tiles")
    config = RecordsConfig(min_free_mb=1.0, keep_tiles=which)  # type: ignore[arg-type]
    assert keep(pictures, config, tiles=2).seen == []
    assert pictures.kept(1) == kept


def test_without_room_the_run_is_told_how_many_tiles_are_missing(tmp_path: Path) -> None:
    ((kind, data),) = keep(TilePictures(tmp_path / "tiles"), RecordsConfig(min_free_mb=1e6)).seen
    assert (kind, data["tiles"], data["code"]) == ("tiles_not_kept", 3, "TILES-NO-ROOM")
    assert "space" in data["remedy"]


def test_a_disk_that_does_not_keep_up_costs_pictures_and_no_time(tmp_path: Path) -> None:
    gate = Signal()

    class Slow(TilePictures):
        def save(self, run_id: int, sequence: int, image: NDArray[np.uint8]) -> int:
            assert gate.wait(30.0)
            return super().save(run_id, sequence, image)

    pictures, notes = Slow(tmp_path / "tiles"), Notes()
    writer = TilePictureWriter(1, pictures, PLENTY, BACKGROUND, PIXEL_UM, notes)
    for sequence in range(20):
        writer.offer(a_tile(sequence), an_analysis(sequence))
    gate.set()
    writer.close(lambda: None)
    ((_, data),) = notes.seen
    assert data["code"] == "TILES-BUSY"
    assert len(pictures.kept(1)) == 20 - data["tiles"] >= 6


def test_a_bug_costs_the_pictures_and_is_reported_as_one(tmp_path: Path) -> None:
    class Buggy(TilePictures):
        def save(self, run_id: int, sequence: int, image: NDArray[np.uint8]) -> int:
            raise ValueError("a bug")

    ((_, data),) = keep(Buggy(tmp_path), PLENTY).seen
    assert (data["tiles"], data["code"]) == (3, "TILES-INTERNAL")
    assert "ValueError: a bug" in data["cause"]


def test_an_event_that_cannot_be_stored_either_ends_nothing(tmp_path: Path) -> None:
    def refuse(kind: str, data: Mapping[str, Any]) -> None:
        raise LeukoluxError("TILES-BUSY")

    config = RecordsConfig(min_free_mb=1e6)
    writer = TilePictureWriter(1, TilePictures(tmp_path), config, BACKGROUND, PIXEL_UM, refuse)
    writer.offer(a_tile(0), an_analysis(0))
    writer.close(lambda: None)
    writer.close(lambda: None)


def test_a_run_keeps_its_tiles_and_they_show_its_cells(tmp_path: Path) -> None:
    with small_instrument(tmp_path) as rig:
        run_id = rig.start()
        rig.wait_for(State.COMPLETE)
        with rig.records.reader() as reader:
            tiles = list(reader.every_tile(run_id))
            counted = reader.counted_cells(run_id)
            first = reader.tile(run_id, 0)
            assert first == tiles[0]
            assert reader.tile(run_id, len(tiles)) is None
            x_um, y_um = first.centre_um
            (cell,) = reader.cells_within(run_id, x_um - 1, y_um - 1, x_um + 1, y_um + 1)
        assert cell.tile_sequence == 0
        assert counted == dict.fromkeys(range(len(tiles)), 1)
        assert rig.records.tile_pictures.kept(run_id) == {tile.sequence for tile in tiles}
        picture = decoded(rig.records.tile_pictures.read(run_id, 3))
        assert picture.shape == (192, 256)
        assert 200 < np.median(picture) < 235  # mostly blank glass


def test_a_disk_too_full_for_pictures_costs_no_count(tmp_path: Path) -> None:
    with small_instrument(tmp_path) as rig:
        _let_tiles_fail(rig)
        run_id = rig.start()
        assert rig.wait_for(State.COMPLETE, State.FAULT).state == State.COMPLETE
        result = rig.result(run_id)
        assert result["classified"] == result["tiles"]["analysed"] >= 20
        with rig.records.reader() as reader:
            (note,) = [e.data for e in reader.events(run_id) if e.kind == "tiles_not_kept"]
        assert note["tiles"] == result["tiles"]["analysed"]
        assert note["code"] == "RECORDS-FAILED"


def _let_tiles_fail(rig: SmallInstrument) -> None:
    """Put a file where the folder of the pictures would be: no picture can be written."""
    rig.idle()
    (rig.records.path.parent / "tiles").write_text("", encoding="utf-8")
