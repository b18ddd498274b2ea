"""The fake lines, the loading of a provider, and lines that fail."""

from __future__ import annotations

import os
import sys
import time
import types
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal.clock import ManualClock
from hal.config import HardwareConfig, LightConfig, PanelConfig
from hal.errors import DeviceClosedError, DeviceError, InterlockError, LightError
from hal.interfaces.gpio import load_gpio
from hal.light.gpio_light import GpioLight
from hal.light.uv_line import OwnLine
from hal.panel.gpio_panel import GpioPanel
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


def make_light(gpio: FakeGpio, **config: float) -> GpioLight:
    return GpioLight(OwnLine(gpio, PIN), LightConfig(**config), interlock=lambda: True)  # type: ignore[arg-type]


def test_a_line_that_cannot_be_claimed_is_an_error() -> None:
    gpio = FakeGpio()
    gpio.fail(PIN)
    with pytest.raises(LightError, match="failed"):
        make_light(gpio).open()


def test_a_line_that_reads_high_when_driven_low_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpio = FakeGpio()
    monkeypatch.setattr(gpio, "input", lambda channel: gpio.HIGH)
    with pytest.raises(LightError) as caught:
        make_light(gpio).open()
    assert caught.value.error_code == "LIGHT-STUCK"


def test_a_line_that_fails_at_switching_on_gives_an_error() -> None:
    gpio = FakeGpio()
    light = make_light(gpio)
    light.open()
    gpio.fail(PIN)
    with pytest.raises(LightError), light.pulse(10.0):
        pytest.fail("the block was entered")
    gpio.fail(PIN, failing=False)
    light.close()
    assert gpio.level(PIN) == gpio.LOW


def wait_until_low(gpio: FakeGpio) -> None:
    give_up_s = time.monotonic() + 30.0
    while gpio.level(PIN) == gpio.HIGH:
        assert time.monotonic() < give_up_s, "the line stays high"
        time.sleep(0.001)


def test_the_watchdog_tries_again_until_the_line_obeys(monkeypatch: pytest.MonkeyPatch) -> None:
    gpio = FakeGpio()
    light = make_light(gpio)
    light.open()
    obey = gpio.output
    tries: list[int] = []

    def output(channel: int, level: int) -> None:
        if level == gpio.LOW and len(tries) < 5:
            tries.append(gpio.level(channel))
            raise OSError("no answer")
        obey(channel, level)

    monkeypatch.setattr(gpio, "output", output)

    def pulse_on_a_line_that_hangs() -> None:
        with light.pulse(10.0):
            wait_until_low(gpio)

    with pytest.raises(LightError):
        pulse_on_a_line_that_hangs()
    assert tries == [gpio.HIGH] * 5
    light.close()


def test_the_watchdog_switches_off_a_line_that_went_high_with_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpio = FakeGpio()
    light = make_light(gpio)
    light.open()
    obey = gpio.output
    disobeyed = iter([True, True, True])

    def output(channel: int, level: int) -> None:
        if level == gpio.HIGH or not next(disobeyed, False):
            obey(channel, level)
        if level == gpio.HIGH or gpio.level(channel) == gpio.HIGH:
            raise OSError("no answer")

    monkeypatch.setattr(gpio, "output", output)
    with pytest.raises(LightError), light.pulse(10.0):
        pytest.fail("the block was entered")
    wait_until_low(gpio)
    light.close()


def test_a_light_closed_while_the_lid_is_checked_stays_dark() -> None:
    gpio = FakeGpio()

    def closing() -> bool:
        light.close()
        return True

    light = GpioLight(OwnLine(gpio, PIN), LightConfig(), interlock=closing)
    light.open()
    with pytest.raises(DeviceClosedError), light.pulse(10.0):
        pytest.fail("the block was entered")
    assert gpio.edges(PIN) == []


def test_off_works_in_a_signal_handler_that_interrupts_the_light_itself() -> None:
    gpio = FakeGpio()
    light = make_light(gpio)
    light.open()

    def interrupted() -> None:
        with light.pulse(100.0), light._changed:
            light.off()
            assert gpio.level(PIN) == gpio.LOW

    with pytest.raises(LightError):
        interrupted()
    light.close()


def test_a_line_that_never_obeys_is_released_on_close(monkeypatch: pytest.MonkeyPatch) -> None:
    gpio = FakeGpio()
    light = make_light(gpio)
    light.open()
    monkeypatch.setattr(gpio, "output", refuse_low(gpio))

    def close_inside() -> None:
        with light.pulse(100.0):
            light.close()

    with pytest.raises(LightError):
        close_inside()
    assert gpio.level(PIN) == gpio.LOW
    assert not light.is_on


def refuse_low(gpio: FakeGpio) -> Callable[[int, int], None]:
    obey = gpio.output

    def output(channel: int, level: int) -> None:
        if level == gpio.LOW:
            raise OSError("no answer")
        obey(channel, level)

    return output


def test_an_interlock_that_fails_counts_as_open() -> None:
    gpio = FakeGpio()

    def broken() -> bool:
        raise DeviceError("The switch is gone.", remedy="None.")

    light = GpioLight(OwnLine(gpio, PIN), LightConfig(), interlock=broken)
    light.open()
    with pytest.raises(InterlockError), light.pulse(10.0):
        pytest.fail("the block was entered")
    assert gpio.edges(PIN) == []
    light.close()


def test_no_light_without_a_live_watchdog() -> None:
    gpio = FakeGpio()
    light = make_light(gpio)
    light.open()
    light._watchdog = None
    with pytest.raises(LightError) as caught, light.pulse(10.0):
        pytest.fail("the block was entered")
    assert caught.value.error_code == "LIGHT-WATCHDOG"
    assert gpio.edges(PIN) == []


def test_a_pulse_inside_a_pulse_is_refused_and_the_light_goes_off() -> None:
    gpio = FakeGpio()
    light = make_light(gpio)
    light.open()
    with (
        pytest.raises(LightError) as caught,
        light.pulse(100.0),
        light.pulse(100.0),
    ):
        pytest.fail("the inner block was entered")
    assert caught.value.error_code == "LIGHT-BUSY"
    assert gpio.level(PIN) == gpio.LOW
    light.close()


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


def test_the_lid_is_looked_at_a_second_time_before_a_pulse() -> None:
    gpio = FakeGpio()
    answers = iter([True, False])
    light = GpioLight(OwnLine(gpio, PIN), LightConfig(), interlock=lambda: next(answers, True))
    light.open()
    with pytest.raises(InterlockError), light.pulse(10.0):
        pytest.fail("the block was entered")
    assert gpio.edges(PIN) == []
    light.close()


def test_a_panel_whose_lid_switch_fails_is_an_error() -> None:
    gpio = FakeGpio()
    panel = GpioPanel(gpio, PanelConfig(), ManualClock())
    panel.open()
    gpio.fail(PanelConfig().lid_pin)
    with pytest.raises(DeviceError):
        _ = panel.lid_closed
    panel.close()
