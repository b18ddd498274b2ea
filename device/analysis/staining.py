"""Virtual stain on demand: one picture at a time, apart from the counting and never part of it."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from threading import Lock
from typing import Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from device.analysis.candidates import corner
from device.results.cell import THUMBNAIL_PX
from hal.errors import LeukoluxError
from models.stainer import load_stainer, retint

Image = NDArray[np.uint8]

BUSY_S: Final = 10.0
CACHE_BYTES: Final = 32_000_000
JPEG_QUALITY: Final = 92


class StainBusyError(LeukoluxError):
    """Others wait for stained pictures already."""

    def __init__(self) -> None:
        super().__init__("STAIN-BUSY", waited_s=BUSY_S)


class Colours(Protocol):
    """What gives a gray picture its colours, as :class:`models.stainer.Stainer`."""

    def stain(self, image: Image, *, wide_field: bool = False) -> Image:
        """Return uint8 (h, w, 3) RGB of uint8 (h, w) normalised gray."""


@dataclass(frozen=True)
class CellView:
    """A cell to be re-tinted where its class is known.

    Attributes:
        x_px: its centre in the picture.
        y_px: its centre in the picture.
        mask_png: its mask as the records hold it, THUMBNAIL_PX on a side around the centre.
        kind: name of its class; None when not identified.
    """

    x_px: float
    y_px: float
    mask_png: bytes
    kind: str | None


class VirtualStain:
    """Stains pictures; the network is opened for the first one.  Methods may be called at once.

    Args:
        load: opens the network.
    """

    def __init__(self, load: Callable[[], Colours] = load_stainer) -> None:
        self._load = load
        self._colours: Colours | None = None
        self._one_at_a_time = Lock()
        self._made = _Cache(CACHE_BYTES)
        # Networks change only between two starts, so tags need not outlive this one.
        self._salt = os.urandom(8)

    def problem(self) -> LeukoluxError | None:
        """Return why nothing can be stained, or None when it can."""
        try:
            with self._turn():
                self._opened()
        except LeukoluxError as error:
            return error
        return None

    def tag(self, gray: bytes, cells: Sequence[CellView]) -> str:
        """Return a name for the stained picture of these inputs: another one for any change."""
        digest = blake2b(gray, digest_size=16, key=self._salt)
        for cell in cells:
            digest.update(f"|{cell.x_px}|{cell.y_px}|{cell.kind}|".encode())
            digest.update(cell.mask_png)
        return digest.hexdigest()

    def cell_png(self, gray_png: bytes, cell: CellView) -> bytes:
        """Return the stained thumbnail of one cell.

        Raises:
            ModelError: the network is missing or damaged.
            StainBusyError: it took too long to get a turn.
        """
        key = self.tag(gray_png, [cell])
        return self._make(key, lambda: _png(self._stained(gray_png, [cell], wide_field=False)))

    def tile_jpeg(self, gray_jpeg: bytes, cells: Sequence[CellView]) -> bytes:
        """Return a whole tile stained, its ``cells`` in the colours of their classes.

        Raises: as :meth:`cell_png`.
        """
        key = self.tag(gray_jpeg, cells)
        return self._make(key, lambda: jpeg(self._stained(gray_jpeg, cells, wide_field=True)))

    def colours(self, gray: Image, cells: Sequence[CellView]) -> Image:
        """Return a part of a field stained, uint8 (h, w, 3) RGB, its ``cells`` as their classes.

        Raises: as :meth:`cell_png`.
        """
        with self._turn():
            return self._coloured(gray, cells, wide_field=True)

    def _make(self, key: str, make: Callable[[], bytes]) -> bytes:
        if (found := self._made.get(key)) is not None:
            return found
        with self._turn():
            # Whoever had the turn before may have made this one.
            made = self._made.get(key)
            if made is None:
                made = make()
                self._made.put(key, made)
            return made

    def _turn(self) -> _Turn:
        return _Turn(self._one_at_a_time)

    def _opened(self) -> Colours:
        if self._colours is None:
            self._colours = self._load()
        return self._colours

    def _stained(self, gray: bytes, cells: Sequence[CellView], *, wide_field: bool) -> Image:
        return self._coloured(_gray(gray), cells, wide_field=wide_field)

    def _coloured(self, gray: Image, cells: Sequence[CellView], *, wide_field: bool) -> Image:
        rgb = self._opened().stain(gray, wide_field=wide_field)
        for cell in cells:
            if cell.kind is not None:
                _give_colours(rgb, cell, cell.kind)
        return rgb


class _Turn:
    """A lock that is not waited for longer than a person waits for a page."""

    def __init__(self, lock: Lock) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=BUSY_S):
            raise StainBusyError

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class _Cache:
    """The pictures used last, up to a number of bytes."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._lock = Lock()
        self._pictures: OrderedDict[str, bytes] = OrderedDict()
        self._taken_bytes = 0

    def get(self, key: str) -> bytes | None:
        with self._lock:
            if key in self._pictures:
                self._pictures.move_to_end(key)
            return self._pictures.get(key)

    def put(self, key: str, picture: bytes) -> None:
        with self._lock:
            self._pictures[key] = picture
            self._taken_bytes += len(picture)
            while self._taken_bytes > self._limit_bytes:
                self._taken_bytes -= len(self._pictures.popitem(last=False)[1])


def _give_colours(rgb: Image, cell: CellView, kind: str) -> None:
    """Re-tint one cell in place; its mask may reach beyond the picture."""
    mask = _gray(cell.mask_png)
    x0, y0 = corner(cell.x_px, THUMBNAIL_PX), corner(cell.y_px, THUMBNAIL_PX)
    left, right = max(0, x0), min(rgb.shape[1], x0 + THUMBNAIL_PX)
    top, bottom = max(0, y0), min(rgb.shape[0], y0 + THUMBNAIL_PX)
    inside = mask[top - y0 : bottom - y0, left - x0 : right - x0]
    rgb[top:bottom, left:right] = retint(rgb[top:bottom, left:right], inside, kind)


def _gray(encoded: bytes) -> Image:
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise ValueError("not a picture")
    return np.asarray(image, np.uint8)


def _png(rgb: Image) -> bytes:
    return bytes(cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1])


def jpeg(rgb: Image) -> bytes:
    """Return uint8 (h, w, 3) RGB as JPEG."""
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1])
