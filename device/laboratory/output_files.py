"""Files that the commands of the evaluation write."""

from __future__ import annotations

from pathlib import Path

import cv2

from device.laboratory.drawing import Picture
from hal.errors import InputError


def write_picture(path: Path, picture: Picture) -> None:
    """Write a PNG, making its folder.

    Raises:
        InputError: it cannot be written.
    """
    _, png = cv2.imencode(".png", picture)
    _write(path, png.tobytes())


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8, making its folder.

    Raises:
        InputError: it cannot be written.
    """
    _write(path, text.encode("utf-8"))


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror}.",
            remedy="Name a place that can be written.",
        ) from error
