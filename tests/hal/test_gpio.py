"""The fake lines, the loading of a provider, and lines that fail."""

from __future__ import annotations

import os
import sys
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal.config import HardwareConfig, LightConfig, PanelConfig
from hal.errors import DeviceError
from hal.interfaces.gpio import load_gpio
from hal.sim.gpio import lines as gpio_lines
from hal.sim.gpio.module import FakeGpio

PIN = LightConfig().pin


def test_a_missing_provider_is_an_error_and_never_replaced_by_a_fake() -> None:
    with pytest.raises(DeviceError, match="cannot be used") as caught:
        load_gpio("no_such_gpio_provider")
    assert "sim" in caught.value.remedy


def test_a_provider_that_refuses_the_board_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("refusing_gpio")

    def setmode(mode: int) -> None:
        raise RuntimeError("This module can only be run on a Raspberry Pi!")

    module.BOARD = 10  # type: ignore[attr-defined]
    module.setmode = setmode  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "refusing_gpio", module)
    with pytest.raises(DeviceError, match="Raspberry"):
        load_gpio("refusing_gpio")


def test_a_provider_is_set_to_board_numbering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wired_gpio", FakeGpio())
    assert load_gpio("wired_gpio").BOARD == 10


def test_a_jetsons_chip_stays_open_when_a_channel_is_released(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As in Jetson.GPIO 2.1.13: the number of a closed descriptor is closed again later.
    jetson = types.ModuleType("Jetson.GPIO.gpio_cdev")
    jetson.close_chip = os.close  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "Jetson.GPIO.gpio_cdev", jetson)
    monkeypatch.setitem(sys.modules, "jetsons_gpio", FakeGpio())
    load_gpio("jetsons_gpio")
    somebodys = os.open(os.devnull, os.O_RDONLY)
    jetson.close_chip(somebodys)
    os.fstat(somebodys)
    os.close(somebodys)


@given(
    st.lists(st.floats(0.0, 10.0), max_size=12),
    st.floats(0.0, 10.0),
    st.floats(0.01, 10.0),
)
def test_the_lit_share_is_the_overlap_of_pulses_and_interval(
    times_s: list[float], start_s: float, duration_s: float
) -> None:
    times_s = sorted(times_s)
    end_s = start_s + duration_s
    clock = iter(times_s)
    gpio = FakeGpio()
    gpio.setup(PIN, gpio.OUT, initial=gpio.LOW)
    real_time = gpio_lines.time
    gpio_lines.time = types.SimpleNamespace(monotonic=lambda: next(clock))  # type: ignore[assignment]
    try:
        for index in range(len(times_s)):
            gpio.output(PIN, 1 - index % 2)
    finally:
        gpio_lines.time = real_time
    ends = [*times_s[1::2], float("inf")]
    expected = sum(
        max(0.0, min(fall, end_s) - max(rise, start_s))
        for rise, fall in zip(times_s[::2], ends, strict=False)
    )
    assert gpio.high_fraction(PIN, start_s, end_s) == pytest.approx(expected / duration_s, abs=1e-9)


def test_pins_must_be_set_up_before_use() -> None:
    gpio = FakeGpio()
    with pytest.raises(RuntimeError):
        gpio.output(PIN, gpio.HIGH)
    with pytest.raises(RuntimeError):
        gpio.input(PIN)


def test_two_lines_on_one_pin_are_refused() -> None:
    with pytest.raises(ValueError, match="own pin"):
        HardwareConfig(panel=PanelConfig(start_pin=PIN))
