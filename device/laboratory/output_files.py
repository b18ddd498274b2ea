"""Files that the commands of the evaluation write."""

from __future__ import annotations

from pathlib import Path

from hal.errors import InputError


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8, making its folder.

    Raises:
        InputError: it cannot be written.
    """
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, making its folder.

    Raises:
        InputError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise InputError("LAB-OUTPUT-UNWRITABLE", path=path, reason=error.strerror) from error
