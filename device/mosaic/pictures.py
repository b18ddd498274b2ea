"""Pieces of mosaics on request, at any step: drawn by one thread of low priority, and kept a while.

Fine pieces are drawn from the pictures of the tiles, coarse ones from finer pieces.  Nothing but
the tiles lies on the disk, so a mosaic is there as soon as its tiles are, and goes with them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import blake2b
from threading import BoundedSemaphore, Lock
from typing import Final

import cv2
import numpy as np

from device.analysis.staining import CellView, VirtualStain
from device.mosaic.drawing import NOT_SEEN, PIECE_PX, Image, draw_piece, draw_region, piece_px
from device.mosaic.layout import MosaicLayout
from device.records.reader import RecordsReader
from device.records.record_types import RunRecord
from device.records.records import Records
from device.records.tile_pictures import SMALL_STEP, STAINED_STEP
from device.system.priority import give_way
from hal.errors import LeukoluxError
from models.layout import BLANK_LEVEL

TILES_BYTES: Final = 60_000_000
PIECES_BYTES: Final = 30_000_000
LAYOUTS: Final = 4
WAITING: Final = 6
"""Pieces that may be asked for at once, so that they never take all threads of a listener."""

CONTEXT_PX: Final = 64
"""What the network of the stain sees around a piece, so that its colours do not end there."""

_GRAY: Final = {
    1: cv2.IMREAD_GRAYSCALE,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}
_COLOURED: Final = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
"""How JPEGs are read at a part of their size."""

_COARSEST_GRAY_STEP: Final = SMALL_STEP * max(_GRAY)
_COARSEST_STAINED_STEP: Final = STAINED_STEP * max(_COLOURED)
"""Coarser pieces are made of finer ones."""

_JPEG: Final = (cv2.IMWRITE_JPEG_QUALITY, 90)
_NOTHING: Final = np.empty((0, 0), np.uint8)


class MosaicBusyError(LeukoluxError):
    """Too many wait for pieces of mosaics."""


class Look(StrEnum):
    """What a mosaic is shown in."""

    GRAY = "gray"
    STAINED = "stained"


@dataclass(frozen=True)
class Piece:
    """One piece of a mosaic, with all that decides what it shows.

    Attributes:
        run_id: of the run.
        layout: where its tiles lie.
        look: gray as taken, or stained.
        step: pixels of the canvas per pixel of the piece, a power of 2.
        column: from the left of the canvas.
        row: from its top.
        kept: tiles whose pictures are kept.
        stained: tiles that are kept stained; where they are not, coarse pieces are gray.
        cells: to be given the colours of their classes, placed on the canvas.
    """

    run_id: int
    layout: MosaicLayout
    look: Look
    step: int
    column: int
    row: int
    kept: frozenset[int]
    stained: frozenset[int] = frozenset()
    cells: tuple[CellView, ...] = ()

    @property
    def rectangle_px(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom on the canvas; empty outside of it."""
        return piece_px(self.layout, self.step, self.column, self.row)

    @property
    def tag(self) -> str:
        """Name for what the piece shows: another one for any change."""
        shown = self.layout.within(*self.rectangle_px)
        sequences = self.layout.sequences[shown].tolist()
        digest = blake2b(digest_size=16)
        for part in (
            (self.run_id, self.look, self.step, self.column, self.row),
            sequences,
            self.layout.corners_px[shown].tolist(),
            [sequence in self.kept for sequence in sequences],
            [sequence in self.stained for sequence in sequences],
            [(cell.x_px, cell.y_px, cell.kind) for cell in self.cells],
        ):
            digest.update(f"{part}|".encode())
        for cell in self.cells:
            digest.update(cell.mask_png)
        return digest.hexdigest()

    def finer(self) -> Sequence[tuple[int, int, Piece]]:
        """Return the pieces at half the step that show something of it, with their places in it."""
        _, _, right, bottom = self.rectangle_px
        parts = []
        for down in (0, 1):
            for across in (0, 1):
                part = replace(
                    self,
                    step=self.step // 2,
                    column=2 * self.column + across,
                    row=2 * self.row + down,
                )
                left, top, *_ = part.rectangle_px
                if left < right and top < bottom and len(self.layout.within(*part.rectangle_px)):
                    parts.append((down, across, part))
        return parts


class MosaicPictures:
    """Draws pieces of the mosaics of any run; methods may be called from any thread.

    Args:
        records: where the pictures of the tiles are.
        stain: what colours them.
    """

    def __init__(self, records: Records, stain: VirtualStain) -> None:
        self._records = records
        self._stain = stain
        self._layouts: OrderedDict[int, tuple[tuple[int, float], MosaicLayout]] = OrderedDict()
        self._lock = Lock()
        self._read = _Cache(TILES_BYTES)
        self._drawn = _Cache(PIECES_BYTES)
        self._places = BoundedSemaphore(WAITING)
        self._thread = ThreadPoolExecutor(1, "mosaic", initializer=give_way)

    def layout(self, reader: RecordsReader, run: RunRecord) -> MosaicLayout:
        """Return where the tiles of a run lie now.  Raises RecordsError."""
        revision = reader.mosaic_revision(run.id)
        with self._lock:
            known = self._layouts.get(run.id)
            if known is not None and known[0] == revision:
                return known[1]
        layout = MosaicLayout.of(run, reader.every_tile(run.id))
        with self._lock:
            self._layouts[run.id] = (revision, layout)
            self._layouts.move_to_end(run.id)
            while len(self._layouts) > LAYOUTS:
                self._layouts.popitem(last=False)
        return layout

    def jpeg(self, piece: Piece) -> bytes:
        """Return a piece as JPEG.

        Raises:
            MosaicBusyError: too many wait for their pieces already.
            RecordsError: the disk fails.
            ModelError: the network of the stain is missing or damaged.
            StainBusyError: it took too long to get a turn.
        """
        if not self._places.acquire(blocking=False):
            raise MosaicBusyError("MOSAIC-BUSY", limit=WAITING)
        try:
            image = self._thread.submit(self._image, piece).result()
        finally:
            self._places.release()
        if piece.look is Look.STAINED:
            image = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), np.uint8)
        return bytes(cv2.imencode(".jpg", image, _JPEG)[1])

    def _image(self, piece: Piece) -> Image:
        return self._drawn.get(piece.tag, lambda: self._draw(piece))

    def _draw(self, piece: Piece) -> Image:
        layout, step = piece.layout, piece.step
        if piece.look is Look.GRAY and step <= _COARSEST_GRAY_STEP:
            return draw_piece(
                layout, step, piece.column, piece.row, lambda n, step: self._gray(piece, n, step)
            )
        if piece.look is Look.STAINED and step == 1:
            return self._coloured(piece)
        if piece.look is Look.STAINED and STAINED_STEP <= step <= _COARSEST_STAINED_STEP:
            return draw_piece(
                layout,
                step,
                piece.column,
                piece.row,
                lambda n, step: self._stained(piece, n, step),
                3,
            )
        return self._halved(piece)

    def _halved(self, piece: Piece) -> Image:
        """Draw a piece from finer ones."""
        left, top, right, bottom = piece.rectangle_px
        width, height = -(-(right - left) // piece.step), -(-(bottom - top) // piece.step)
        shape = (2 * height, 2 * width) + ((3,) if piece.look is Look.STAINED else ())
        finer = np.full(shape, NOT_SEEN, np.uint8)
        for down, across, part in piece.finer():
            shown = self._image(part)
            y, x = down * PIECE_PX, across * PIECE_PX
            finer[y : y + shown.shape[0], x : x + shown.shape[1]] = shown
        half = cv2.resize(finer, (width, height), interpolation=cv2.INTER_AREA)
        return np.asarray(half, np.uint8)

    def _coloured(self, piece: Piece) -> Image:
        """Stain a piece at full size, with what lies around it."""
        left, top, right, bottom = piece.rectangle_px
        around = (
            max(0, left - CONTEXT_PX),
            max(0, top - CONTEXT_PX),
            min(piece.layout.width_px, right + CONTEXT_PX),
            min(piece.layout.height_px, bottom + CONTEXT_PX),
        )
        gray, seen = draw_region(piece.layout, 1, around, lambda n, s: self._gray(piece, n, s), 1)
        gray[~seen] = BLANK_LEVEL
        cells = [
            replace(cell, x_px=cell.x_px - around[0], y_px=cell.y_px - around[1])
            for cell in piece.cells
            if around[0] <= cell.x_px < around[2] and around[1] <= cell.y_px < around[3]
        ]
        colours = self._stain.colours(gray[:, :, 0], cells)
        colours[~seen] = NOT_SEEN
        x, y = left - around[0], top - around[1]
        return np.ascontiguousarray(colours[y : y + bottom - top, x : x + right - left])

    def _stained(self, piece: Piece, sequence: int, step: int) -> Image | None:
        """Return a stained tile, gray if it is not stained yet."""
        if sequence in piece.stained:
            picture = self._read.get(
                f"{piece.run_id}|{sequence}|{step}|stained",
                lambda: _decoded(
                    self._records.tile_pictures.read_stained(piece.run_id, sequence),
                    _COLOURED[step // STAINED_STEP],
                ),
            )
            if picture.size:
                return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
        gray = self._gray(piece, sequence, step)
        return None if gray is None else np.repeat(gray[:, :, None], 3, axis=2)

    def _gray(self, piece: Piece, sequence: int, step: int) -> Image | None:
        if sequence not in piece.kept:
            return None
        picture = self._read.get(
            f"{piece.run_id}|{sequence}|{step}", lambda: self._tile(piece.run_id, sequence, step)
        )
        return picture if picture.size else None

    def _tile(self, run_id: int, sequence: int, step: int) -> Image:
        tiles = self._records.tile_pictures
        if step < SMALL_STEP:
            return _decoded(tiles.read(run_id, sequence), _GRAY[step])
        small = tiles.read_small(run_id, sequence)
        if small is None:  # a run of a former version
            whole = _decoded(tiles.read(run_id, sequence), _GRAY[SMALL_STEP])
            size = tuple(-(-side * SMALL_STEP // step) for side in whole.shape[::-1])
            return np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA), np.uint8)
        return _decoded(small, _GRAY[step // SMALL_STEP])


def _decoded(data: bytes | None, flag: int) -> Image:
    """Return a picture, without pixels if it cannot be read."""
    image = None if data is None else cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    return _NOTHING if image is None else np.asarray(image, np.uint8)


class _Cache:
    """The images used last, up to a number of bytes; used by one thread."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._images: OrderedDict[str, Image] = OrderedDict()
        self._taken_bytes = 0

    def get(self, key: str, make: Callable[[], Image]) -> Image:
        if key in self._images:
            self._images.move_to_end(key)
            return self._images[key]
        image = make()
        self._images[key] = image
        self._taken_bytes += image.nbytes
        while self._taken_bytes > self._limit_bytes:
            self._taken_bytes -= self._images.popitem(last=False)[1].nbytes
        return image
