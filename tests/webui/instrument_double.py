"""A stand-in for the instrument that a test drives by hand, and records with known runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from device.analysis.quality import TileQuality
from device.analysis.tile_analyzer import TileAnalysis
from device.calibration.order import CalibrationOrder
from device.calibration.service import CalibrationService
from device.checks.report import Level
from device.engine.state.sample_entry import SampleEntry
from device.engine.state.snapshot import SnapshotStore
from device.engine.state.states import Event, State, answer
from device.engine.state.waiting_sample import WaitingSample
from device.errors import RequestRefusedError, StartRefusedError
from device.records.record_types import RunState, TileState
from device.records.records import Records, RunEnd, TileEntry
from device.results.cell import FIVE_TYPES, THUMBNAIL_PX, Cell, CellKind
from device.results.differential import ScanContext, differential
from device.settings.file import Settings
from device.status import StartCondition, Status, StopReason
from device.system.events import EventBus, EventKind

PIXEL_UM = 0.165
TILES = 4
# Tile and place of some cells; the others crowd in the last tile.  Tile 1 holds none of its own,
# yet shows number 3 at its border.
SPARSE = {
    0: (0, 696, 520),
    125: (0, 300, 300),
    190: (0, 1100, 760),
    3: (2, 100, 300),
    129: (2, 696, 520),
    195: (2, 1000, 300),
}
LID = StartCondition("lid_closed", True, "The lid is open. Close the lid.")
DISK = StartCondition("disk_space", True, "The disk is nearly full. Free at least 1 GB.")
HEALTHY = {
    CellKind.NEUTROPHIL: 122,
    CellKind.EOSINOPHIL: 6,
    CellKind.BASOPHIL: 1,
    CellKind.LYMPHOCYTE: 58,
    CellKind.MONOCYTE: 13,
    CellKind.DEAD: 7,
}
PROBLEM = {
    "code": "STAGE-ALARM",
    "cause": "The stage stopped at the limit switch of x (ALARM:1).",
    "remedy": "Look whether something blocks the stage, then acknowledge; it will home again.",
}


class InstrumentDouble:
    """Answers as the instrument by its transition table, yet moves only when told to."""

    def __init__(self, records: Records, settings: Settings) -> None:
        self.events = EventBus()
        self.requests: list[str] = []
        self.orders: list[CalibrationOrder] = []
        self._snapshots = SnapshotStore()
        self._snapshots.listen(self._publish)
        self.sample = SampleEntry(self._snapshots, records)
        self.sample.suggest()
        self.calibration = CalibrationService(
            settings,
            records.calibrations,
            "simulated",
            self._order_calibration,
            changed=lambda: self.become(calibration_version=self.calibration.version),
        )
        self._records = records
        self._settings = settings
        self._tile: TileAnalysis | None = None
        self._status = Status(
            state=State.IDLE,
            activity="Waiting for a sample.",
            waiting_sample=self.sample.waiting,
            target_cells=settings.scan.target_cells,
            start_conditions=(LID, DISK),
            donor="healthy:42",
        )

    def become(self, **changes: Any) -> None:
        """Replace fields of the status and tell the subscribers; idle suggests a sample."""
        self._status = replace(self._status, **changes)
        if self._status.state is State.IDLE:
            self.sample.suggest()
        self._publish()

    def _publish(self) -> None:
        self.events.publish(EventKind.STATUS, {})

    def show_tile(self, analysis: TileAnalysis) -> None:
        self._tile = analysis

    def status(self) -> Status:
        waiting = self.sample.waiting
        return replace(
            self._status,
            waiting_sample=waiting,
            start_conditions=(*self._status.start_conditions, *waiting.conditions),
        )

    def latest_tile(self) -> TileAnalysis | None:
        return self._tile

    def latest_tile_png(self) -> bytes | None:
        return None if self._tile is None else bytes(cv2.imencode(".png", self._tile.preview)[1])

    def check(self, level: Level, operator: str = "") -> None:
        self._fits(Event.CHECK)
        self.requests.append(f"check {level} {operator}")

    def start(self, sample_id: str, control_lot: int | None = None, operator: str = "") -> int:
        sample = self.sample.made(sample_id, control_lot, operator)
        unmet = [condition for condition in self._status.start_conditions if not condition.met]
        if unmet or self._status.state != State.IDLE:
            raise StartRefusedError(unmet)
        run_id = self._records.begin_run(
            sample.sample_id,
            self._settings.model_dump(mode="json"),
            {"leukolux": "0.1.0"},
            control_lot,
            operator,
        )
        self.requests.append(f"start {sample.sample_id}")
        self._snapshots.put(waiting_sample=WaitingSample(revision=sample.revision + 1))
        self.become(state=State.PREPARING, run_id=run_id, sample_id=sample.sample_id)
        return run_id

    def _order_calibration(self, order: CalibrationOrder) -> None:
        if self._status.state != State.IDLE:
            raise RequestRefusedError("REQUEST-TWICE", request="calibrate")
        self.orders.append(order)
        self.become(state=State.CALIBRATING, calibrating=order.name)

    def pause(self) -> None:
        self._ask(Event.PAUSE)

    def resume(self) -> None:
        self._ask(Event.RESUME)

    def abort(self) -> None:
        self._ask(Event.ABORT)

    def acknowledge(self) -> None:
        self._ask(Event.ACKNOWLEDGE)

    def _fits(self, event: Event) -> State:
        after = answer(State(self._status.state), event)
        if not isinstance(after, State):
            raise after.error()
        return after

    def _ask(self, event: Event) -> None:
        after = self._fits(event)
        self.requests.append(event.value)
        self.become(state=after, error=None)


class TwoTones:
    """Colours without a network: dark is violet, the rest nearly white."""

    def __init__(self) -> None:
        self.calls = 0

    def stain(self, image: NDArray[np.uint8], *, wide_field: bool = False) -> NDArray[np.uint8]:
        self.calls += 1
        return np.where((image < 200)[..., None], VIOLET, PALE).astype(np.uint8)


VIOLET = (120, 60, 160)
PALE = (250, 248, 250)


def open_records(folder: Path) -> Records:
    return Records(folder / "records.sqlite")


def store_run(
    records: Records,
    settings: Settings,
    *,
    sample_id: str = "S-0001",
    counts: Mapping[CellKind, int] | None = None,
    unidentified: int = 3,
    state: RunState = RunState.COMPLETE,
    reason: StopReason = StopReason.ENOUGH_CELLS,
    error: Mapping[str, str] | None = None,
    calibration: Sequence[Mapping[str, Any]] = (),
) -> int:
    """Store a finished run with cells, pictures and result; return its id."""
    counts = HEALTHY if counts is None else counts
    random = np.random.default_rng(5)
    versions = {"software": "0.1.0", "scout": "3f2a91c04be7", "classifier": "b81d20f7a9c3"}
    run_id = records.begin_run(sample_id, settings.model_dump(mode="json"), versions)
    records.set_plan(run_id, 1380)
    kinds = [kind for kind, n in counts.items() for _ in range(n)]
    cells = [_cell(i, kind, True, random) for i, kind in enumerate(kinds)]
    cells += [_cell(i, CellKind.MONOCYTE, False, random) for i in range(1000, 1000 + unidentified)]
    for tile in range(TILES):
        x_um = _tile_x_um(tile)
        entry = TileEntry(0, tile, x_um, 200.0, TileState.ANALYSED, True, 1, 0.3, sequence=tile)
        records.add_tile(run_id, entry, [cell for cell in cells if cell.tile_sequence == tile])
    records.add_event(run_id, "note", {"text": "first tile"})
    scan = ScanContext(tiles_attempted=612, aborted=state is RunState.ABORTED)
    shares = differential(counts, unidentified, scan)
    document = {
        "run_id": run_id,
        "sample_id": sample_id,
        "state": state,
        "reason": reason,
        "refusal": error if reason is StopReason.REFUSED else None,
        "error": error if reason is StopReason.FAILED else None,
        "tiles": {"planned": 1380, "acquired": 612, "analysed": 612, "missing": 0, "unusable": 9},
        **shares.as_dict(),
        "versions": versions,
        "calibration": list(calibration),
        "duration_s": 171.0,
    }
    records.finish_run(run_id, RunEnd(state, reason, document, error))
    return run_id


def _cell(number: int, kind: CellKind, sure: bool, random: np.random.Generator) -> Cell:
    best = float(random.uniform(0.72, 0.999)) if sure else 0.41
    rest = (1 - best) / (len(CellKind) - 1)
    thumbnail, mask = _drawing(kind, number % 3)
    tile, x_px, y_px = _place(number)
    return Cell(
        tile_sequence=tile,
        x_um=_tile_x_um(tile) + (x_px - 695.5) * PIXEL_UM,
        y_um=200.0 + (y_px - 519.5) * PIXEL_UM,
        x_px=x_px,
        y_px=y_px,
        bbox_px=(x_px - 80, y_px - 80, x_px + 80, y_px + 80),
        kind=kind,
        probabilities={name: best if name is kind else rest for name in CellKind},
        identified=sure,
        area_um2=float((mask > 0).sum() * PIXEL_UM**2),
        nucleus_area_um2=float((mask == 2).sum() * PIXEL_UM**2),
        thumbnail=thumbnail,
        mask=mask,
    )


def _tile_x_um(tile: int) -> float:
    return 200.0 + 205.0 * tile


def _place(number: int) -> tuple[int, int, int]:
    """Return the tile of a cell and where in it the cell is, in pixels."""
    crowd = (TILES - 1, 140 + 97 * number % 1100, 140 + 61 * number % 760)
    return SPARSE.get(number, crowd)


def keep_tiles(records: Records, run_id: int, tiles: Sequence[int] = (0, 1, 2)) -> None:
    """Keep pictures of tiles of :func:`store_run`: red cells, and the white cells in place."""
    with records.reader() as reader:
        shown = [cell for cell in reader.every_cell(run_id) if cell.tile_sequence in tiles]
        pictures = {cell.id: reader.cell_picture(cell.id) or b"" for cell in shown}
    for tile in tiles:
        image = _red_cells(tile).copy()
        for cell in shown:
            if cell.tile_sequence == tile:
                x0, y0, x1, y1 = cell.bbox_px
                encoded = np.frombuffer(pictures[cell.id], np.uint8)
                image[y0:y1, x0:x1] = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE)
        records.tile_pictures.save(run_id, tile, image)


@cache
def _red_cells(seed: int) -> NDArray[np.uint8]:
    image = np.full((1040, 1392), 218, np.uint8)
    for x, y in np.random.default_rng(seed).integers((30, 30), (1362, 1010), (160, 2)):
        cv2.circle(image, (int(x), int(y)), 22, 172, -1)
        cv2.circle(image, (int(x), int(y)), 8, 190, -1)
    return image


@cache
def _drawing(kind: CellKind, variant: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    centre, size = THUMBNAIL_PX // 2, 32 + 6 * variant
    mask = np.zeros((THUMBNAIL_PX, THUMBNAIL_PX), np.uint8)
    cv2.ellipse(mask, ((centre, centre), (2 * size, 1.7 * size), 30.0), 1, -1)
    lobes = 1 if kind in {CellKind.LYMPHOCYTE, CellKind.MONOCYTE} else 3
    for lobe in range(lobes):
        reach = 0 if lobes == 1 else size // 3
        angle = 2.1 * lobe
        at = (centre + round(reach * np.cos(angle)), centre + round(reach * np.sin(angle)))
        cv2.circle(mask, at, size // (2 if lobes == 1 else 4), 2, -1)
    return np.choose(mask, [218, 185, 105]).astype(np.uint8), mask


def analysed_tile() -> TileAnalysis:
    """A field of red cells with one white cell in it."""
    preview = np.full((260, 348), 215, np.uint8)
    random = np.random.default_rng(3)
    for x, y in random.integers(0, (348, 260), (150, 2)):
        cv2.circle(preview, (int(x), int(y)), 11, 170, -1)
        cv2.circle(preview, (int(x), int(y)), 4, 190, -1)
    cell = _cell(0, CellKind.NEUTROPHIL, True, random)
    x0, y0, x1, y1 = (side // 4 for side in cell.bbox_px)
    preview[y0:y1, x0:x1] = cv2.resize(cell.thumbnail, (x1 - x0, y1 - y0))
    quality = TileQuality(1.0, 0.3, 0.0, usable=True, reason=None)
    return TileAnalysis(7, quality, (cell,), 150, 9, 20.0, preview)


TOKEN = "0123456789abcdef-token"
FIVE_NAMES = [kind.value for kind in FIVE_TYPES]
