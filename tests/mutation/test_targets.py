"""The lists of the mutation run stay true when modules and tests move."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def table(name: str) -> dict[str, Any]:
    return tomllib.loads((HERE / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", table("targets.toml"))
def test_module_and_tests_of_a_target_exist(name: str) -> None:
    target = table("targets.toml")[name]
    paths = [target["source"], *target["tests"]]
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", table("survivors.toml"))
def test_each_survivor_is_explained_and_of_a_line_that_is_still_there(name: str) -> None:
    source = (ROOT / table("targets.toml")[name]["source"]).read_text(encoding="utf-8")
    text = " ".join(source.split())
    for survivor in table("survivors.toml")[name]:
        assert survivor["because"]
        assert survivor["before"] in text
