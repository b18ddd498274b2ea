"""A device that is missing at the start: one clear error, no traceback, and the lamps show it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from small_instrument import TIMEOUT_S, SmallInstrument

from device.engine.state.states import State


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[SmallInstrument]:
    """An instrument that nobody has opened."""
    made = SmallInstrument(tmp_path, physics=False)
    yield made
    made.instrument.close()
    made.records.close()


def no_supervisor(rig: SmallInstrument) -> None:
    assert rig.world.supervisor is not None
    rig.world.supervisor.close()


def dead_line(rig: SmallInstrument) -> None:
    rig.world.gpio.fail(rig.settings.light.pin)


def dead_lamp(rig: SmallInstrument) -> None:
    rig.world.gpio.fail(rig.settings.panel.lamp_green_pin)


@pytest.mark.parametrize(
    ("missing", "code", "red"),
    [
        (no_supervisor, "LIGHT-SUPERVISOR", True),
        (dead_line, "LIGHT-LINE", True),
        (dead_lamp, "PANEL", False),
    ],
)
def test_what_is_missing_is_told_once_without_a_traceback(
    closed: SmallInstrument,
    caplog: pytest.LogCaptureFixture,
    missing: Callable[[SmallInstrument], None],
    code: str,
    red: bool,
) -> None:
    caplog.set_level(logging.INFO)
    missing(closed)
    closed.instrument.open()
    status = closed.instrument.wait_for(State.FAULT, timeout_s=TIMEOUT_S)
    assert status.error is not None
    assert status.error["code"] == code
    told = [record for record in caplog.records if record.name == "device.engine.engine"]
    assert [r.message.split(":")[0] for r in told if r.levelno == logging.ERROR] == [code]
    assert all(record.exc_info is None for record in caplog.records)
    lamp = closed.settings.panel.lamp_red_pin
    assert any(edge.level for edge in closed.world.gpio.edges(lamp)) is red
    assert closed.world.gpio.edges(closed.settings.light.pin) == []


def test_it_goes_on_when_what_was_missing_is_there(closed: SmallInstrument) -> None:
    dead_line(closed)
    closed.instrument.open()
    closed.instrument.wait_for(State.FAULT, timeout_s=TIMEOUT_S)
    closed.world.gpio.fail(closed.settings.light.pin, failing=False)
    closed.instrument.acknowledge()
    closed.idle()
