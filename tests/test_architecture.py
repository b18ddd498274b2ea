"""The architecture: imports go one way, and modules and folders stay small."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).resolve().parent.parent
MODULES = [
    path.relative_to(ROOT)
    for package in ("device", "hal", "models", "webui")
    for path in sorted((ROOT / package).rglob("*.py"))
]
MAX_LINES = 400
MAX_MODULES = 15


def test_the_import_contracts_of_the_project_hold(capsys: pytest.CaptureFixture[str]) -> None:
    broken = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    said = capsys.readouterr().out
    assert "KEPT" in said
    assert not broken, said


def test_modules_stay_small() -> None:
    lines = {path: len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {str(path): count for path, count in lines.items() if count > MAX_LINES} == {}


def test_folders_hold_neither_many_modules_nor_a_single_one() -> None:
    held = Counter(path.parent for path in MODULES if path.name != "__init__.py")
    assert {str(folder): n for folder, n in held.items() if not 1 < n <= MAX_MODULES} == {}


EXPOSING = Path("device/imaging/imager.py")
EXPOSES = {"trigger", "pulse"}
"""What starts an exposure: :meth:`Camera.trigger` and :meth:`Light.pulse`."""


def exposures_in(source: str) -> list[str]:
    """Return where ``source`` calls, or hands on, what starts an exposure."""
    return [
        f"line {node.lineno}: .{node.attr}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and node.attr in EXPOSES
    ]


def test_nothing_but_the_imaging_rig_triggers_a_camera_or_the_light() -> None:
    found = {
        path: exposures
        for path in MODULES
        if path.parts[0] != "hal"
        and (exposures := exposures_in((ROOT / path).read_text(encoding="utf-8")))
    }
    assert list(found) == [EXPOSING], found
    assert exposures_in("begin = camera.trigger") == ["line 1: .trigger"]
    assert exposures_in("with hardware.light.pulse(150.0):\n    pass") == ["line 1: .pulse"]
