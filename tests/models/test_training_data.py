from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("tqdm")

from models.train.data.samples import CropSet, FieldSet, cut
from models.train.data.simulated import (
    SPLIT_SEEDS,
    crops_of,
    donor_fields,
    donor_names,
    in_focus,
    write_split,
)

DEMONSTRATION_SEEDS = set(range(51))


def test_no_donor_is_in_two_splits_and_none_is_a_demonstration() -> None:
    seeds = {
        split: {int(name.split(":")[1]) for name in donor_names(split, 1000)}
        for split in SPLIT_SEEDS
    }
    groups = [*seeds.values(), DEMONSTRATION_SEEDS]
    assert sum(len(group) for group in groups) == len(set().union(*groups))


def test_more_donors_than_a_split_has_are_refused() -> None:
    with pytest.raises(ValueError, match="at most"):
        donor_names("val", 1001)


@given(x=st.floats(-30, 60), y=st.floats(-30, 60), size=st.sampled_from([8, 13]))
def test_a_cut_square_holds_the_image_where_there_is_one(x: float, y: float, size: int) -> None:
    image = np.arange(20 * 30, dtype=np.int64).reshape(20, 30).astype(np.uint8) | 1
    out = cut(image, x, y, size, 0)
    padded = np.pad(image, 100)
    top, left = round(y - size / 2) + 100, round(x - size / 2) + 100
    assert np.array_equal(out, padded[top : top + size, left : left + size])


def test_focus_falls_from_one_to_three_micrometres() -> None:
    assert [in_focus(z) for z in (0, -1, 2, -3, 9)] == [1, 1, 0.5, 0, 0]


def test_a_donor_renders_the_same_twice_and_its_crops_hold_whole_cells(tmp_path: Path) -> None:
    (name,) = donor_names("train", 1)
    one, two = donor_fields(name, 1)[0], donor_fields(name, 1)[0]
    assert np.array_equal(one.gray, two.gray)
    rng = np.random.default_rng(0)
    crops = crops_of(one, name, rng)
    assert crops is not None
    whole = [cell for cell in one.truth.cells if not cell.cut]
    drawn = crops.labels.any((1, 2))
    assert drawn.sum() == len(whole)
    area_px = np.sort((crops.labels[drawn] > 0).sum((1, 2)))
    wanted_px = np.sort([cell.area_um2 for cell in whole]) / 0.165**2
    assert area_px == pytest.approx(wanted_px, rel=0.12)
    assert (crops.kind[~drawn] == 6).all()
    path = tmp_path / "crops.npz"
    crops.save(path)
    assert np.array_equal(CropSet.load(path).gray, crops.gray)


@pytest.mark.slow
def test_a_split_is_written_once_and_read_back(tmp_path: Path) -> None:
    write_split(tmp_path, "val", donors=1, tiles=1)
    (path,) = (tmp_path / "val").glob("*.fields.npz")
    before = path.stat().st_mtime_ns
    write_split(tmp_path, "val", donors=1, tiles=1)
    assert path.stat().st_mtime_ns == before
    fields = FieldSet.load(path)
    assert len(fields) == 1
    assert fields.gray[0].dtype == np.uint8
