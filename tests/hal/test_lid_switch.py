"""The lid switch, as the front panel reads it: closed only if it says so twice."""

from __future__ import annotations

import pytest

from hal.clock import ManualClock
from hal.config import PanelConfig
from hal.errors import DeviceError
from hal.panel.gpio_panel import GpioPanel
from hal.sim.gpio.module import FakeGpio


class BouncingLid(FakeGpio):
    """The line of the lid reads these levels one after the other, as a bouncing contact does."""

    def __init__(self, *levels: int) -> None:
        super().__init__()
        self._levels = list(levels)

    def input(self, channel: int) -> int:
        level = super().input(channel)
        return self._levels.pop(0) if channel == PanelConfig().lid_pin else level


@pytest.mark.parametrize("levels", [(1, 0), (0, 1), (0, 0), (1, 1)])
def test_the_lid_is_closed_only_if_two_readings_say_so(levels: tuple[int, int]) -> None:
    panel = GpioPanel(BouncingLid(*levels), PanelConfig(), ManualClock())
    panel.open()
    assert panel.lid_closed is (levels == (1, 1))
    panel.close()


def test_a_panel_whose_lid_switch_fails_is_an_error() -> None:
    gpio = FakeGpio()
    panel = GpioPanel(gpio, PanelConfig(), ManualClock())
    panel.open()
    gpio.fail(PanelConfig().lid_pin)
    with pytest.raises(DeviceError):
        _ = panel.lid_closed
    panel.close()
