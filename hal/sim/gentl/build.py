"""Compiles the producer with the machine's C compiler, once per source and machine."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from hal.errors import DeviceError

SOURCES = Path(__file__).parent / "producer"
COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-std=c11", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-pthread")
_TIMEOUT_S = 120.0


def find_compiler() -> str | None:
    """Return the path of a C compiler, the one in the variable CC first; None without one."""
    names = [name for name in (os.environ.get("CC"), *COMPILERS) if name]
    return next((path for name in names if (path := shutil.which(name))), None)


def cache_folder() -> Path:
    """Return where compiled producers are kept, in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "leukolux" / "gentl"


def build_producer(folder: Path | None = None) -> Path:
    """Return the compiled producer, from the cache when it is there.

    Args:
        folder: the cache; None takes the user's.

    Raises:
        DeviceError: there is no compiler, it fails, or the cache cannot be written.
    """
    folder = folder if folder is not None else cache_folder()
    kind = " ".join((*FLAGS, platform.machine(), *platform.libc_ver()))
    sources = b"".join(path.read_bytes() for path in sorted(SOURCES.glob("*.[ch]")))
    name = hashlib.sha256(sources + kind.encode()).hexdigest()[:16]
    library = folder / f"leukolux-{name}.cti"
    if library.is_file():
        return library
    compiler = find_compiler()
    if compiler is None:
        raise DeviceError("SIM-COMPILER")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as workplace:
            made = Path(workplace) / library.name
            _compile(compiler, made)
            # Renamed into place whole, so that two builds at once do no harm.
            made.replace(library)
    except OSError as error:
        raise DeviceError("SIM-BUILD-FOLDER", folder=folder, reason=error) from error
    return library


def _compile(compiler: str, made: Path) -> None:
    sources = sorted(str(path) for path in SOURCES.glob("*.c"))
    command = [compiler, *FLAGS, *sources, "-o", str(made), "-ldl"]
    try:
        done = subprocess.run(  # noqa: S603 (the machine's own compiler on our own source)
            command, capture_output=True, timeout=_TIMEOUT_S, check=False
        )
        said = done.stderr.decode(errors="replace").strip()
        failed = done.returncode != 0
    except subprocess.TimeoutExpired:
        said, failed = f"no end after {_TIMEOUT_S:g} s", True
    if failed:
        raise DeviceError("SIM-BUILD", compiler=compiler, said=said)
