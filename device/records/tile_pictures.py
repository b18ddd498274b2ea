"""Pictures of whole tiles, kept as files next to the database, to look at a field again.

They are not part of a result: losing one loses no count.  A file that is there is the only record
that a picture was kept, so a crash between two of them leaves nothing to repair.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from device.records.failures import records_errors
from device.settings.sections import RecordsConfig

JPEG_QUALITY: Final = 90
SMALL_STEP: Final = 8
"""Pixels of a tile per pixel of its small picture."""

STAINED_STEP: Final = 4
"""The same of its stained picture."""

_RESERVE: Final = 2.0
"""Pictures leave this many times the space that a run needs, so that they never stop the next."""

_SUFFIX: Final = ".jpg"
_SMALL: Final = ".small.jpg"
_STAINED: Final = ".stained.jpg"
_UNFINISHED: Final = ".part"
# The markers that every JPEG begins and ends with.
_BEGIN: Final = b"\xff\xd8"
_END: Final = b"\xff\xd9"
_ABSENT: Final = (FileNotFoundError, NotADirectoryError)


class TilePictures:
    """One folder per run, one JPEG per tile; methods may be called from any thread.

    Every method raises RecordsError if the disk fails.

    Args:
        directory: of all runs; made when the first picture is kept.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def highest_run(self) -> int:
        """Return the highest run number that has a folder of pictures, 0 if no run has one."""
        with records_errors(self._directory):
            try:
                names = [folder.name for folder in self._directory.iterdir()]
            except _ABSENT:
                return 0
        return max((int(name) for name in names if _is_number(name)), default=0)

    def save(self, run_id: int, sequence: int, image: NDArray[np.uint8]) -> int:
        """Keep one normalised tile, uint8 (height, width); return the bytes it takes.

        It is kept small, too, for looks at the whole mosaic.  Each file appears whole or not at
        all.  They are not forced to the disk, so after a power cut their content may be missing,
        which :meth:`read` notices.
        """
        height, width = (max(1, -(-side // SMALL_STEP)) for side in image.shape)
        small = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))
        path = self._path(run_id, sequence)
        with records_errors(self._directory):
            path.parent.mkdir(parents=True, exist_ok=True)
            return _write(path.with_suffix(_SMALL), small) + _write(path, image)

    def read(self, run_id: int, sequence: int) -> bytes | None:
        """Return the JPEG of a tile, or None if it was not kept, or not completely."""
        return self._read(self._path(run_id, sequence))

    def read_small(self, run_id: int, sequence: int) -> bytes | None:
        """Return the JPEG of a tile at an eighth of its size, or None as :meth:`read`."""
        return self._read(self._path(run_id, sequence).with_suffix(_SMALL))

    def save_stained(self, run_id: int, sequence: int, image: NDArray[np.uint8]) -> None:
        """Keep a tile stained and reduced, uint8 (h, w, 3), BGR, if it is kept gray."""
        path = self._path(run_id, sequence)
        with records_errors(self._directory):
            if path.exists():
                _write(path.with_suffix(_STAINED), image)

    def read_stained(self, run_id: int, sequence: int) -> bytes | None:
        """Return the JPEG of a stained tile, or None as :meth:`read`."""
        return self._read(self._path(run_id, sequence).with_suffix(_STAINED))

    def stained(self, run_id: int) -> frozenset[int]:
        """Return the sequence numbers of the tiles that are kept stained."""
        return self._numbers(run_id, _STAINED)

    def kept(self, run_id: int) -> frozenset[int]:
        """Return the sequence numbers of the tiles whose pictures are kept."""
        return self._numbers(run_id, _SUFFIX)

    def make_room(self, config: RecordsConfig, *, spare: int | None = None) -> bool:
        """Delete the pictures of the oldest runs until the limits hold; return whether they do.

        Args:
            config: ``tiles_max_mb`` for all pictures, and twice ``min_free_mb`` to stay free.
            spare: run whose pictures stay.
        """
        with records_errors(self._directory):
            sizes = self._sizes()
            oldest_first = [run_id for run_id in sorted(sizes) if run_id != spare]
            while not self._fits(sum(sizes.values()), config):
                if not oldest_first:
                    return False
                run_id = oldest_first.pop(0)
                shutil.rmtree(self._run(run_id))
                del sizes[run_id]
        return True

    def _numbers(self, run_id: int, suffix: str) -> frozenset[int]:
        with records_errors(self._directory):
            try:
                names = [path.name for path in self._run(run_id).iterdir()]
            except _ABSENT:
                return frozenset()
        numbers = (name.removesuffix(suffix) for name in names if name.endswith(suffix))
        return frozenset(int(number) for number in numbers if _is_number(number))

    def _read(self, path: Path) -> bytes | None:
        with records_errors(self._directory):
            try:
                data = path.read_bytes()
            except _ABSENT:
                return None
        return data if data.startswith(_BEGIN) and data.endswith(_END) else None

    def _fits(self, taken_bytes: int, config: RecordsConfig) -> bool:
        free_bytes = shutil.disk_usage(_existing(self._directory)).free
        enough_free = free_bytes >= _RESERVE * config.min_free_mb * 1e6
        return enough_free and taken_bytes <= config.tiles_max_mb * 1e6

    def _sizes(self) -> dict[int, int]:
        """Return the bytes that the pictures of each run take."""
        if not self._directory.is_dir():
            return {}
        return {
            int(folder.name): sum(path.stat().st_size for path in folder.iterdir())
            for folder in self._directory.iterdir()
            if _is_number(folder.name)
        }

    def _run(self, run_id: int) -> Path:
        return self._directory / str(run_id)

    def _path(self, run_id: int, sequence: int) -> Path:
        return self._run(run_id) / f"{sequence:06d}{_SUFFIX}"


def _write(path: Path, image: NDArray[Any]) -> int:
    data = bytes(cv2.imencode(_SUFFIX, image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1])
    unfinished = path.with_suffix(_UNFINISHED)
    try:
        unfinished.write_bytes(data)
        unfinished.replace(path)
    except OSError:
        with suppress(OSError):
            unfinished.unlink()
        raise
    return len(data)


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal()
