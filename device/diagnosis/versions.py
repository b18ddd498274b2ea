"""Which software runs on what."""

from __future__ import annotations

import platform
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import models
from device.system.version import version
from models.manifest import MANIFEST_NAME, sha256_of

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_BOARD_FILES = ("proc/device-tree/model", "sys/class/dmi/id/product_name")


def versions(root: Path = Path("/")) -> dict[str, Any]:
    """Return the versions of program, Python, libraries, networks, system and board.

    Args:
        root: of the file system that is looked at.
    """
    return {
        "leukolux": version(),
        "python": sys.version,
        "libraries": _libraries(),
        "networks": _networks(Path(models.__file__).parent),
        "system": _os_name(root),
        "kernel": f"{platform.system()} {platform.release()} {platform.version()}",
        "machine": platform.machine(),
        "board": _board(root),
    }


def _libraries() -> dict[str, str | None]:
    """Return the version of everything the software can use; None for what is not installed."""
    found: dict[str, str | None] = {}
    for requirement in metadata.requires("leukolux") or []:
        name = _NAME.match(requirement)
        if name is not None:
            try:
                found[name[0]] = metadata.version(name[0])
            except metadata.PackageNotFoundError:
                found[name[0]] = None
    return dict(sorted(found.items()))


def _networks(folder: Path) -> list[dict[str, Any]]:
    """Return every network file with its hash and whether the manifest knows it."""
    try:
        manifest = (folder / MANIFEST_NAME).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        manifest = ""
    return [
        {"file": path.name, "sha256": (digest := sha256_of(path)), "as_shipped": digest in manifest}
        for path in sorted(folder.glob("*.onnx"))
    ]


def _os_name(root: Path) -> str | None:
    try:
        text = (root / "etc/os-release").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r'^PRETTY_NAME="?([^"\n]*)', text, re.MULTILINE)
    return found[1] if found else None


def _board(root: Path) -> str | None:
    for name in _BOARD_FILES:
        path = root / name
        if path.is_file():
            return path.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    return None
