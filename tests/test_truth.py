from dataclasses import dataclass

import pytest

from device.laboratory.truth import compare, kind_of
from device.results.cell import UNIDENTIFIED, CellKind

PIXEL_UM = 0.5


@dataclass(frozen=True)
class True_:  # noqa: N801
    id: str
    kind: str
    x_um: float
    y_um: float
    bbox_px: tuple[int, int, int, int]
    cut: bool


@dataclass(frozen=True)
class Field:
    cells: tuple[True_, ...]


@dataclass(frozen=True)
class Counted:
    tile_sequence: int
    x_px: float
    y_px: float
    kind: CellKind = CellKind.NEUTROPHIL
    identified: bool = True


class FlatWorld:
    """Cells of 10 um diameter at known places; fields of 100 x 100 um."""

    width_px = 200
    height_px = 200
    pixel_um = PIXEL_UM

    def __init__(self, *cells):
        self.cells = cells

    def truth(self, x_um, y_um):
        found = []
        for i, (cx, cy, kind) in enumerate(self.cells):
            column, row = self.pixel_of(cx, cy, x_um, y_um)
            box = [round(v) for v in (column - 10, row - 10, column + 10, row + 10)]
            clipped = tuple(min(200, max(0, v)) for v in box)
            if clipped[0] < clipped[2] and clipped[1] < clipped[3]:
                cut = list(clipped) != box
                found.append(True_(str(i), kind, cx, cy, clipped, cut))
        return Field(tuple(found))

    def pixel_of(self, cx, cy, x_um, y_um):
        return (cx - x_um) / PIXEL_UM + 99.5, (cy - y_um) / PIXEL_UM + 99.5

    def counted(self, sequence, x_um, y_um, i, kind=None, identified=True, off_um=0.0):
        cx, cy, name = self.cells[i]
        column, row = self.pixel_of(cx + off_um, cy, x_um, y_um)
        return Counted(sequence, column, row, kind or kind_of(name), identified)


def test_perfect_count():
    world = FlatWorld((10, 10, "neutrophil"), (40, 40, "lymphocyte"), (20, 70, "dead"))
    cells = [world.counted(0, 40, 40, i) for i in range(3)]
    result = compare(cells, {0: (40, 40)}, world)
    assert result.found == 3
    assert not result.missed
    assert result.false_finds == 0
    assert result.as_dict()["neutrophil"] == {"n": 1, "percent": 50.0}
    assert result.as_dict()["dead"] == 1


def test_stage_error_does_not_break_the_match():
    world = FlatWorld((40, 40, "neutrophil"))
    result = compare([world.counted(0, 40, 40, 0, off_um=4.0)], {0: (40, 40)}, world)
    assert (result.found, result.false_finds) == (1, 0)


def test_missed_false_and_second_count_are_told_apart():
    world = FlatWorld((30, 30, "neutrophil"), (60, 60, "monocyte"))
    cells = [
        world.counted(0, 40, 40, 0),
        world.counted(1, 50, 50, 0),
        Counted(0, 20.0, 180.0),
    ]
    result = compare(cells, {0: (40, 40), 1: (50, 50)}, world)
    assert result.found == 1
    assert result.missed == {CellKind.MONOCYTE: 1}
    assert result.false_finds == 2


def test_neighbouring_cells_are_each_matched_to_their_own():
    world = FlatWorld((40, 40, "neutrophil"), (53, 40, "lymphocyte"))
    cells = [world.counted(0, 40, 40, i, off_um=3.0) for i in (1, 0)]
    called = compare(cells, {0: (40, 40)}, world).called
    assert called == {
        (CellKind.NEUTROPHIL, "neutrophil"): 1,
        (CellKind.LYMPHOCYTE, "lymphocyte"): 1,
    }


@pytest.mark.parametrize("place_um", [-10.0, -6.0])
def test_cell_at_the_border_counts_as_imaged_only_when_it_was_found(place_um):
    world = FlatWorld((place_um, 40, "neutrophil"))
    assert compare([], {0: (40, 40)}, world).as_dict()["cells"] == 0
    found = compare([world.counted(0, 40, 40, 0)], {0: (40, 40)}, world)
    assert found.as_dict()["cells"] == found.found == 1


def test_cell_in_two_tiles_is_one_true_cell():
    world = FlatWorld((40, 40, "basophil"))
    result = compare([world.counted(1, 60, 40, 0)], {0: (40, 40), 1: (60, 40)}, world)
    assert sum(result.true_counts.values()) == 1
    assert result.false_finds == 0


def test_names_given_are_kept_by_true_kind():
    world = FlatWorld((20, 40, "eosinophil"), (60, 40, "erythroblast"))
    cells = [
        world.counted(0, 40, 40, 0, identified=False),
        world.counted(0, 40, 40, 1, kind=CellKind.LYMPHOCYTE),
    ]
    called = compare(cells, {0: (40, 40)}, world).called
    assert called[(CellKind.EOSINOPHIL, UNIDENTIFIED)] == 1
    assert called[(CellKind.OTHER, "lymphocyte")] == 1
