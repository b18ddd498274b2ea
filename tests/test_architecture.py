"""The arrows of the architecture: imports go one way, and modules stay small."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("device", "hal", "models", "webui")

# What each part may import of ours; the longest matching prefix decides.
ALLOWED: dict[str, tuple[str, ...]] = {
    "hal": ("hal",),
    "hal.factory": ("hal", "hal.sim"),
    "hal.sim": ("hal", "hal.sim"),
    "models": ("models", "hal.errors"),
    "models.train": ("models", "models.train", "hal.errors", "hal.sim"),
    "device": ("device", "models", "hal"),
    "webui.cli.simulate": ("webui.cli.option_types", "hal.sim.dataset"),
    "webui": ("webui", "device", "hal.errors"),
    "webui.cli.main": ("webui", "device", "hal"),
    "webui.cli.calibrate": ("webui", "device", "hal"),
}
# These are open only to those who name them above.
GUARDED = ("hal.sim", "models.train")
MAX_LINES = 400
TRAINING_ONLY = {"torch", "onnx", "matplotlib", "tqdm", "onnxscript"}


def modules() -> list[tuple[str, Path]]:
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.append((".".join(part for part in parts if part != "__init__"), path))
    return found


def imports_of(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def is_under(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def may_import(module: str, imported: str) -> bool:
    rule = max((key for key in ALLOWED if is_under(module, key)), key=len)
    for prefix in sorted(ALLOWED[rule], key=len, reverse=True):
        if is_under(imported, prefix):
            closed = [guard for guard in GUARDED if is_under(imported, guard)]
            return all(is_under(prefix, guard) for guard in closed)
    return False


@pytest.mark.parametrize(("module", "path"), modules(), ids=str)
def test_imports_go_one_way(module: str, path: Path) -> None:
    ours = {name for name in imports_of(path) if name.split(".")[0] in PACKAGES}
    forbidden = sorted(name for name in ours if not may_import(module, name))
    assert not forbidden, f"{module} must not import {forbidden}"


@pytest.mark.parametrize(("module", "path"), modules(), ids=str)
def test_only_training_needs_the_training_libraries(module: str, path: Path) -> None:
    if is_under(module, "models.train"):
        pytest.skip("training may")
    assert not {name.split(".")[0] for name in imports_of(path)} & TRAINING_ONLY


@pytest.mark.parametrize(("module", "path"), modules(), ids=str)
def test_modules_stay_small(module: str, path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES, f"{module} has {lines} lines: is there a seam?"


def test_the_rule_itself_refuses_what_it_should() -> None:
    assert not may_import("hal.stage.grbl.driver", "device.analysis.tile")
    assert not may_import("models.runtime", "hal.interfaces.camera")
    assert not may_import("models.runtime", "models.train.networks")
    assert not may_import("device.engine.engine", "hal.sim.blood.smear")
    assert not may_import("device.engine.engine", "webui.app")
    assert may_import("models.train.data", "hal.sim.optics.microscope")
    assert may_import("webui.cli.simulate", "hal.sim.dataset.write_dataset")
