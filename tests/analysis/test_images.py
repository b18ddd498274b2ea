import csv
import json

import cv2
import numpy as np
import pytest
from drawn_smear import PIXEL_UM, DrawnSmear, drawn_models

from device.analysis.external.image_files import collect, read_gray
from device.analysis.external.images import analyze_images
from device.analysis.external.single_image import find_blank_level, normalise
from device.results.cell import CellKind
from device.system.version import version
from hal.errors import InputError


@pytest.fixture(scope="module")
def smear():
    smear = DrawnSmear(420, 260)
    for i, kind in enumerate(CellKind):
        smear.white_cell(40 + 50 * i, 60, kind)
    smear.white_cell(211, 130, CellKind.MONOCYTE)
    smear.white_cell(40, 160, doubtful=True)
    smear.red_cells(500, seed=6)
    return smear


def window(smear, x_um, y_um, width_um, height_um):
    x, y, w, h = (round(v / PIXEL_UM) for v in (x_um, y_um, width_um, height_um))
    return smear.canvas[y : y + h, x : x + w]


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
    return path


def run(tmp_path, *paths, pixel_um=PIXEL_UM, **options):
    out = tmp_path / "out"
    outcome = analyze_images(paths, pixel_um=pixel_um, out=out, models=drawn_models(), **options)
    with (out / "cells.csv").open() as file:
        rows = list(csv.DictReader(file))
    document = json.loads((out / "differential.json").read_text())
    return outcome, rows, document, out


def test_every_cell_of_an_image_is_written_with_its_measurements(smear, tmp_path):
    path = write(tmp_path / "field.png", smear.canvas)
    outcome, rows, document, _ = run(tmp_path, path)
    assert len(rows) == 9
    assert outcome.failed == ()
    named = {row["kind"]: row for row in rows if row["y_px"] < "400" and float(row["y_px"]) < 450}
    assert set(named) == {kind.value for kind in CellKind}
    row = named["lymphocyte"]
    assert float(row["x_px"]) * PIXEL_UM == pytest.approx(190, abs=0.4)
    assert float(row["p_lymphocyte"]) == pytest.approx(0.9)
    assert float(row["area_um2"]) == pytest.approx(np.pi * 5.5**2, rel=0.08)
    assert int(row["x0"]) < float(row["x_px"]) < int(row["x1"])
    assert row["unidentified"] == "0"
    assert sum(row["unidentified"] == "1" for row in rows) == 1
    assert document["unidentified"] == 1
    assert document["differential"]["monocyte"]["n"] == 2
    assert document["flags"][0]["code"] == "COUNT-TOO-FEW"
    assert document["versions"] == {"software": version(), "scout": "drawn"}


def test_mask_has_the_size_of_the_image(smear, tmp_path):
    path = write(tmp_path / "field.png", smear.canvas)
    _, rows, _, out = run(tmp_path, path)
    mask = cv2.imread(str(out / "masks" / "field.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == smear.canvas.shape
    for row in rows:
        assert mask[round(float(row["y_px"])), round(float(row["x_px"]))] == 2
    area = np.count_nonzero(mask) * PIXEL_UM**2
    assert area == pytest.approx(sum(float(row["area_um2"]) for row in rows), rel=0.01)


@pytest.mark.parametrize("pixel_um", [0.08, 0.2])
def test_other_pixel_sizes_give_the_same_cells_in_their_own_pixels(smear, tmp_path, pixel_um):
    scale = PIXEL_UM / pixel_um
    part = window(smear, 15, 30, 150, 60)
    image = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    path = write(tmp_path / "field.png", image)
    _, rows, _, out = run(tmp_path, path, pixel_um=pixel_um)
    assert len(rows) == 3
    for row, x_um in zip(sorted(rows, key=lambda r: float(r["x_px"])), (40, 90, 140), strict=True):
        assert float(row["x_px"]) * pixel_um == pytest.approx(x_um - 15, abs=0.5)
        assert float(row["area_um2"]) == pytest.approx(np.pi * 5.5**2, rel=0.1)
    assert cv2.imread(str(out / "masks" / "field.png"), -1).shape == image.shape


def test_16_bit_tiff_of_any_brightness(smear, tmp_path):
    image = (window(smear, 15, 30, 60, 60).astype(np.float32) * 41.7).astype(np.uint16)
    _, rows, _, _ = run(tmp_path, write(tmp_path / "field.tif", image))
    assert [row["kind"] for row in rows] == ["neutrophil"]


def test_blank_level_of_the_caller_comes_first(smear, tmp_path):
    image = np.rint(window(smear, 15, 30, 60, 60) * 0.9).astype(np.uint8)
    path = write(tmp_path / "field.png", image)
    _, rows, _, _ = run(tmp_path, path, blank_level=198.0)
    assert [row["kind"] for row in rows] == ["neutrophil"]
    assert np.median(normalise(image, None, 99.0)) == 255


def test_background_image_takes_out_uneven_light(smear, tmp_path):
    part = window(smear, 15, 30, 60, 60)
    light = np.linspace(0.6, 1.0, part.shape[1])[None] * np.ones(part.shape)
    path = write(tmp_path / "field.png", np.rint(part * light * 200).astype(np.uint16))
    blank = write(tmp_path / "blank.png", np.rint(220 * light * 200).astype(np.uint16))
    _, rows, _, _ = run(tmp_path, path, background=blank)
    assert [row["kind"] for row in rows] == ["neutrophil"]


def test_cell_cut_by_the_border_of_an_image_is_reported_and_marked(smear, tmp_path):
    path = write(tmp_path / "field.png", window(smear, 40, 30, 70, 60))
    _, rows, _, _ = run(tmp_path, path)
    assert [(row["kind"], row["cut"]) for row in sorted(rows, key=lambda r: float(r["x_px"]))] == [
        ("neutrophil", "1"),
        ("eosinophil", "0"),
    ]


def test_crop_of_one_cell_gives_only_its_central_cell(tmp_path):
    smear = DrawnSmear(60, 60)
    smear.white_cell(30, 30, CellKind.BASOPHIL, radius_um=4.5)
    smear.white_cell(41, 38, CellKind.LYMPHOCYTE, radius_um=4.0)
    path = write(tmp_path / "crop.png", window(smear, 21.75, 21.75, 16.5, 16.5))
    assert read_gray(path).shape == (100, 100)
    _, rows, _, out = run(tmp_path, path)
    assert [row["kind"] for row in rows] == ["basophil"]
    assert cv2.imread(str(out / "masks" / "crop.png"), -1).shape == (100, 100)


def test_central_cell_of_a_crop_is_found_even_if_the_scout_overlooks_it(tmp_path):
    smear = DrawnSmear(60, 60)
    smear.white_cell(30, 30, CellKind.BASOPHIL)
    path = write(tmp_path / "crop.png", window(smear, 20, 20, 20, 20))
    models = drawn_models()
    find = models.scout.find

    def blind(image, threshold=None):
        seen = find(image, threshold)
        return type(seen)(seen.nuclei[:0], seen.red_cells, seen.platelets, 1.0)

    models.scout.find = blind
    outcome = analyze_images([path], pixel_um=PIXEL_UM, out=tmp_path / "o", models=models)
    assert outcome.cells == 1


def test_huge_image_is_read_in_windows_and_no_cell_is_lost_or_doubled(tmp_path):
    smear = DrawnSmear(500, 450)
    for x in range(18, 490, 16):
        for y in range(18, 440, 60):
            smear.white_cell(x, y, CellKind.MONOCYTE)
    assert max(smear.canvas.shape) > 2 * 1280
    _, rows, _, _ = run(tmp_path, write(tmp_path / "huge.png", smear.canvas))
    assert len(rows) == len(smear.white_cells)
    found = np.array([(float(r["x_um"]), float(r["y_um"])) for r in rows])
    for x_um, y_um, _ in smear.white_cells:
        assert np.hypot(*(found - (x_um, y_um)).T).min() < 1.0


def test_bad_files_are_reported_and_the_others_still_analysed(smear, tmp_path):
    good = write(tmp_path / "good.png", window(smear, 15, 30, 60, 60))
    colour = write(tmp_path / "colour.png", np.zeros((200, 200, 3), np.uint8))
    broken = tmp_path / "broken.png"
    broken.write_bytes(good.read_bytes()[:300])
    empty = tmp_path / "empty.tif"
    empty.write_bytes(b"")
    black = write(tmp_path / "black.png", np.zeros((300, 300), np.uint8))
    tiny = write(tmp_path / "tiny.png", np.full((10, 300), 200, np.uint8))
    paths = [colour, broken, empty, good, black, tiny]
    outcome, rows, document, _ = run(tmp_path, *paths)
    assert len(rows) == 1
    assert [one.file for one in outcome.failed] == [
        str(path) for path in (colour, broken, empty, black, tiny)
    ]
    assert all(entry["cause"] and entry["remedy"] for entry in document["failed"])
    assert "TILES-MISSING" in {flag["code"] for flag in document["flags"]}
    assert "colour.png" in outcome.summary()


def test_same_stem_twice_gives_two_masks(smear, tmp_path):
    part = window(smear, 15, 30, 60, 60)
    paths = [
        write(tmp_path / "a" / "field.png", part),
        write(tmp_path / "b" / "field.tif", part),
        write(tmp_path / "b" / "field_2.png", part),
    ]
    _, rows, _, out = run(tmp_path, *paths)
    assert len({row["mask"] for row in rows}) == len(rows) == 3
    assert sorted(p.name for p in (out / "masks").iterdir()) == sorted(r["mask"] for r in rows)


def test_folder_stands_for_its_images_and_a_file_named_twice_counts_once(smear, tmp_path):
    first = write(tmp_path / "in" / "a.png", window(smear, 15, 30, 60, 60))
    write(tmp_path / "in" / "b.TIF", window(smear, 65, 30, 60, 60))
    (tmp_path / "in" / "notes.txt").write_text("no image")
    outcome, rows, _, _ = run(tmp_path, tmp_path / "in", first)
    assert outcome.analysed == len(rows) == 2


@pytest.mark.parametrize("name", ["nothing", "missing.png"])
def test_empty_folder_or_missing_file_is_an_error(tmp_path, name):
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError, match=name):
        collect([tmp_path / name])


def test_pixel_size_is_needed_for_images(smear, tmp_path):
    path = write(tmp_path / "field.png", smear.canvas)
    with pytest.raises(InputError, match="size of a pixel"):
        analyze_images([path], pixel_um=None, out=tmp_path / "out", models=drawn_models())


def test_unwritable_output_is_an_error(smear, tmp_path):
    path = write(tmp_path / "field.png", smear.canvas)
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InputError, match="cannot be written"):
        run(tmp_path, path)


def test_multi_page_tiff_is_refused_rather_than_half_read(tmp_path):
    pages = [np.full((50, 50), 200, np.uint8)] * 2
    assert cv2.imwritemulti(str(tmp_path / "pages.tif"), pages)
    with pytest.raises(InputError, match="2 pages"):
        read_gray(tmp_path / "pages.tif")


@pytest.mark.parametrize("level", [90, 180, 255])
def test_blank_level_is_the_bright_mode(level):
    rng = np.random.default_rng(level)
    image = rng.normal(0.7 * level, 3, (300, 300))
    image[:60] = rng.normal(level, 1.5, (60, 300))
    found = find_blank_level(np.clip(image, 0, 255).astype(np.uint8))
    assert found == pytest.approx(level, rel=0.02)


def scan_folder(smear, folder, columns=6, broken=False, finer=1.0):
    width, height = 400, 304
    places = [(48 + 42 * i, 60) for i in range(columns)]
    with_header = ["file,x_um,y_um,z_um,exposure_ms,pixel_um"]
    for i, (x, y) in enumerate(places):
        tile = smear.tile(i, x, y, shape=(height, width))
        pixels = cv2.resize(tile.pixels, None, fx=finer, fy=finer, interpolation=cv2.INTER_CUBIC)
        write(folder / "tiles" / f"t{i}.png", pixels)
        with_header.append(f"tiles/t{i}.png,{x},{y},0,50,{PIXEL_UM / finer}")
    if broken:
        (folder / "tiles" / "t1.png").write_bytes(b"no image")
    write(folder / "background.png", np.full(pixels.shape, 3000, np.uint16))
    (folder / "tiles.csv").write_text("\n".join(with_header) + "\n")
    return folder


@pytest.mark.parametrize("finer", [1.0, 1.2])
def test_scan_folder_counts_each_cell_once_in_the_stage_frame(smear, tmp_path, finer):
    folder = scan_folder(smear, tmp_path / "scan", finer=finer)
    outcome, rows, document, out = run(tmp_path, folder, pixel_um=None)
    assert outcome.analysed == 6
    assert sum(image["cells"] for image in document["images"]) > len(rows)
    places = sorted((float(row["x_um"]), row["kind"]) for row in rows)
    assert [kind for _, kind in places] == [kind.value for kind in list(CellKind)[:5]]
    assert [x for x, _ in places] == pytest.approx([40, 90, 140, 190, 240], abs=0.5)
    mask = cv2.imread(str(out / "masks" / rows[0]["mask"]), -1)
    assert mask[round(float(rows[0]["y_px"])), round(float(rows[0]["x_px"]))] == 2


def test_broken_tile_of_a_scan_is_reported_as_missing(smear, tmp_path):
    folder = scan_folder(smear, tmp_path / "scan", broken=True)
    outcome, rows, document, _ = run(tmp_path, folder, pixel_um=None)
    assert [one.file for one in outcome.failed] == [str(folder / "tiles" / "t1.png")]
    assert "TILES-MISSING" in {flag["code"] for flag in document["flags"]}
    assert rows


def test_damaged_scan_table_is_an_error(smear, tmp_path):
    folder = scan_folder(smear, tmp_path / "scan")
    (folder / "tiles.csv").write_text("file,x_um\ntiles/t0.png,12\n")
    with pytest.raises(InputError, match=r"tiles\.csv"):
        collect([folder])
