"""Writing pictures of tiles while the counting continues, which never waits for them."""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable
from functools import partial
from threading import Thread
from typing import Any, Final

from device.analysis.flatfield import Background
from device.analysis.picture import picture_of
from device.analysis.tile import Tile
from device.analysis.tile_analyzer import TileAnalysis
from device.records.tile_pictures import TilePictures
from device.settings.sections import RecordsConfig
from device.system.priority import give_way
from hal.errors import LeukoluxError

log = logging.getLogger(__name__)

POLL_S: Final = 0.05
CLOSE_S: Final = 10.0
"""Longest wait for the last pictures at the end of a run; real seconds."""

_QUEUE_TILES: Final = 6
_CHECK_TILES: Final = 16
"""Tiles between two looks at the space that is left."""


class TilePictureWriter:
    """Writes the pictures of one run on a thread of its own, of low priority.

    If the disk is full or fails, no further picture is kept; if the thread does not keep up, single
    pictures are left out.  The counting continues, and ``note`` stores how many are missing.

    Args:
        run_id: the run.
        pictures: where they go.
        config: which tiles, and how much space.
        background: what the tiles are normalised with.
        network_um: pixel size of the networks, and of the pictures.
        note: stores an event of the run, ``tiles_not_kept``, with reason and number of tiles.
    """

    def __init__(
        self,
        run_id: int,
        pictures: TilePictures,
        config: RecordsConfig,
        background: Background,
        network_um: float,
        note: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self._run_id = run_id
        self._pictures = pictures
        self._config = config
        self._background = background
        self._network_um = network_um
        self._note = note
        self._tiles: queue.Queue[Tile | None] = queue.Queue(_QUEUE_TILES)
        self._skipped = 0
        self._failed = 0
        self._reason: LeukoluxError | None = None
        self._closed = False
        self._thread = Thread(target=self._work, name="tile-pictures", daemon=True)
        self._thread.start()

    def offer(self, tile: Tile, analysis: TileAnalysis) -> None:
        """Take a tile that was counted; returns at once."""
        which = self._config.keep_tiles
        if which == "none" or (which == "with_cells" and not analysis.cells):
            return
        try:
            self._tiles.put_nowait(tile)
        except queue.Full:
            self._skipped += 1

    def close(self, while_waiting: Callable[[], None]) -> None:
        """Wait until what was taken is written, and report what was not.  Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        deadline_s = time.monotonic() + CLOSE_S
        self._end(deadline_s, while_waiting)
        while self._thread.is_alive() and time.monotonic() < deadline_s:
            while_waiting()
            self._thread.join(POLL_S)
        if self._thread.is_alive():
            log.warning("the disk does not take the last pictures of run %d", self._run_id)
        self._tell()

    def _end(self, deadline_s: float, while_waiting: Callable[[], None]) -> None:
        while time.monotonic() < deadline_s:
            try:
                self._tiles.put(None, timeout=POLL_S)
            except queue.Full:
                while_waiting()
            else:
                return

    def _tell(self) -> None:
        missed = self._skipped + self._failed
        if not missed:
            return
        reason = self._reason or LeukoluxError("TILES-BUSY")
        log.warning("%d tiles of run %d were not kept: %s", missed, self._run_id, reason)
        try:
            self._note("tiles_not_kept", {"tiles": missed, **reason.as_dict()})
        except LeukoluxError as error:
            log.warning("the note about them was not stored: %s", error)

    def _work(self) -> None:
        give_way()
        written = 0
        while (tile := self._tiles.get()) is not None:
            if self._reason is None and written % _CHECK_TILES == 0:
                self._guarded(self._make_room)
            if self._reason is None:
                self._guarded(partial(self._save, tile))
            self._failed += self._reason is not None
            written += 1

    def _guarded(self, step: Callable[[], object]) -> None:
        """Take one step; any failure ends the keeping of this run's pictures."""
        try:
            step()
        except LeukoluxError as error:
            self._reason = error
        except Exception as error:
            log.exception("keeping a tile of run %d", self._run_id)
            self._reason = LeukoluxError(
                "TILES-INTERNAL", kind=type(error).__name__, problem=str(error)
            )

    def _make_room(self) -> None:
        if not self._pictures.make_room(self._config, spare=self._run_id):
            self._reason = LeukoluxError("TILES-NO-ROOM")

    def _save(self, tile: Tile) -> None:
        image = picture_of(tile, self._background, self._network_um)
        self._pictures.save(self._run_id, tile.sequence, image)
