"""The version of the software, as every result carries it."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    """Return the version of the installed package."""
    return metadata.version("leukolux")
