"""Simulated lines: what is driven is read by everybody, edges are recorded, owners are kept."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from hal.sim.gpio.lines import FileLines, Lines, MemoryLines
from hal.sim.gpio.module import FakeGpio

PIN = 33


@pytest.fixture(params=["memory", "files"])
def lines(request: pytest.FixtureRequest, tmp_path: Path) -> Lines:
    return MemoryLines() if request.param == "memory" else FileLines(tmp_path)


def test_only_changes_are_edges_in_the_order_of_time(lines: Lines) -> None:
    for level in (0, 0, 1, 1, 0, 1):
        lines.drive(PIN, level)
    lines.drive(PIN + 1, 1)
    edges = [edge for edge in lines.edges() if edge.pin == PIN]
    assert [edge.level for edge in edges] == [1, 0, 1]
    assert [edge.time_s for edge in edges] == sorted(edge.time_s for edge in edges)


def test_a_line_that_nobody_drove_has_no_level(lines: Lines) -> None:
    assert lines.level(PIN) is None
    lines.drive(PIN, 0)
    assert lines.level(PIN) == 0


def test_a_coupled_line_follows_until_it_is_cut(lines: Lines) -> None:
    lines.couple(PIN, 37)
    lines.drive(PIN, 1)
    assert lines.level(37) == 1
    lines.couple(PIN, None)
    lines.drive(PIN, 0)
    assert lines.level(37) == 1


def test_files_keep_levels_and_edges_for_the_next_process(tmp_path: Path) -> None:
    script = (
        "import os, sys, pathlib; from hal.sim.gpio.lines import FileLines; "
        "FileLines(pathlib.Path(sys.argv[1])).drive(33, 1); os.kill(os.getpid(), 9)"
    )
    root = Path(__file__).resolve().parent.parent.parent
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=root, check=False)
    lines = FileLines(tmp_path)
    assert lines.level(PIN) == 1
    (edge,) = lines.edges()
    assert (edge.pin, edge.level) == (PIN, 1)
    assert edge.pid > 0


def test_an_exclusive_line_has_one_owner_until_it_is_released(tmp_path: Path) -> None:
    first, second = FakeGpio(FileLines(tmp_path)), FakeGpio(FileLines(tmp_path))
    first.setup(PIN, first.OUT, initial=first.HIGH)
    first.setup(PIN, first.OUT, initial=first.HIGH)
    with pytest.raises(OSError, match="in use") as caught:
        second.setup(PIN, second.OUT, initial=second.LOW)
    assert caught.value.errno == errno.EBUSY
    assert second.level(PIN) == second.HIGH
    first.cleanup(PIN)
    second.setup(PIN, second.OUT, initial=second.HIGH)
    assert first.level(PIN) == first.HIGH


def test_a_shared_line_may_be_driven_by_anybody(tmp_path: Path) -> None:
    first, second = (FakeGpio(FileLines(tmp_path, exclusive=False)) for _ in range(2))
    first.setup(PIN, first.OUT, initial=first.HIGH)
    second.setup(PIN, second.OUT, initial=second.LOW)
    assert first.level(PIN) == first.LOW
