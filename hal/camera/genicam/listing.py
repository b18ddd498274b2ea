"""The features of a camera for people: value, unit, range and access of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hal.camera.genicam.binding import Binding, first_words

_ACCESS = {0: "missing", 1: "not now", 2: "write", 3: "read", 4: "read, write"}
_READ_WRITE = 4


@dataclass(frozen=True)
class FeatureInfo:
    """One feature as the camera presents it.

    Attributes:
        kind: ``number``, ``whole number``, ``choice``, ``switch``, ``command`` or ``text``.
        value: as text; empty for a command and for what cannot be read now.
        low: least value of a number that can be set, as text.
        high: largest value of it.
        step: between its values, for whole numbers.
        choices: of a choice.
        access: ``read``, ``write``, ``read, write``, ``not now`` or ``missing``.
    """

    category: str
    name: str
    kind: str
    value: str
    unit: str
    low: str
    high: str
    step: str
    choices: tuple[str, ...]
    access: str


def read_features(binding: Binding, node_map: Any) -> list[FeatureInfo]:
    """Return all features below the root of ``node_map``, in the camera's order."""
    with binding.translated("Reading the features"):
        return list(_below(binding, node_map.Root, ""))


def _below(binding: Binding, category: Any, path: str) -> Iterator[FeatureInfo]:
    for feature in category.features:
        if isinstance(feature, binding.genapi.ICategory):
            yield from _below(binding, feature, str(feature.node.name))
        else:
            yield _described(binding, feature, path)


def _described(binding: Binding, feature: Any, category: str) -> FeatureInfo:
    genapi = binding.genapi
    mode = int(feature.get_access_mode())
    readable, problem = mode in (3, 4), ""
    facts = {"value": "", "unit": "", "low": "", "high": "", "step": ""}
    choices: tuple[str, ...] = ()
    kind = "text"
    try:
        if isinstance(feature, genapi.IEnumeration):
            kind = "choice"
            choices = tuple(map(str, feature.symbolics)) if mode > 1 else ()
        elif isinstance(feature, genapi.ICommand):
            kind, readable = "command", False
        elif isinstance(feature, genapi.IBoolean):
            kind = "switch"
        elif isinstance(feature, genapi.IInteger | genapi.IFloat):
            kind = "whole number" if isinstance(feature, genapi.IInteger) else "number"
            if readable:
                facts.update(unit=str(feature.unit))
            # What cannot be set has no range worth the name.
            if mode == _READ_WRITE:
                facts.update(low=f"{feature.min:g}", high=f"{feature.max:g}")
                if kind == "whole number":
                    facts.update(low=str(feature.min), high=str(feature.max))
                    facts.update(step=str(feature.inc))
        if readable:
            facts["value"] = str(feature.to_string())
    except binding.failures as error:
        # One feature that cannot be read must not hide the others.
        problem = f" ({first_words(error)})"
    name = str(feature.node.name)
    access = _ACCESS.get(mode, "unknown") + problem
    return FeatureInfo(category, name, kind, **facts, choices=choices, access=access)
