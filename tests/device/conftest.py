"""The simulated instrument that the engine's tests drive."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from small_instrument import SmallInstrument, small_instrument


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallInstrument]:
    monkeypatch.setattr("hal.light.gpio_light.INTERLOCK_GAP_S", 0.001)
    with small_instrument(tmp_path) as made:
        yield made
