"""Pictures of whole tiles, kept as files next to the database, to look at a field again.

They are not part of a result: losing one loses no count.  A file that is there is the only record
that a picture was kept, so a crash between two of them leaves nothing to repair.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from device.records.failures import records_errors
from device.settings.sections import RecordsConfig

JPEG_QUALITY: Final = 90
_RESERVE: Final = 2.0
"""Pictures leave this many times the space that a run needs, so that they never stop the next."""

_SUFFIX: Final = ".jpg"
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

        The file appears whole or not at all.  It is not forced to the disk, so after a power cut
        its content may be missing, which :meth:`read` notices.
        """
        data = bytes(cv2.imencode(_SUFFIX, image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1])
        path = self._path(run_id, sequence)
        unfinished = path.with_suffix(_UNFINISHED)
        with records_errors(self._directory):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                unfinished.write_bytes(data)
                unfinished.replace(path)
            except OSError:
                with suppress(OSError):
                    unfinished.unlink()
                raise
        return len(data)

    def read(self, run_id: int, sequence: int) -> bytes | None:
        """Return the JPEG of a tile, or None if it was not kept, or not completely."""
        with records_errors(self._directory):
            try:
                data = self._path(run_id, sequence).read_bytes()
            except _ABSENT:
                return None
        return data if data.startswith(_BEGIN) and data.endswith(_END) else None

    def kept(self, run_id: int) -> frozenset[int]:
        """Return the sequence numbers of the tiles whose pictures are kept."""
        with records_errors(self._directory):
            try:
                names = [path.stem for path in self._run(run_id).iterdir() if _is_picture(path)]
            except _ABSENT:
                return frozenset()
        return frozenset(int(name) for name in names if _is_number(name))

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


def _is_picture(path: Path) -> bool:
    return path.suffix == _SUFFIX


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal()
