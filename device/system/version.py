"""The version of the software, as every result carries it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata


def version() -> str:
    """Return the version of the installed package."""
    return metadata.version("leukolux")


def versions_with(networks: Mapping[str, str]) -> dict[str, str]:
    """Return what a result says about its origin: ``software``, and the networks by name."""
    return {"software": version(), **networks}
