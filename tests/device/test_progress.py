"""Counts of a run and the time that is left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.analysis.quality import TileQuality, Unusable
from device.analysis.tile_analyzer import TileAnalysis
from device.engine.state.progress import Counts, Progress
from device.engine.state.snapshot import SnapshotStore
from device.results.cell import CellKind


@dataclass(frozen=True)
class Named:
    """A cell that was named."""

    kind: CellKind
    identified: bool


def counts(analysed: int, cells: int, planned: int = 1000, scan_s: float = 100.0) -> Counts:
    return Counts(
        planned=planned,
        acquired=analysed,
        analysed=analysed,
        cells={CellKind.LYMPHOCYTE: cells, CellKind.DEAD: 50},
        scan_s=scan_s,
    )


@pytest.mark.parametrize(("analysed", "cells"), [(0, 0), (19, 200), (20, 9), (99, 0)], ids=str)
def test_the_estimate_is_still_settling(analysed: int, cells: int) -> None:
    assert counts(analysed, cells).remaining_s(200) is None


def test_cells_to_go_at_the_rate_so_far() -> None:
    # 50 cells in 100 tiles of 1 s each: 150 more cells need 300 more tiles.
    assert counts(100, 50).remaining_s(200) == pytest.approx(300.0)


def test_the_end_of_the_plan_bounds_the_estimate() -> None:
    assert counts(100, 10).remaining_s(200) == pytest.approx(900.0)
    assert counts(100, 0).remaining_s(200) == pytest.approx(900.0)


def test_dead_cells_do_not_count_towards_the_target() -> None:
    assert counts(100, 50).classified == 50


@given(st.integers(20, 900), st.integers(10, 2000), st.integers(1, 2000))
def test_the_estimate_is_never_negative_nor_longer_than_the_plan(
    analysed: int, cells: int, target: int
) -> None:
    left_s = counts(analysed, cells).remaining_s(target)
    assert left_s is not None
    assert 0.0 <= left_s <= (1000 - analysed) * 100.0 / analysed + 1e-9


def test_tiles_are_summed_by_what_became_of_them() -> None:
    progress = Progress(SnapshotStore())
    progress.plan(9)
    progress.acquire(taken=True, spent_s=2.0)
    progress.acquire(taken=False, spent_s=3.0)
    for reason in (None, Unusable.TOO_THICK, Unusable.TOO_THICK):
        quality = TileQuality(1.0, 0.3, 0.0, usable=reason is None, reason=reason)
        seen = TileAnalysis(0, quality, (), 5, 2, 1.0, np.zeros((1, 1), np.uint8))
        progress.analyse(seen, gone=[], come=[Named(CellKind.MONOCYTE, identified=True)])
    unidentified = Named(CellKind.LYMPHOCYTE, identified=False)
    progress.recount(gone=[Named(CellKind.MONOCYTE, identified=True)], come=[unidentified])
    now = progress.counts
    assert (now.planned, now.acquired, now.missing, now.analysed) == (9, 1, 1, 3)
    assert (now.scan_s, now.red_cells, now.platelets) == (5.0, 15, 6)
    assert now.unusable == {"too thick": 2}
    assert (now.classified, now.unidentified) == (2, 1)
