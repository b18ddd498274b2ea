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
    """A camera as its producer presents it; what the producer does not report is empty."""

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
        CameraError: no producer was found.
    """
    if configured:
        path = Path(configured).expanduser().absolute()
        if not path.is_file():
            raise CameraError("CAMERA-PRODUCER", path=path)
        return [path]
    folders = [
        Path(part) for part in environment.get(PRODUCER_PATH_VARIABLE, "").split(":") if part
    ]
    found = [path for folder in folders for path in sorted(folder.glob("*.cti"))]
    if not found:
        if not folders:
            raise CameraError("CAMERA-PRODUCER-UNSET", variable=PRODUCER_PATH_VARIABLE)
        raise CameraError(
            "CAMERA-PRODUCER-FOLDERS",
            variable=PRODUCER_PATH_VARIABLE,
            folders=environment[PRODUCER_PATH_VARIABLE],
        )
    return found


def choose_camera(found: Sequence[FoundCamera], serial: str) -> int:
    """Return the index of the camera with ``serial``, or of the only one if it is empty.

    Raises:
        CameraError: no camera was found, or more than one.
    """
    if not found:
        raise CameraError("CAMERA-NONE")
    there = ", ".join(f"{camera.model} {camera.serial}" for camera in found)
    matching = [i for i, camera in enumerate(found) if serial in ("", camera.serial)]
    if not matching:
        raise CameraError("CAMERA-NOT-FOUND", serial=serial, connected=there)
    if len(matching) > 1:
        raise CameraError("CAMERA-AMBIGUOUS", number=len(matching), connected=there)
    return matching[0]
