"""What records leave next to their database, so that a lost one does not pass for a first start."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from device.records.tile_pictures import TilePictures

PICTURES_FOLDER: Final = "tiles"
RECORDER_FOLDER: Final = "recorder"
HISTORY_NAME: Final = "history.json"
_HIGHEST: Final = "highest_run"


class Traces:
    """The history file, pictures of tiles and recordings of one folder of records.

    The history file holds the highest run number ever given; it changes with every new run.

    Args:
        database: file of the records.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._pictures = TilePictures(database.parent / PICTURES_FOLDER)
        self._file = database.parent / HISTORY_NAME

    def found(self) -> list[str]:
        """Return what shows that there were records, for a person."""
        return list(self._found())

    def highest_run(self) -> int:
        """Return the highest run number that the history file or the pictures show."""
        return max(self._pictures.highest_run(), self._noted())

    def note_run(self, run_id: int) -> None:
        """Keep ``run_id`` as a number that is used, durably.  Raises OSError."""
        if self._file.exists() and run_id <= self._noted():
            return
        unfinished = self._file.with_suffix(f".{os.getpid()}.part")
        with unfinished.open("w", encoding="ascii") as file:
            file.write(json.dumps({_HIGHEST: run_id}) + "\n")
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self._file)
        sync_folder(self._file.parent)

    def _noted(self) -> int:
        try:
            return int(json.loads(self._file.read_bytes())[_HIGHEST])
        except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
            return 0  # a spoiled file still shows that there were records

    def _found(self) -> Iterator[str]:
        folder = self._database.parent
        if self._pictures.highest_run():
            yield "pictures of runs"
        if any((folder / RECORDER_FOLDER).glob("*.jsonl")):
            yield "recordings"
        if self._file.exists():
            yield f"the file {HISTORY_NAME} of former records"
        log = self._database.with_name(f"{self._database.name}-wal")
        if is_blank(self._database) and not is_blank(log):
            yield "the write-ahead log of a former database"


def is_blank(path: Path) -> bool:
    """Return whether a file is missing or without content."""
    return not path.exists() or path.stat().st_size == 0


def sync_folder(folder: Path) -> None:
    """Make the names of the files in ``folder`` durable.  Raises OSError."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
