"""The text of the screen: one catalogue per language, looked up by dotted key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

LANGUAGE: Final = "en"


@cache
def catalogue(language: str = LANGUAGE) -> Mapping[str, str]:
    """Return all texts of ``language`` by dotted key, e.g. ``home.start``."""
    source = files("webui").joinpath("text", f"{language}.json")
    return dict(_flatten("", json.loads(source.read_text(encoding="utf-8"))))


def text(key: str, **values: object) -> str:
    """Return the text ``key`` with ``{name}`` replaced by ``values``.

    Raises:
        KeyError: the catalogue has no such key, or the text names a value that is not given.
    """
    return catalogue()[key].format(**values)


def label(group: str, name: str) -> str:
    """Return the text ``group.name``, or ``name`` itself for one the catalogue does not know.

    Labels of values from the database: an old or newer record must still be readable.
    """
    return catalogue().get(f"{group}.{name}", name.replace("_", " ").capitalize())


def duration(seconds: float) -> str:
    """Return ``seconds`` as a person reads it: ``43 s``, ``2 min 5 s``, ``1 h 12 min``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return text("time.seconds", s=whole)
    if whole < 3600:
        return text("time.minutes", min=whole // 60, s=whole % 60)
    return text("time.hours", h=whole // 3600, min=whole % 3600 // 60)


def _flatten(prefix: str, node: Mapping[str, Any]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for name, value in node.items():
        key = f"{prefix}{name}"
        pairs += _flatten(f"{key}.", value) if isinstance(value, Mapping) else [(key, value)]
    return pairs
