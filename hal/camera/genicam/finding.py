"""Which GenTL producers are installed, and which camera of theirs is meant."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hal.errors import CameraError

PRODUCER_PATH_VARIABLE = "GENICAM_GENTL64_PATH"


@dataclass(frozen=True)
class FoundCamera:
    """A camera as its producer presents it; what the producer does not tell is empty."""

    serial: str
    vendor: str
    model: str
    name: str
    version: str
    producer: str
    access: str


def find_producers(configured: str, environment: Mapping[str, str] = os.environ) -> list[Path]:
    """Return the producers to ask: the configured one, else those of GENICAM_GENTL64_PATH.

    Args:
        configured: a .cti file, or empty.
        environment: variables of the process.

    Raises:
        CameraError: there is none.
    """
    if configured:
        path = Path(configured).expanduser().absolute()
        if not path.is_file():
            raise CameraError(
                f"There is no GenTL producer at {path}.",
                remedy="Set camera.producer to the .cti file of the camera's maker, in the folder "
                "where it was installed.",
                code="CAMERA-PRODUCER",
            )
        return [path]
    folders = [
        Path(part) for part in environment.get(PRODUCER_PATH_VARIABLE, "").split(":") if part
    ]
    found = [path for folder in folders for path in sorted(folder.glob("*.cti"))]
    if not found:
        where = (
            f"lists no .cti file: {environment[PRODUCER_PATH_VARIABLE]!r}"
            if folders
            else "is not set"
        )
        raise CameraError(
            f"No GenTL producer is known: camera.producer is empty and {PRODUCER_PATH_VARIABLE} "
            f"{where}.",
            remedy="Install the software of the camera's maker, or set camera.producer to its "
            ".cti file.",
            code="CAMERA-PRODUCER",
        )
    return found


def choose_camera(found: Sequence[FoundCamera], serial: str) -> int:
    """Return the index of the camera with ``serial``, or of the only one when it is empty.

    Raises:
        CameraError: there is none, or more than one.
    """
    there = ", ".join(f"{camera.model} {camera.serial}" for camera in found) or "none"
    matching = [i for i, camera in enumerate(found) if serial in ("", camera.serial)]
    if not matching:
        asked = f"No camera has the serial number {serial}" if serial else "There is no camera"
        raise CameraError(
            f"{asked}; connected: {there}.",
            remedy="Check the camera's cable and power and camera.serial; `leukolux camera list` "
            "shows what is there.",
            code="CAMERA-NOT-FOUND",
        )
    if len(matching) > 1:
        raise CameraError(
            f"There are {len(matching)} cameras to choose from: {there}.",
            remedy="Set camera.serial to the serial number of the one to use.",
            code="CAMERA-AMBIGUOUS",
        )
    return matching[0]
