"""The count on the final positions, where it differs from the one during the scan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from drawn_smear import PIXEL_UM
from test_registry_views import seen

from device.analysis import registry as module
from device.analysis.registration.links import Link, StageAxes
from device.analysis.registry import CellRegistry
from device.analysis.tile import Tile
from device.analysis.tile_analyzer import TileAnalysis
from device.engine.run.counting import CellCounter
from device.engine.state.latest_tile import LatestTile
from device.engine.state.progress import Progress
from device.engine.state.snapshot import SnapshotStore
from device.errors import RecordsError
from device.imaging.dose import DoseLedger, DoseLimits
from device.records.records import Records
from device.system.events import EventBus

PLACE_UM = (100.0, 100.0)


class ScriptedLinker:
    """Links tiles as a test says; by default the third one shows where the second one lies."""

    script: ClassVar[dict[int, tuple[Link, ...]]] = {}

    def __init__(self, pixel_um: float) -> None:
        self.axes = StageAxes()
        self._tiles = 0

    def add(
        self, preview: np.ndarray, x_um: float, y_um: float
    ) -> tuple[tuple[int, ...], tuple[Link, ...]]:
        tile, self._tiles = self._tiles, self._tiles + 1
        return tuple(range(tile)), self.script.get(tile, ())


def link(fixed: int, moving: int, x_um: float = 0.0, sigma_um: float = 0.01) -> Link:
    return Link(fixed, moving, x_um, 0.0, sigma_um, 0.99)


@pytest.fixture(autouse=True)
def _scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TileLinker", ScriptedLinker)
    # The stage reports all tiles at one place, and the second one lies 7 um farther right.
    monkeypatch.setattr(ScriptedLinker, "script", {2: (link(0, 2), link(1, 2, -7.0))})


def tiles(first_um: float, second_um: float) -> list[TileAnalysis]:
    """Return three tiles, the first two with a cell each, at x as the stage reports it."""
    return [seen(0, (first_um, 100.0)), seen(1, (second_um, 100.0)), seen(2)]


TWO_TAKEN_FOR_ONE = tiles(100.0, 101.0)
ONE_TAKEN_FOR_TWO = tiles(107.0, 97.5)


def settled(analyses: list[TileAnalysis]) -> tuple[CellRegistry, module.Settled]:
    registry = CellRegistry(PIXEL_UM, merge_distance_um=3.0)
    for analysis in analyses:
        registry.add(analysis, *PLACE_UM)
    return registry, registry.settle()


def test_two_cells_that_were_taken_for_one_become_two() -> None:
    registry, final = settled(TWO_TAKEN_FOR_ONE)
    assert len(registry.cells) == 1
    assert [cell.tile_sequence for cell in final.cells] == [0, 1]
    assert final.cells[1].x_um - final.cells[0].x_um == pytest.approx(8.0, abs=0.05)
    assert final.former == (frozenset({0}), frozenset({0}))


def test_one_cell_that_was_taken_for_two_becomes_one() -> None:
    registry, final = settled(ONE_TAKEN_FOR_TWO)
    assert len(registry.cells) == 2
    assert len(final.cells) == 1
    assert final.former == (frozenset({0, 1}),)


def test_settling_changes_nothing_where_the_tiles_agree() -> None:
    registry, final = settled([seen(0, (100.0, 100.0)), seen(1, (130.0, 100.0)), seen(2)])
    assert len(registry.cells) == len(final.cells) == 2
    assert final.former == (frozenset({0}), frozenset({1}))


def test_the_best_view_of_a_cell_stands_for_it() -> None:
    registry = CellRegistry(PIXEL_UM, merge_distance_um=3.0)
    registry.add(seen(0, (100.0, 100.0), bbox_px=(5, 90, 25, 110)), *PLACE_UM)
    changed = registry.add(seen(1, (100.0, 100.0)), *PLACE_UM)
    assert {index: cell.tile_sequence for index, cell in changed.better.items()} == {0: 1}
    assert registry.add(seen(2, (100.0, 100.0), bbox_px=(5, 90, 25, 110)), *PLACE_UM).better == {}
    assert [cell.tile_sequence for cell in registry.cells] == [1]
    assert [cell.tile_sequence for cell in registry.settle().cells] == [0, 1]


def test_the_best_view_stands_for_a_cell_after_settling_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ScriptedLinker, "script", {1: (link(0, 1),)})
    registry = CellRegistry(PIXEL_UM, merge_distance_um=3.0)
    registry.add(seen(0, (100.0, 100.0), bbox_px=(20, 90, 40, 110)), *PLACE_UM)
    registry.add(seen(1, (100.0, 100.0)), *PLACE_UM)
    assert [cell.tile_sequence for cell in registry.settle().cells] == [1]


@pytest.mark.parametrize(("apart_um", "count"), [(3.0, 1), (3.1, 2)])
def test_tiles_of_one_frame_that_no_link_joins_are_as_exact_as_their_frame(
    apart_um: float, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third tile is placed by the first, 5 um off; the second and third share no link."""
    script = {1: (link(0, 1),), 2: (link(0, 2, 5.0),)}
    monkeypatch.setattr(ScriptedLinker, "script", script)
    registry = CellRegistry(PIXEL_UM, merge_distance_um=3.0)
    registry.add(seen(0), *PLACE_UM)
    registry.add(seen(1, (100.0 + 5.0, 100.0)), *PLACE_UM)
    registry.add(seen(2, (100.0 + apart_um, 100.0)), *PLACE_UM)
    assert len(registry.cells) == count


@pytest.mark.parametrize(("apart_um", "count"), [(3.0, 1), (3.1, 2)])
def test_a_pair_that_a_link_joins_is_exact_whatever_their_frames(
    apart_um: float, count: int
) -> None:
    """The second and third tile come from different frames, and are linked."""
    registry = CellRegistry(PIXEL_UM, merge_distance_um=3.0)
    registry.add(seen(0), *PLACE_UM)
    registry.add(seen(1, (100.0, 100.0)), *PLACE_UM)
    registry.add(seen(2, (107.0 + apart_um, 100.0)), *PLACE_UM)
    assert len(registry.cells) == count


def test_the_more_exact_link_places_a_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    script = {1: (link(0, 1),), 2: (link(0, 2, 4.0, sigma_um=0.3), link(1, 2, 8.0, sigma_um=0.1))}
    monkeypatch.setattr(ScriptedLinker, "script", script)
    registry = CellRegistry(PIXEL_UM, merge_distance_um=3.0)
    places_um = [registry.add(seen(i), *PLACE_UM).centre_um for i in range(3)]
    assert places_um[2] == pytest.approx((107.6, 100.0))


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    records = Records(tmp_path / "records.db")
    yield records
    records.close()


def counted(records: Records, analyses: list[TileAnalysis]) -> tuple[int, Progress, CellCounter]:
    run_id = records.begin_run("S-1", {}, {})
    snapshots = SnapshotStore()
    progress = Progress(snapshots)
    ledger = DoseLedger(DoseLimits(100, 100.0, 100.0), 1.0)
    registry = CellRegistry(PIXEL_UM, merge_distance_um=3.0)
    counter = CellCounter(run_id, registry, records, ledger, progress, LatestTile(), EventBus())
    for analysis in analyses:
        counter.accept(a_tile(analysis.sequence), analysis)
    return run_id, progress, counter


def a_tile(sequence: int) -> Tile:
    pixels = np.zeros((4, 4), np.uint16)
    return Tile(sequence, 0, sequence, *PLACE_UM, 0.0, pixels, 4095, PIXEL_UM, 50.0)


@pytest.mark.parametrize(
    ("analyses", "live", "final"), [(TWO_TAKEN_FOR_ONE, 1, 2), (ONE_TAKEN_FOR_TWO, 2, 1)]
)
def test_records_and_status_follow_the_final_count(
    records: Records, analyses: list[TileAnalysis], live: int, final: int
) -> None:
    run_id, progress, counter = counted(records, analyses)
    assert progress.counts.classified == live
    counter.settle()
    counter.settle()
    assert progress.counts.classified == final
    with records.reader() as reader:
        cells = list(reader.every_cell(run_id))
        places_um = [tile.centre_um for tile in reader.every_tile(run_id)]
        (event,) = [e for e in reader.events(run_id) if e.kind == "mosaic"]
    assert len(cells) == final
    assert places_um[1][0] - places_um[0][0] == pytest.approx(7.0, abs=0.05)
    assert event.data["links"] == 2
    assert event.data["cells_added"] - event.data["cells_merged"] == final - live


def test_a_count_that_is_stored_is_not_stored_again_if_what_follows_fails(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, progress, counter = counted(records, TWO_TAKEN_FOR_ONE)

    def fail(run_id: int | None, kind: str, data: Mapping[str, Any]) -> None:
        raise RecordsError("RECORDS-LOCKED", path=records.path)

    with monkeypatch.context() as patch:
        patch.setattr(records, "add_event", fail)
        with pytest.raises(RecordsError):
            counter.settle()
    counter.settle()
    with records.reader() as reader:
        assert len(list(reader.every_cell(run_id))) == progress.counts.classified == 2


def test_links_are_journalled_with_their_tile(records: Records) -> None:
    run_id, _, _ = counted(records, TWO_TAKEN_FOR_ONE)
    with records.reader() as reader:
        stored = [tile.links for tile in reader.every_tile(run_id)]
    assert [len(links) for links in stored] == [0, 0, 2]
    assert stored[2][1] == {
        "tile": 1,
        "x_um": -7.0,
        "y_um": 0.0,
        "sigma_um": 0.01,
        "correlation": 0.99,
    }
