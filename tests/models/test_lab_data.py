"""A laboratory's annotated scans become the samples that the simulator's would."""

from __future__ import annotations

import csv
import shutil
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("tqdm")

from hal.errors import InputError
from hal.sim import dataset
from hal.sim.blood.donors import make_donor
from hal.sim.blood.smear import Smear
from hal.sim.optics.microscope import VirtualMicroscope
from models.layout import BLANK_LEVEL
from models.train.data.lab import PIXEL_UM, LabTile, field_set, read_scan
from models.train.data.lab_data import SPLITS, assigned, scans_of, split_of, write_lab
from models.train.data.samples import CELL_KNOWN, UNKNOWN_CLASS, CropSet, FieldSet
from models.train.data.simulated import Field, crops_of, normalised
from models.train.data.workspace import Plan, Workspace, make_data

WIDTH_PX, HEIGHT_PX = 560, 420
DONOR = "healthy:44"


def rich_smear(donor: object) -> Smear:
    return Smear(donor, white_cell_enrichment=1200.0 / donor.wbc_per_mm2)  # type: ignore[attr-defined, arg-type]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `leukolux simulate` writes, of small tiles with many white cells."""
    folder = tmp_path_factory.mktemp("lab") / "donor-a"
    with pytest.MonkeyPatch.context() as patch:
        small = partial(VirtualMicroscope, width_px=WIDTH_PX, height_px=HEIGHT_PX)
        patch.setattr(dataset, "VirtualMicroscope", small)
        patch.setattr(dataset, "Smear", rich_smear)
        patch.setattr(dataset, "BLANK_FRAMES", 2)
        dataset.write_dataset(DONOR, 2, folder)
    return folder


@pytest.fixture
def scan(written: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return shutil.copytree(written, tmp_path / "donor-a")


@pytest.fixture(scope="module")
def tiles(written: Path) -> list[LabTile]:
    return read_scan(written)


def rewrite(path: Path, change: dict[str, str], *, drop: str | None = None) -> None:
    """Change columns of the second line of a table, or drop a column."""
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    rows[0] |= change
    names = [name for name in rows[0] if name != drop]
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def test_the_crops_are_those_of_the_simulator(written: Path, tiles: list[LabTile]) -> None:
    microscope = VirtualMicroscope(
        rich_smear(make_donor(DONOR)), width_px=WIDTH_PX, height_px=HEIGHT_PX
    )
    blank = cv2.imread(str(written / "background.png"), cv2.IMREAD_UNCHANGED).astype(np.float32)
    with (written / "tiles.csv").open(newline="") as stream:
        row = next(csv.DictReader(stream))
    x_um, y_um, z_um = (float(row[name]) for name in ("x_um", "y_um", "z_um"))
    counts = microscope.render(x_um, y_um, z_um, exposure_ms=float(row["exposure_ms"]))
    gray = np.clip(np.round(counts / blank * BLANK_LEVEL), 0, 255).astype(np.uint8)
    own = Field(gray, microscope.truth(x_um, y_um), (x_um, y_um), 0.0)
    wanted = crops_of(own, "donor", np.random.default_rng(1))
    found = tiles[0].crops("donor", np.random.default_rng(1))
    assert wanted is not None
    assert found is not None
    assert len(found) == len(wanted) > 3
    assert np.array_equal(found.kind, wanted.kind)
    assert np.array_equal(found.labels, wanted.labels)
    assert np.array_equal(found.known, wanted.known)
    # What the lamp drifted is taken out of the laboratory's tiles: one factor per tile.
    drift = float(np.median(gray) / np.median(tiles[0].field.gray))
    assert drift == pytest.approx(1.0, abs=0.03)
    cells = wanted.labels.any((1, 2))  # the lists of red cells are in another order
    differing = found.gray[cells] != wanted.gray[cells]  # blank glass is put outside the tile
    assert np.abs(found.gray * drift - wanted.gray)[cells][differing].max() < 2.0


def test_the_fields_hold_the_lists_and_do_not_invent_a_focus(tiles: list[LabTile]) -> None:
    fields = field_set(tiles, "donor")
    assert [gray.shape for gray in fields.gray] == [(HEIGHT_PX, WIDTH_PX)] * 2
    for tile, nuclei, red in zip(tiles, fields.nuclei, fields.red_cells, strict=True):
        drawn = tile.field.truth.instances > 0
        whole = [i for i, cell in enumerate(tile.field.truth.cells) if not cell.cut]
        assert all(drawn[round(float(y)), round(float(x))] for x, y in nuclei[whole])
        assert len(red) > 20
        assert (red >= -1).all()
        assert (red <= np.array([WIDTH_PX, HEIGHT_PX])).all()
    assert all(fields.red_cells_known)
    assert np.isnan(fields.in_focus).all()


def test_blank_glass_lies_at_its_level_whatever_the_lamp_did(tiles: list[LabTile]) -> None:
    commonest = np.bincount(tiles[0].field.gray.ravel()).argmax()
    assert commonest == pytest.approx(BLANK_LEVEL, abs=2)


@given(drift=st.floats(0.88, 1.12), cells=st.floats(0.0, 0.7))
def test_drift_of_the_lamp_is_taken_out(drift: float, cells: float) -> None:
    rng = np.random.default_rng(1)
    background = rng.uniform(2000, 3000, (80, 100)).astype(np.float32)
    transmission = np.where(np.arange(100) < 100 * cells, 0.6, 1.0)
    tile = np.round(background * transmission * drift).astype(np.uint16)
    gray = normalised(tile, background)
    assert np.median(gray[:, -20:]) == pytest.approx(BLANK_LEVEL, rel=0.004)


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_tiles_of_another_pixel_size_are_resampled(
    scan: Path, tiles: list[LabTile], factor: float
) -> None:
    size = round(WIDTH_PX * factor), round(HEIGHT_PX * factor)
    for path in [scan / "background.png", *scan.rglob("*/tile_*.png")]:
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        gray = path.parent.name == "tiles" or path.name == "background.png"
        how = cv2.INTER_CUBIC if gray else cv2.INTER_NEAREST_EXACT
        cv2.imwrite(str(path), cv2.resize(image, size, interpolation=how))
    text = (scan / "tiles.csv").read_text()
    (scan / "tiles.csv").write_text(text.replace(",0.165", f",{0.165 / factor}"))
    found, wanted = read_scan(scan)[0].field, tiles[0].field
    assert found.gray.shape == wanted.gray.shape
    overlap = 2 * ((found.truth.labels > 0) & (wanted.truth.labels > 0)).sum()
    assert overlap / ((found.truth.labels > 0).sum() + (wanted.truth.labels > 0).sum()) > 0.97
    assert np.abs(found.gray.astype(float) - wanted.gray)[20:-20, 20:-20].mean() < 4
    assert found.truth.cells[0].area_um2 == pytest.approx(
        (wanted.truth.instances == 1).sum() * PIXEL_UM**2, rel=0.05
    )


def test_lists_and_nuclei_that_nobody_made_are_unknown(scan: Path) -> None:
    (scan / "truth" / "red_cells.csv").unlink()
    (scan / "truth" / "platelets.csv").unlink()
    for path in (scan / "truth" / "labels").iterdir():
        labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(path), np.minimum(labels, 1))
    tiles = read_scan(scan)
    fields = field_set(tiles, "donor")
    assert not any(fields.red_cells_known + fields.platelets_known)
    crops = tiles[0].crops("donor", np.random.default_rng(0))
    assert crops is not None
    assert (crops.known == CELL_KNOWN).all()


def test_a_cell_of_unknown_kind_keeps_its_mask_and_has_no_class(scan: Path) -> None:
    path = scan / "truth" / "cells.csv"
    known = read_scan(scan)[0].crops("donor", np.random.default_rng(0))
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(row | {"kind": ""} for row in rows)
    crops = read_scan(scan)[0].crops("donor", np.random.default_rng(0))
    assert crops is not None
    assert known is not None
    drawn = crops.labels.any((1, 2))
    assert (crops.kind[drawn] == UNKNOWN_CLASS).all()
    assert np.array_equal(crops.labels, known.labels)


def test_a_column_of_defocus_gives_the_focus_and_leaves_blurred_crops_out(scan: Path) -> None:
    text = (scan / "tiles.csv").read_text().splitlines()
    lines = [text[0] + ",defocus_um", text[1] + ",2.0", text[2] + ",-0.5"]
    (scan / "tiles.csv").write_text("\n".join(lines) + "\n")
    blurred, sharp = read_scan(scan)
    assert (blurred.in_focus, sharp.in_focus) == (0.5, 1.0)
    assert blurred.crops("donor", np.random.default_rng(0)) is None


@pytest.mark.parametrize(
    ("name", "change", "drop", "what"),
    [
        ("tiles.csv", {}, "pixel_um", "line 1: there is no column pixel_um"),
        ("tiles.csv", {"x_um": "left"}, None, "line 2: x_um is 'left', which is not a number"),
        ("tiles.csv", {"file": "tiles/none.png"}, None, "line 2: there is no file tiles/none.png"),
        ("tiles.csv", {"pixel_um": "165"}, None, "line 2: pixel_um is 165"),
        ("truth/cells.csv", {}, "kind", "line 1: there is no column kind"),
        ("truth/cells.csv", {"kind": "neutrophyl"}, None, "line 2: there is no kind 'neutrophyl'"),
    ],
)
def test_a_table_that_cannot_be_is_named_with_its_line(
    scan: Path, name: str, change: dict[str, str], drop: str | None, what: str
) -> None:
    rewrite(scan / name, change, drop=drop)
    with pytest.raises(InputError) as caught:
        read_scan(scan)
    assert what in str(caught.value)
    assert Path(name).name in str(caught.value)


def test_a_flipped_axis_is_noticed(scan: Path) -> None:
    path = scan / "truth" / "cells.csv"
    tile_y_um = read_scan(scan)[0].field.centre_um[1]
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(row | {"y_um": 2 * tile_y_um - float(row["y_um"])} for row in rows)
    with pytest.raises(InputError, match=r"cells.csv, line \d+: the cell is drawn at y"):
        read_scan(scan)


def test_labels_that_contradict_the_instances_are_refused(scan: Path) -> None:
    path = scan / "truth" / "labels" / "tile_0000.png"
    labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    labels[:5, :5] = np.where(labels[:5, :5] > 0, 0, 1)
    cv2.imwrite(str(path), labels)
    with pytest.raises(InputError, match=r"tiles\.csv, line 2: labels and instances differ on 25"):
        read_scan(scan)


@pytest.mark.parametrize("name", ["background.png", "truth/cells.csv", "truth/labels"])
def test_a_missing_file_is_named(scan: Path, name: str) -> None:
    (scan / name).rename(scan / "elsewhere")
    with pytest.raises(InputError, match=Path(name).name):
        read_scan(scan)


@given(seed=st.integers(0, 9), names=st.sets(st.text(min_size=1, max_size=8), max_size=5))
def test_a_donor_keeps_its_split_whoever_else_is_there(seed: int, names: set[str]) -> None:
    path = Path("no such table")
    together = assigned(path, names, seed)
    assert all(assigned(path, [name], seed) == {name: together[name]} for name in names)


def test_most_donors_train_and_the_seed_matters() -> None:
    donors = [f"donor {i}" for i in range(2000)]
    splits = [split_of(donor, 1) for donor in donors]
    assert [splits.count(split) / 2000 for split in SPLITS] == pytest.approx(
        [0.7, 0.15, 0.15], abs=0.03
    )
    assert splits != [split_of(donor, 2) for donor in donors]


def test_scans_of_one_donor_stay_together(tmp_path: Path) -> None:
    for place in ("a/day 1", "a/day 2", "b"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "tiles.csv").touch()
    found = scans_of([tmp_path, tmp_path / "b"])
    assert {donor: len(scans) for donor, scans in found.items()} == {"a": 2, "b": 2}
    with pytest.raises(InputError, match=r"no tiles\.csv"):
        scans_of([tmp_path / "a" / "day 1" / "truth"])


def test_samples_land_where_the_training_looks_and_follow_the_written_split(
    written: Path, tmp_path: Path
) -> None:
    root = tmp_path / "lab"
    for name in ("a", "b", "c"):
        shutil.copytree(written, root / name)
    work = Workspace(tmp_path / "work")
    work.lab().mkdir(parents=True)
    (work.lab() / "split.csv").write_text("donor,split\na,train\nb,val\nc,test\n")
    make_data(work, Plan(train_donors=0, val_donors=0, test_donors=0, labs=(root,)), None)
    for split, name in zip(SPLITS, "abc", strict=True):
        assert set(work.cells(split).group) == {name}
        assert set(work.fields(split).group) == {name}
        assert set(work.domains(split)) == {"laboratory"}
    (work.lab() / "split.csv").write_text("donor,split\na,val\nb,val\nc,test\n")
    assert write_lab(work.lab(), [root], 1) == {"train": 0, "val": 2, "test": 1}
    assert set(work.cells("val").group) == {"a", "b"}
    with pytest.raises(InputError, match="no samples of train"):
        work.cells("train")
    assert isinstance(work.cells("val"), CropSet)
    assert isinstance(work.fields("val"), FieldSet)


def test_a_split_without_donors_is_refused_before_anything_long(
    written: Path, tmp_path: Path
) -> None:
    work = Workspace(tmp_path / "work")
    with pytest.raises(InputError, match=r"no donor for (train|val)"):
        make_data(work, Plan(0, 0, 0, labs=(written,)), None)
