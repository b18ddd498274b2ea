"""A tar archive of parts, of which any may fail."""

from __future__ import annotations

import io
import logging
import tarfile
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hal.errors import InputError, LeukoluxError

log = logging.getLogger(__name__)

FOLDER: Final = "leukolux-diagnosis"
LARGEST_PART_BYTES: Final = 32_000_000


@dataclass(frozen=True)
class Part:
    """One file of the archive; ``make`` is called once and may raise anything."""

    name: str
    make: Callable[[], bytes]


def write_archive(path: Path, parts: Iterable[Part]) -> list[str]:
    """Write the archive, whole or not at all; return the names of the parts that failed.

    A part that fails leaves ``NAME.failed.txt``, which says why.

    Args:
        path: of the archive, gzip-compressed; replaced when it is there.
        parts: made one after the other, in this order.

    Raises:
        InputError: the archive cannot be written.
    """
    failed: list[str] = []
    unfinished = path.with_name(path.name + ".part")
    try:
        with tarfile.open(unfinished, "w:gz") as archive:
            for part in parts:
                try:
                    name, data = part.name, part.make()
                except Exception as error:
                    log.info("%s could not be made", part.name, exc_info=True)
                    failed.append(part.name)
                    name, data = f"{part.name}.failed.txt", _why(error).encode()
                _add(archive, name, data)
        unfinished.replace(path)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise InputError("INPUT-ARCHIVE", path=path, reason=error) from error
    return failed


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    """Add a file; of one that is too large only the end, which is the newest."""
    info = tarfile.TarInfo(f"{FOLDER}/{name}")
    info.size = min(len(data), LARGEST_PART_BYTES)
    info.mtime = int(time.time())
    archive.addfile(info, io.BytesIO(data[-info.size :] if info.size else b""))


def _why(error: Exception) -> str:
    """Return what failed and where; the words only of an anticipated failure.

    The message of any other may quote a sample.
    """
    if isinstance(error, LeukoluxError | OSError):
        return f"{error}\n"
    places = traceback.extract_tb(error.__traceback__)
    lines = [f"  {Path(at.filename).name}:{at.lineno} in {at.name}" for at in places]
    return "\n".join([type(error).__name__, *lines, ""])
