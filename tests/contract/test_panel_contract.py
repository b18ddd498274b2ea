"""What every front panel promises."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import pytest

from hal.clock import ManualClock
from hal.config import PanelConfig
from hal.errors import DeviceClosedError
from hal.gpio_panel import GpioPanel
from hal.panel import Lamp, Panel
from hal.sim.gpio import FakeGpio


class Finger(Protocol):
    """Presses, opens, looks, and lets time pass."""

    def hold_start(self, *, down: bool) -> None: ...
    def set_lid(self, *, closed: bool) -> None: ...
    def lamps(self) -> tuple[bool, ...]: ...
    def wait_ms(self, duration_ms: float) -> None: ...


class PanelContract:
    """Subclasses give a closed ``panel`` with 30 ms of debouncing and a ``finger`` on it."""

    @pytest.fixture
    def finger(self) -> Finger:
        raise NotImplementedError

    @pytest.fixture
    def panel(self, finger: Finger) -> Iterator[Panel]:
        raise NotImplementedError

    @pytest.fixture
    def opened(self, panel: Panel) -> Panel:
        panel.open()
        return panel

    def presses(self, panel: Panel, finger: Finger, duration_ms: float) -> int:
        count = 0
        for _ in range(round(duration_ms / 5.0)):
            finger.wait_ms(5.0)
            count += panel.take_start_press()
        return count

    def test_closed_after_construction(self, panel: Panel) -> None:
        with pytest.raises(DeviceClosedError):
            _ = panel.lid_closed
        with pytest.raises(DeviceClosedError):
            panel.take_start_press()
        with pytest.raises(DeviceClosedError):
            panel.show(Lamp.READY)

    def test_dark_after_opening_and_after_closing(self, opened: Panel, finger: Finger) -> None:
        assert not any(finger.lamps())
        opened.show(Lamp.FAULT)
        assert any(finger.lamps())
        opened.close()
        opened.close()
        assert not any(finger.lamps())

    def test_every_lamp_looks_different(self, opened: Panel, finger: Finger) -> None:
        seen = set()
        for lamp in Lamp:
            opened.show(lamp)
            seen.add(finger.lamps())
        assert len(seen) == len(Lamp)

    def test_the_lid_is_read(self, opened: Panel, finger: Finger) -> None:
        finger.set_lid(closed=False)
        assert not opened.lid_closed
        finger.set_lid(closed=True)
        assert opened.lid_closed

    def test_one_press_counts_once_however_long(self, opened: Panel, finger: Finger) -> None:
        finger.hold_start(down=True)
        assert self.presses(opened, finger, 500.0) == 1
        finger.hold_start(down=False)
        assert self.presses(opened, finger, 100.0) == 0
        finger.hold_start(down=True)
        assert self.presses(opened, finger, 100.0) == 1

    def test_bouncing_is_no_press(self, opened: Panel, finger: Finger) -> None:
        count = 0
        for _ in range(20):
            finger.hold_start(down=True)
            count += self.presses(opened, finger, 10.0)
            finger.hold_start(down=False)
            count += self.presses(opened, finger, 10.0)
        assert count == 0

    def test_a_button_held_while_opening_is_no_press(self, panel: Panel, finger: Finger) -> None:
        finger.hold_start(down=True)
        panel.open()
        assert self.presses(panel, finger, 200.0) == 0

    def test_it_works_again_after_reopening(self, opened: Panel, finger: Finger) -> None:
        opened.close()
        opened.open()
        finger.hold_start(down=True)
        assert self.presses(opened, finger, 100.0) == 1


class GpioFinger:
    def __init__(self, config: PanelConfig) -> None:
        self.config = config
        self.gpio = FakeGpio()
        self.clock = ManualClock()

    def hold_start(self, *, down: bool) -> None:
        self.gpio.set_input(self.config.start_pin, self.gpio.LOW if down else self.gpio.HIGH)

    def set_lid(self, *, closed: bool) -> None:
        self.gpio.set_input(self.config.lid_pin, self.gpio.HIGH if closed else self.gpio.LOW)

    def lamps(self) -> tuple[bool, ...]:
        pins = (self.config.lamp_green_pin, self.config.lamp_amber_pin, self.config.lamp_red_pin)
        return tuple(self.gpio.level(pin) == self.gpio.HIGH for pin in pins)

    def wait_ms(self, duration_ms: float) -> None:
        self.clock.advance(duration_ms / 1000.0)


class TestGpioPanel(PanelContract):
    @pytest.fixture
    def finger(self) -> GpioFinger:
        return GpioFinger(PanelConfig())

    @pytest.fixture
    def panel(self, finger: GpioFinger) -> Iterator[Panel]:
        panel = GpioPanel(finger.gpio, finger.config, finger.clock)
        yield panel
        panel.close()
