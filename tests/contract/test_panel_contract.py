"""What every front panel promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import pytest

from hal.clock import ManualClock
from hal.config import PanelConfig
from hal.errors import DeviceClosedError, DeviceError
from hal.interfaces.panel import Lamp, Panel, Press, Sound
from hal.panel.gpio_panel import GpioPanel
from hal.sim.gpio.lines import FileLines
from hal.sim.gpio.module import FakeGpio


class Finger(Protocol):
    """Presses, opens, looks, and lets time pass."""

    def hold_start(self, *, down: bool) -> None: ...
    def buzzes(self) -> bool: ...
    def break_a_lamp(self, *, broken: bool = True) -> None: ...
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
            count += panel.take_press() is Press.SHORT
        return count

    def rhythm(self, panel: Panel, finger: Finger) -> tuple[bool, ...]:
        """Whether anything is lit, every 50 ms for four seconds."""
        seen = []
        for _ in range(80):
            panel.tick()
            seen.append(any(finger.lamps()))
            finger.wait_ms(50.0)
        return tuple(seen)

    def test_closed_after_construction(self, panel: Panel) -> None:
        with pytest.raises(DeviceClosedError):
            _ = panel.lid_closed
        with pytest.raises(DeviceClosedError):
            panel.take_press()
        with pytest.raises(DeviceClosedError):
            panel.tick()
        with pytest.raises(DeviceClosedError):
            panel.sound(Sound.CLICK)
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

    def test_every_lamp_has_its_own_rhythm_for_who_sees_no_colours(
        self, opened: Panel, finger: Finger
    ) -> None:
        seen = {}
        for lamp in Lamp:
            opened.show(lamp)
            seen[lamp] = self.rhythm(opened, finger)
        assert len(set(seen.values())) == len(Lamp)
        assert all(seen[Lamp.READY])
        assert not any(seen[Lamp.OFF])
        flashes = [
            sum(later and not now for now, later in pairwise(lit)) / 4.0 for lit in seen.values()
        ]
        assert max(flashes) < 3.0, "three flashes per second can harm"

    def test_a_lamp_blinks_only_when_somebody_ticks(self, opened: Panel, finger: Finger) -> None:
        opened.show(Lamp.FAULT)
        finger.wait_ms(300.0)
        assert any(finger.lamps())
        opened.tick()
        assert not any(finger.lamps())

    def test_every_sound_differs_and_ends(self, opened: Panel, finger: Finger) -> None:
        heard = set()
        for sound in Sound:
            opened.sound(sound)
            pattern = []
            for _ in range(400):
                opened.tick()
                pattern.append(finger.buzzes())
                finger.wait_ms(10.0)
            assert pattern[0]
            assert not any(pattern[-50:])
            heard.add(tuple(pattern))
        assert len(heard) == len(Sound)

    def test_closing_silences_the_buzzer(self, opened: Panel, finger: Finger) -> None:
        opened.sound(Sound.FAULT)
        assert finger.buzzes()
        opened.close()
        assert not finger.buzzes()

    def test_after_an_error_it_is_dark_and_silent(self, opened: Panel, finger: Finger) -> None:
        opened.show(Lamp.DONE)
        opened.sound(Sound.FAULT)
        finger.break_a_lamp()
        finger.wait_ms(250.0)
        with pytest.raises(DeviceError):
            opened.tick()
        assert not finger.buzzes()

    def test_after_an_error_that_has_gone_it_shows_the_fault_in_silence(
        self, opened: Panel, finger: Finger
    ) -> None:
        opened.show(Lamp.DONE)
        opened.sound(Sound.REFUSED)
        finger.break_a_lamp()
        finger.wait_ms(250.0)
        with pytest.raises(DeviceError):
            opened.tick()
        finger.break_a_lamp(broken=False)
        opened.show(Lamp.FAULT)
        assert any(finger.lamps())
        assert not finger.buzzes()

    def test_opening_twice_changes_nothing(self, opened: Panel, finger: Finger) -> None:
        opened.show(Lamp.READY)
        opened.open()
        assert any(finger.lamps())

    def test_closing_with_a_broken_lamp_is_no_error(self, opened: Panel, finger: Finger) -> None:
        finger.break_a_lamp()
        opened.close()

    def test_closing_what_is_closed_touches_no_line(
        self, panel: Panel, caplog: pytest.LogCaptureFixture
    ) -> None:
        panel.close()
        assert caplog.records == []

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

    def test_a_long_press_comes_once_after_the_short_one(
        self, opened: Panel, finger: Finger
    ) -> None:
        finger.hold_start(down=True)
        seen = []
        for index in range(1000):
            press = opened.take_press()
            if press is not None:
                seen.append((press, index * 5))
            finger.wait_ms(5.0)
        assert [press for press, _ in seen] == [Press.SHORT, Press.LONG]
        assert [at_ms for _, at_ms in seen] == pytest.approx([30, 2000], abs=5)
        finger.hold_start(down=False)
        assert self.presses(opened, finger, 100.0) == 0

    def test_a_held_button_that_bounces_is_no_long_press(
        self, opened: Panel, finger: Finger
    ) -> None:
        for _ in range(20):
            finger.hold_start(down=True)
            for _ in range(100):
                assert opened.take_press() is not Press.LONG
                finger.wait_ms(5.0)
            finger.hold_start(down=False)
            opened.take_press()
            finger.wait_ms(5.0)

    def test_bouncing_is_no_press(self, opened: Panel, finger: Finger) -> None:
        count = 0
        for _ in range(20):
            finger.hold_start(down=True)
            count += self.presses(opened, finger, 10.0)
            finger.hold_start(down=False)
            count += self.presses(opened, finger, 10.0)
        assert count == 0

    def test_bouncing_that_is_seldom_looked_at_is_no_press(
        self, opened: Panel, finger: Finger
    ) -> None:
        # Bounces of 8 ms, seen every 36 ms: two looks in a row often see the button down.
        for now_ms in range(0, 2000, 4):
            finger.hold_start(down=now_ms // 8 % 2 == 0)
            if now_ms % 36 == 0:
                assert opened.take_press() is None
            finger.wait_ms(4.0)

    def test_a_quick_press_counts_when_it_is_seldom_looked_at(
        self, opened: Panel, finger: Finger
    ) -> None:
        finger.hold_start(down=True)
        seen = []
        for _ in range(3):
            seen.append(opened.take_press())
            finger.wait_ms(20.0)
        assert seen == [None, None, Press.SHORT]

    def test_a_button_held_while_opening_is_no_press(self, panel: Panel, finger: Finger) -> None:
        finger.hold_start(down=True)
        panel.open()
        for _ in range(1000):
            assert panel.take_press() is None
            finger.wait_ms(5.0)

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

    def buzzes(self) -> bool:
        return self.gpio.level(self.config.buzzer_pin) == self.gpio.HIGH

    def break_a_lamp(self, *, broken: bool = True) -> None:
        self.gpio.fail(self.config.lamp_green_pin, failing=broken)

    def lamps(self) -> tuple[bool, ...]:
        pins = (self.config.lamp_green_pin, self.config.lamp_amber_pin, self.config.lamp_red_pin)
        return tuple(self.gpio.level(pin) == self.gpio.HIGH for pin in pins)

    def wait_ms(self, duration_ms: float) -> None:
        self.clock.advance(duration_ms / 1000.0)


class TestGpioPanel(PanelContract):
    @pytest.fixture
    def finger(self) -> GpioFinger:
        return GpioFinger(PanelConfig(buzzer_pin=36))

    @pytest.fixture
    def panel(self, finger: GpioFinger) -> Iterator[Panel]:
        panel = GpioPanel(finger.gpio, finger.config, finger.clock)
        yield panel
        panel.close()


def steps_ms(panel: Panel, finger: GpioFinger, is_on: Callable[[], bool]) -> list[int]:
    """Return how long it is on, off, on ... in 2001 ms."""
    found, on = [0], True
    finger.wait_ms(0.5)
    for _ in range(2001):
        panel.tick()
        if is_on() is not on:
            on = not on
            found.append(0)
        found[-1] += 1
        finger.wait_ms(1.0)
    return found


@pytest.mark.parametrize(
    ("lamp", "green_amber_red", "expected_ms"),
    [
        (Lamp.READY, (True, False, False), [2001]),
        (Lamp.BUSY, (False, True, False), [1000, 1000, 1]),
        (Lamp.PAUSED, (False, True, True), [200, 1800, 1]),
        (Lamp.DONE, (True, True, False), [200, 200, 200, 1400, 1]),
        (Lamp.REFUSED, (True, False, True), [200, 200, 200, 200, 200, 1000, 1]),
        (Lamp.FAULT, (False, False, True), [250] * 8 + [1]),
    ],
)
def test_colours_and_rhythm_of_the_lamps(
    lamp: Lamp, green_amber_red: tuple[bool, ...], expected_ms: list[int]
) -> None:
    finger = GpioFinger(PanelConfig())
    panel = GpioPanel(finger.gpio, finger.config, finger.clock)
    panel.open()
    panel.show(lamp)
    assert finger.lamps() == green_amber_red
    assert steps_ms(panel, finger, lambda: any(finger.lamps())) == expected_ms
    panel.close()


@pytest.mark.parametrize(
    ("sound", "expected_ms"),
    [
        (Sound.CLICK, [30]),
        (Sound.DONE, [150, 100, 400]),
        (Sound.REFUSED, [800]),
        (Sound.FAULT, [150] * 9),
    ],
)
def test_lengths_of_the_sounds(sound: Sound, expected_ms: list[int]) -> None:
    finger = GpioFinger(PanelConfig(buzzer_pin=36))
    panel = GpioPanel(finger.gpio, finger.config, finger.clock)
    panel.open()
    panel.sound(sound)
    assert steps_ms(panel, finger, finger.buzzes)[:-1] == expected_ms
    panel.close()


def test_lines_that_cannot_be_released_are_low(monkeypatch: pytest.MonkeyPatch) -> None:
    finger = GpioFinger(PanelConfig())
    panel = GpioPanel(finger.gpio, finger.config, finger.clock)
    panel.open()
    panel.show(Lamp.READY)

    def cleanup(channel: int) -> None:
        raise OSError("no answer")

    monkeypatch.setattr(finger.gpio, "cleanup", cleanup)
    panel.close()
    assert not any(finger.lamps())


def test_the_lines_are_free_after_closing(tmp_path: Path) -> None:
    first, second = (
        GpioPanel(FakeGpio(FileLines(tmp_path)), PanelConfig(buzzer_pin=36), ManualClock())
        for _ in range(2)
    )
    for panel in (first, second):
        panel.open()
        panel.close()


def test_without_a_buzzer_sounds_are_silent_and_no_error() -> None:
    finger = GpioFinger(PanelConfig())
    panel = GpioPanel(finger.gpio, finger.config, finger.clock)
    panel.open()
    for sound in Sound:
        panel.sound(sound)
        panel.tick()
    panel.close()
    assert {edge.pin for edge in finger.gpio.lines.edges()} == set()
