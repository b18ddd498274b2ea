"""The read-back line of the LED: current that is missing or does not end is a fault, light off."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hal.config import LightConfig
from hal.errors import LedError, LightError
from hal.light.gpio_light import GpioLight
from hal.light.led_current import LedCurrent
from hal.light.uv_line import OwnLine
from hal.sim.gpio.lines import FileLines
from hal.sim.gpio.module import FakeGpio

READBACK = 37
PULSE_MS = 10_000.0
# Far beyond what the settings allow: a loaded computer takes its time inside a pulse.
CONFIG = LightConfig(readback_pin=READBACK).model_copy(update={"max_pulse_ms": PULSE_MS})
PIN = CONFIG.pin


@pytest.fixture
def gpio() -> FakeGpio:
    gpio = FakeGpio()
    gpio.lines.couple(PIN, READBACK)
    gpio.lines.drive(READBACK, gpio.LOW)
    return gpio


@pytest.fixture
def light(gpio: FakeGpio) -> Iterator[GpioLight]:
    light = GpioLight(OwnLine(gpio, PIN), CONFIG, lambda: True, LedCurrent(gpio, READBACK))
    light.open()
    yield light
    light.close()


def wait_for_low(gpio: FakeGpio) -> None:
    give_up_s = time.monotonic() + 10.0
    while gpio.level(PIN) == gpio.HIGH:
        assert time.monotonic() < give_up_s
        time.sleep(0.001)


def test_an_led_without_current_is_a_fault_and_its_line_goes_low(
    gpio: FakeGpio, light: GpioLight
) -> None:
    gpio.lines.couple(PIN, None)

    def pulse() -> None:
        with light.pulse(PULSE_MS):
            wait_for_low(gpio)

    with pytest.raises(LedError, match="does not flow") as caught:
        pulse()
    assert caught.value.error_code == "LIGHT-READBACK"
    rise, fall = gpio.edges(PIN)
    assert fall.time_s - rise.time_s < 0.9
    assert not isinstance(caught.value, LightError), "it would be tried again"


def test_a_readback_line_that_cannot_be_claimed_is_named_and_the_lights_line_given_back(
    tmp_path: Path,
) -> None:
    gpio = FakeGpio(FileLines(tmp_path))
    gpio.fail(READBACK)
    light = GpioLight(OwnLine(gpio, PIN), CONFIG, lambda: True, LedCurrent(gpio, READBACK))
    with pytest.raises(LightError) as caught:
        light.open()
    assert caught.value.error_code == "LIGHT-READBACK-LINE"
    other = FakeGpio(FileLines(tmp_path))
    other.setup(PIN, other.OUT, initial=other.LOW)


def test_both_lines_are_free_after_closing(tmp_path: Path) -> None:
    first, second = (
        GpioLight(OwnLine(gpio, PIN), CONFIG, lambda: True, LedCurrent(gpio, READBACK))
        for gpio in (FakeGpio(FileLines(tmp_path)), FakeGpio(FileLines(tmp_path)))
    )
    for light in (first, second):
        light.open()
        light.close()


def test_current_that_flows_only_during_the_exposure_is_enough(
    gpio: FakeGpio, light: GpioLight
) -> None:
    assert light._current is not None
    with light.pulse(PULSE_MS):
        give_up_s = time.monotonic() + 10.0
        while not light._current.seen and time.monotonic() < give_up_s:
            time.sleep(0.001)
        gpio.set_input(READBACK, gpio.LOW)
        time.sleep(0.03)
        assert light.is_on


def test_current_that_flows_before_a_pulse_forbids_it(gpio: FakeGpio, light: GpioLight) -> None:
    gpio.set_input(READBACK, gpio.HIGH)
    with pytest.raises(LedError, match="although the light is off"), light.pulse(100.0):
        pytest.fail("the block was entered")
    assert gpio.edges(PIN) == []


def test_current_that_does_not_end_with_the_pulse_is_a_fault(
    gpio: FakeGpio, light: GpioLight
) -> None:
    def pulse() -> None:
        with light.pulse(PULSE_MS):
            gpio.lines.couple(PIN, None)

    with pytest.raises(LedError, match="still flows"):
        pulse()
    assert gpio.level(PIN) == gpio.LOW


def test_a_readback_that_fails_in_a_pulse_ends_it(gpio: FakeGpio, light: GpioLight) -> None:
    def pulse() -> None:
        with light.pulse(PULSE_MS):
            gpio.fail(READBACK)
            wait_for_low(gpio)

    gpio.lines.couple(PIN, None)
    with pytest.raises(LedError, match="cannot be read"):
        pulse()
    gpio.fail(READBACK, failing=False)
