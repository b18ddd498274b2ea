"""The manifest: what the network files are, how to use them, and what they were measured to do."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from models.cell_kind import CellKind, kinds_named
from models.errors import ModelError

MANIFEST_NAME = "manifest.json"
FORMAT = 1


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Score(_Entry):
    """One measured figure, INT8 as shipped, on samples no training saw.

    Attributes:
        value: the figure.
        n: number of cells, fields or other units it rests on.
        low: lower end of the exact 95 % interval (Clopper-Pearson), for shares.
        high: upper end.
    """

    value: float
    n: int = Field(ge=0)
    low: float | None = None
    high: float | None = None


class FileEntry(_Entry):
    """One file in the folder of the manifest.

    Attributes:
        file: name inside the folder of the manifest.
        sha256: of the file, hexadecimal.
    """

    file: str = Field(pattern=r"^[\w.-]+$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class NetworkEntry(FileEntry):
    """One network file.

    Attributes:
        dtype: of the input tensor.
        input_layout: in words and axes.
        block_px: side of the blocks folded into channels.
        crop_px: side of the input image; None when any size is taken.
        parameters: thresholds, temperature and the like, by name.
        training_data: what it was trained on, in words.
        scores: what it reached, by name.
        symmetric: the same network with symmetric INT8, all zero points 0, for TensorRT.
    """

    file: str = Field(pattern=r"^[\w.-]+\.onnx$")
    dtype: Literal["uint8"] = "uint8"
    input_layout: str
    block_px: Literal[2, 4, 8]
    crop_px: int | None = Field(default=None, gt=0)
    parameters: dict[str, float]
    training_data: str
    scores: dict[str, Score]
    symmetric: FileEntry | None = None


def _kinds(value: object) -> object:
    """Map a list of names to kinds; pydantic says what is wrong with anything else."""
    if isinstance(value, list | tuple) and all(isinstance(name, str) for name in value):
        return kinds_named(value)
    return value


class Manifest(_Entry):
    """All networks that belong together.

    Attributes:
        format: version of this file's layout.
        created: ISO date.
        versions: of the software that made the networks, by name.
        pixel_um: size of a pixel the networks expect.
        blank_level: gray value of blank glass.
        classes: of the classifier's outputs, in their order; each kind once.
        networks: by name.
        known_answers: inputs and what the networks made of them when they were made.
    """

    format: Literal[1] = 1
    created: str
    versions: dict[str, str]
    pixel_um: float = Field(gt=0)
    blank_level: int = Field(gt=0, le=255)
    classes: Annotated[tuple[CellKind, ...], BeforeValidator(_kinds)]
    networks: Mapping[str, NetworkEntry]
    known_answers: FileEntry | None = None


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal.

    Raises:
        ModelError: the file cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError("MODEL-FILE-UNREADABLE", file=path.name, reason=error.strerror) from error


def read_manifest(directory: Path) -> Manifest:
    """Read the manifest of a folder.

    Raises:
        ModelError: it is missing, damaged or of an unknown format, or its classes are not the
            known kinds.
    """
    path = directory / MANIFEST_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ModelError("MODEL-MANIFEST-UNREADABLE", path=path, reason=error.strerror) from error
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "file"
        raise ModelError(
            "MODEL-MANIFEST-INVALID", format=FORMAT, place=where, problem=first["msg"]
        ) from error


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write the manifest of a folder, replacing an older one."""
    text = manifest.model_dump_json(indent=2) + "\n"
    (directory / MANIFEST_NAME).write_text(text, encoding="utf-8")


def verified_file(directory: Path, entry: FileEntry) -> Path:
    """Return the path of a file after checking its hash.

    Raises:
        ModelError: the file is missing or its hash differs from the manifest.
    """
    path = directory / entry.file
    found = sha256_of(path)
    if found != entry.sha256:
        raise ModelError(
            "MODEL-HASH", file=entry.file, found=found[:12], expected=entry.sha256[:12]
        )
    return path
