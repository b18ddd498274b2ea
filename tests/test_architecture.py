"""The architecture: imports go one way, and modules and folders stay small."""

from __future__ import annotations

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
MAX_MODULES = 16


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
