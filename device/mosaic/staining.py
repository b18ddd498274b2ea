"""Staining the tiles of mosaics in the background, those on the screen first."""

from __future__ import annotations

import atexit
import logging
from collections.abc import Iterable
from queue import Empty
from threading import Condition, Thread
from typing import Final

import cv2
import numpy as np

from device.analysis.staining import CellView, VirtualStain
from device.records.records import Records
from device.records.tile_pictures import STAINED_STEP
from device.system.priority import give_way
from hal.errors import LeukoluxError

log = logging.getLogger(__name__)

CLOSE_S: Final = 10.0
"""Longest wait for the tile that is being stained at the end; real seconds."""

IDLE_S: Final = 30.0
"""A thread that has had nothing to do for this long ends; real seconds."""


class MosaicStainer:
    """Stains whole tiles one after the other and keeps them small; may be called from any thread.

    What was wanted last comes first.  A tile that fails is left gray until it is wanted again.

    Args:
        records: where the pictures of the tiles are, and the cells in them.
        stain: what colours them.
    """

    def __init__(self, records: Records, stain: VirtualStain) -> None:
        self._records = records
        self._stain = stain
        self._changed = Condition()
        self._wanted: dict[tuple[int, int], None] = {}
        self._thread: Thread | None = None
        self._closed = False

    def close(self) -> None:
        """End after the tile that is being stained.  Safe to call twice."""
        with self._changed:
            self._closed = True
            self._wanted.clear()
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join(CLOSE_S)

    def want(self, run_id: int, sequences: Iterable[int]) -> None:
        """Have tiles stained that are kept; returns at once."""
        with self._changed:
            for sequence in sequences:
                self._wanted.pop((run_id, sequence), None)
                self._wanted[run_id, sequence] = None
            if self._wanted and self._thread is None and not self._closed:
                # A thread that Python ends in the middle of a network would end the program badly.
                atexit.register(self.close)
                self._thread = Thread(target=self._work, name="mosaic-stain", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _work(self) -> None:
        give_way()
        while True:
            try:
                run_id, sequence = self._next()
            except Empty:
                return
            try:
                self._stain_tile(run_id, sequence)
            except LeukoluxError as error:
                log.warning("tile %d of run %d stays gray: %s", sequence, run_id, error)
            except Exception:
                log.exception("staining tile %d of run %d", sequence, run_id)

    def _next(self) -> tuple[int, int]:
        with self._changed:
            self._changed.wait_for(lambda: self._wanted or self._closed, IDLE_S)
            if not self._wanted or self._closed:
                self._thread = None
                atexit.unregister(self.close)
                raise Empty
            return self._wanted.popitem()[0]

    def _stain_tile(self, run_id: int, sequence: int) -> None:
        tiles = self._records.tile_pictures
        data = tiles.read(run_id, sequence)
        if data is None:
            return
        gray = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        with self._records.reader() as reader:
            cells = [
                CellView(
                    cell.x_px,
                    cell.y_px,
                    reader.cell_mask(cell.id) or b"",
                    cell.kind if cell.identified else None,
                )
                for cell in reader.cells_of_tile(run_id, sequence)
            ]
        colours = self._stain.colours(np.asarray(gray, np.uint8), cells)
        size = tuple(-(-side // STAINED_STEP) for side in colours.shape[1::-1])
        small = cv2.resize(colours, size, interpolation=cv2.INTER_AREA)
        bgr = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
        tiles.save_stained(run_id, sequence, np.asarray(bgr, np.uint8))
