import csv

import cv2
import numpy as np
import pytest

from hal.errors import InputError
from hal.sim.blood.donors import KINDS, make_donor
from hal.sim.blood.smear import MONOLAYER_X_UM, MONOLAYER_Y_UM, Smear
from hal.sim.contact_sheet import CELLS_PER_ROW, CROP_PX, contact_sheet
from hal.sim.dataset import serpentine, write_dataset

TILES = 2


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    out = tmp_path_factory.mktemp("scan") / "healthy"
    write_dataset("healthy:42", TILES, out)
    return out


def test_every_tile_has_its_image_and_truth(dataset):
    tiles = read_csv(dataset / "tiles.csv")
    assert [tile["file"] for tile in tiles] == [f"tiles/tile_{n:04d}.png" for n in range(TILES)]
    for tile in tiles:
        image = cv2.imread(str(dataset / tile["file"]), cv2.IMREAD_UNCHANGED)
        assert image.dtype == np.uint16
        assert image.shape == (1040, 1392)
        assert 1000 < image.mean() < image.max() <= 4095
        assert float(tile["exposure_ms"]) == 50.0
        assert float(tile["pixel_um"]) == 0.165
    background = cv2.imread(str(dataset / "background.png"), cv2.IMREAD_UNCHANGED)
    assert background.dtype == np.uint16
    assert 0.68 < background.mean() / 4095.0 < 0.76


def test_each_white_cell_is_listed_once_where_the_masks_show_it(dataset):
    cells = read_csv(dataset / "truth" / "cells.csv")
    tiles = read_csv(dataset / "tiles.csv")
    assert len({cell["id"] for cell in cells}) == len(cells) > 0
    assert {cell["kind"] for cell in cells} <= set(KINDS)
    shown = set()
    for tile in tiles:
        name = tile["file"].removeprefix("tiles/")
        labels = cv2.imread(str(dataset / "truth/labels" / name), cv2.IMREAD_UNCHANGED)
        instances = cv2.imread(str(dataset / "truth/instances" / name), cv2.IMREAD_UNCHANGED)
        assert labels.dtype == np.uint8
        assert instances.dtype == np.uint16
        np.testing.assert_array_equal(labels > 0, instances > 0)
        for number in np.unique(instances[instances > 0]).tolist():
            shown.add(number)
            cell = cells[number - 1]
            rows, columns = np.nonzero(instances == number)
            x_um = float(tile["x_um"]) + (columns.mean() - 695.5) * 0.165
            y_um = float(tile["y_um"]) + (rows.mean() - 519.5) * 0.165
            away_um = np.hypot(x_um - float(cell["x_um"]), y_um - float(cell["y_um"]))
            assert away_um < np.sqrt(float(cell["area_um2"]))
            assert float(cell["nucleus_area_um2"]) <= float(cell["area_um2"])
            assert cell["alive"] == str(int(cell["kind"] != "dead"))
    assert shown == set(range(1, len(cells) + 1))


@pytest.mark.parametrize("name", ["red_cells.csv", "platelets.csv"])
def test_red_cells_and_platelets_are_listed_once(dataset, name):
    points = [(row["x_um"], row["y_um"]) for row in read_csv(dataset / "truth" / name)]
    assert len(set(points)) == len(points)
    donor = make_donor("healthy:42")
    area_mm2 = TILES * 0.0394 * 0.8
    per_mm2 = donor.rbc_per_mm2 * (1.0 if name == "red_cells.csv" else donor.platelet_per_rbc)
    assert len(points) / area_mm2 == pytest.approx(per_mm2, rel=0.5)


def test_tiles_overlap_and_run_there_and_back():
    smear = Smear(make_donor("healthy:42"))
    places = serpentine(smear, 24, 229.68, 171.6)
    rows = sorted({place.y_um for place in places})
    assert len(places) == len({(place.x_um, place.y_um) for place in places}) == 24
    assert rows[1] - rows[0] == pytest.approx(171.6 - 25.0, abs=0.01)
    first = [place.x_um for place in places if place.y_um == rows[0]]
    second = [place.x_um for place in places if place.y_um == rows[1]]
    assert first == sorted(first)
    assert second == sorted(second, reverse=True)
    assert first[1] - first[0] == pytest.approx(229.68 - 25.0, abs=0.01)
    for place in places:
        assert abs(place.z_um - smear.focus_z_um(place.x_um, place.y_um)) < 1.2
        assert MONOLAYER_X_UM[0] < place.x_um < MONOLAYER_X_UM[1]
        assert MONOLAYER_Y_UM[0] < place.y_um < MONOLAYER_Y_UM[1]


def test_the_whole_monolayer_can_be_asked_for_and_no_more():
    smear = Smear(make_donor("healthy:42"))
    most = 68 * 54
    places = serpentine(smear, most, 229.68, 171.6)
    assert min(place.x_um for place in places) - 229.68 / 2.0 >= MONOLAYER_X_UM[0]
    assert max(place.y_um for place in places) + 171.6 / 2.0 <= MONOLAYER_Y_UM[1]
    with pytest.raises(InputError, match="do not fit"):
        serpentine(smear, most + 1, 229.68, 171.6)


@pytest.mark.parametrize("tiles", [0, -3])
def test_no_tiles_are_refused(tmp_path, tiles):
    with pytest.raises(InputError, match="do not fit"):
        write_dataset("healthy:1", tiles, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_in_use_is_refused_and_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="not empty"):
        write_dataset("healthy:1", 1, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_dataset("healthy:1", 1, tmp_path / "out")


def test_an_unknown_donor_writes_nothing(tmp_path):
    with pytest.raises(InputError):
        write_dataset("flu:1", 1, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_contact_sheet_has_a_row_per_kind(tmp_path):
    contact_sheet(tmp_path / "sheet.png")
    image = cv2.imread(str(tmp_path / "sheet.png"), cv2.IMREAD_UNCHANGED)
    assert image.shape[0] == len(KINDS) * CROP_PX
    assert image.shape[1] > CELLS_PER_ROW * CROP_PX
    assert (tmp_path / "sheet.png").stat().st_size < 400_000
