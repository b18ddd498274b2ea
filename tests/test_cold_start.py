"""Starting a command imports what the command needs, not what others need."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("cv2", "flask", "onnxruntime", "pydantic", "scipy", "sqlite_utils")


def imported_by(statement: str) -> set[str]:
    program = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_the_command_line_itself_imports_nothing_heavy() -> None:
    assert not imported_by("import webui.cli.main") & set(HEAVY)


@pytest.mark.parametrize(
    ("module", "without"),
    [
        ("webui.cli.settings", ("cv2", "flask", "onnxruntime", "scipy", "sqlite_utils")),
        ("webui.cli.analyze", ("flask", "sqlite_utils", "scipy.stats", "hal.sim")),
        ("webui.cli.models", ("flask", "sqlite_utils", "scipy", "hal.sim")),
        ("webui.cli.run", ("scipy.stats", "hal.sim", "models.train")),
    ],
)
def test_a_command_leaves_out_what_others_need(module: str, without: tuple[str, ...]) -> None:
    assert not imported_by(f"import {module}") & set(without)
