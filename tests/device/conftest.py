"""The simulated instrument that the engine's tests drive."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_bench import Bench, bench


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr("hal.light.gpio_light.INTERLOCK_GAP_S", 0.001)
    with bench(tmp_path) as made:
        yield made
