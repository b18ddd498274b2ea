"""The emulated APT controllers understood by a client that others wrote."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from threading import Event
from typing import Any

import pytest

from hal.clock import SystemClock
from hal.config import AptConfig
from hal.sim.apt.emulator import AptEmulator

client = pytest.importorskip("thorlabs_apt_device", reason="the foreign APT client is missing")

# Half of real time, so that the client's acknowledgements, every 0.9 s, are in time.
CLOCK = SystemClock(0.5)
CONFIG = AptConfig(travel_x_mm=5.0, travel_y_mm=5.0, travel_z_mm=5.0)
SLOWEST_S = 20.0


def wait_until(true: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + SLOWEST_S
    while not true() and time.monotonic() < deadline_s:
        Event().wait(0.02)
    assert true()


@pytest.fixture
def emulator() -> Iterator[AptEmulator]:
    emulator = AptEmulator(CONFIG, CLOCK, start_um=(2000.0, 1000.0, 500.0))
    yield emulator
    emulator.close()


@pytest.fixture
def controller(emulator: AptEmulator) -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        device = client.BBD202(serial_port=emulator.port, home=False)
        yield device
        device.close()
        device._thread.join(5.0)


@pytest.mark.slow
def test_homing_moves_and_limits_as_the_foreign_client_sees_them(
    emulator: AptEmulator, controller: Any
) -> None:
    status = [bay[0] for bay in controller.status_]
    for bay in (0, 1):
        controller.set_enabled(True, bay=bay)
    wait_until(lambda: all(axis["channel_enabled"] for axis in status))
    assert not any(axis["homed"] for axis in status)
    for bay in (0, 1):
        controller.home(bay=bay)
    wait_until(lambda: all(axis["homed"] and not axis["homing"] for axis in status))
    controller.move_absolute(60_000, bay=0)
    controller.move_absolute(40_000, bay=1)
    wait_until(lambda: abs(status[0]["position"] - 60_000) <= 2 and status[0]["settled"])
    wait_until(lambda: abs(status[1]["position"] - 40_000) <= 2 and status[1]["settled"])
    assert emulator.true_position_um()[:2] == pytest.approx((3000.0, 2000.0), abs=0.5)
    controller.move_absolute(200_000, bay=0)
    wait_until(lambda: status[0]["forward_limit_switch"])
    assert not status[0]["reverse_limit_switch"]
    assert emulator.true_position_um()[0] > 5000.0
