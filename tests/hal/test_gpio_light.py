"""The UV light on a line of its own: watchdog, lid, lines that fail."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import pytest

from hal.config import LightConfig
from hal.errors import DeviceClosedError, DeviceError, InterlockError, LightError
from hal.light.gpio_light import GpioLight
from hal.light.uv_line import OwnLine
from hal.sim.gpio.lines import FileLines
from hal.sim.gpio.module import FakeGpio

PIN = LightConfig().pin


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


def test_a_supervisor_that_ends_as_the_pulse_ends_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    line = OwnLine(FakeGpio(), PIN)
    go_low = line.off
    light = GpioLight(line, LightConfig(), interlock=lambda: True)
    light.open()

    def off() -> None:
        go_low()
        monkeypatch.setattr(line, "is_live", lambda: False)

    monkeypatch.setattr(line, "off", off)
    with pytest.raises(LightError) as caught, light.pulse(100.0):
        pass
    assert caught.value.error_code == "LIGHT-SUPERVISOR-ENDED"
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


def test_a_line_that_went_high_with_an_error_goes_low_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpio = FakeGpio()
    config = LightConfig().model_copy(update={"max_pulse_ms": 30_000.0})
    light = GpioLight(OwnLine(gpio, PIN), config, interlock=lambda: True)
    light.open()
    obey = gpio.output

    def output(channel: int, level: int) -> None:
        obey(channel, level)
        if level == gpio.HIGH:
            raise OSError("no answer")

    monkeypatch.setattr(gpio, "output", output)
    with pytest.raises(LightError), light.pulse(30_000.0):
        pytest.fail("the block was entered")
    assert gpio.level(PIN) == gpio.LOW
    assert not light.is_on
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
            assert not light.is_on

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
        raise DeviceError("PANEL-CLOSED")

    light = GpioLight(OwnLine(gpio, PIN), LightConfig(), interlock=broken)
    light.open()
    with pytest.raises(InterlockError), light.pulse(10.0):
        pytest.fail("the block was entered")
    assert gpio.edges(PIN) == []
    light.close()


@pytest.mark.parametrize("watchdog", [None, Thread()])
def test_no_light_without_a_live_watchdog(
    watchdog: Thread | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpio = FakeGpio()
    light = make_light(gpio)
    light.open()
    monkeypatch.setattr(light, "_watchdog", watchdog)
    with pytest.raises(LightError) as caught, light.pulse(10.0):
        pytest.fail("the block was entered")
    assert caught.value.error_code == "LIGHT-WATCHDOG"
    assert gpio.edges(PIN) == []
    monkeypatch.undo()
    light.close()


def test_the_watchdog_lives_on_when_a_pulse_ends_while_it_looks_at_the_lid() -> None:
    looking, look_ended = Event(), Event()

    def interlock() -> bool:
        if threading.current_thread().name == "light-watchdog":
            looking.set()
            assert look_ended.wait(30.0)
        return True

    # Far beyond what the settings allow: a loaded computer takes its time inside a pulse.
    config = LightConfig().model_copy(update={"max_pulse_ms": 60_000.0})
    light = GpioLight(OwnLine(FakeGpio(), PIN), config, interlock)
    light.open()
    with light.pulse(60_000.0):
        assert looking.wait(30.0)
    look_ended.set()
    for _ in range(5):
        with light.pulse(60_000.0):
            assert light.is_on
    light.close()


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


@pytest.mark.parametrize("answers", [(True, False), (False, True)])
def test_the_lid_is_looked_at_twice_before_a_pulse(answers: tuple[bool, bool]) -> None:
    gpio = FakeGpio()
    left = iter(answers)
    light = GpioLight(OwnLine(gpio, PIN), LightConfig(), interlock=lambda: next(left, True))
    light.open()
    with pytest.raises(InterlockError), light.pulse(10.0):
        pytest.fail("the block was entered")
    assert gpio.edges(PIN) == []
    light.close()


def test_the_lid_is_looked_at_10_ms_apart_before_a_pulse_and_every_5_ms_in_it() -> None:
    asked_s: list[float] = []

    def interlock() -> bool:
        asked_s.append(time.monotonic())
        return True

    gpio = FakeGpio()
    config = LightConfig().model_copy(update={"max_pulse_ms": 30_000.0})
    light = GpioLight(OwnLine(gpio, PIN), config, interlock)
    light.open()
    with light.pulse(30_000.0):
        give_up_s = time.monotonic() + 20.0
        while len(asked_s) < 8:
            assert time.monotonic() < give_up_s
            time.sleep(0.001)
    light.close()
    assert 0.009 <= asked_s[1] - asked_s[0] < 0.9
    # Far apart, because a busy computer is late.
    assert 0.015 <= asked_s[7] - asked_s[2] < 2.0


def test_a_pulse_that_the_watchdog_slept_through_is_not_taken_for_a_good_one() -> None:
    release = Event()
    asked = iter(range(10_000))

    def interlock() -> bool:
        # Twice before the pulse; in it the switch hangs, and the watchdog with it.
        return next(asked) < 2 or release.wait(30.0)

    light = GpioLight(OwnLine(FakeGpio(), PIN), LightConfig(), interlock)
    light.open()
    with pytest.raises(LightError) as caught, light.pulse(20.0):
        time.sleep(0.03)
    assert caught.value.error_code == "LIGHT-DEADLINE"
    release.set()
    light.close()


def test_off_in_a_signal_handler_while_the_line_goes_high_wins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpio = FakeGpio()
    light = make_light(gpio)
    light.open()
    obey = gpio.output

    def output(channel: int, level: int) -> None:
        if level == gpio.HIGH:
            light.off()
        obey(channel, level)

    monkeypatch.setattr(gpio, "output", output)

    def pulse() -> None:
        with light.pulse(100.0):
            assert gpio.level(PIN) == gpio.LOW

    with pytest.raises(LightError) as caught:
        pulse()
    assert caught.value.error_code == "LIGHT-OFF"
    light.close()


def test_closing_ends_the_watchdog() -> None:
    before = set(threading.enumerate())
    light = make_light(FakeGpio())
    light.open()
    light.close()
    assert set(threading.enumerate()) <= before


ENDS_IN_A_PULSE = """
import sys
from pathlib import Path
from hal.config import LightConfig
from hal.light.gpio_light import GpioLight
from hal.light.uv_line import OwnLine
from hal.sim.gpio.lines import FileLines
from hal.sim.gpio.module import FakeGpio
config = LightConfig().model_copy(update={"max_pulse_ms": 60_000.0})
gpio = FakeGpio(FileLines(Path(sys.argv[1])))
light = GpioLight(OwnLine(gpio, config.pin), config, lambda: True)
light.open()
pulse = light.pulse(60_000.0)
pulse.__enter__()
assert gpio.level(config.pin) == gpio.HIGH
"""


def test_a_program_that_ends_in_a_pulse_takes_the_line_low(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    words = [sys.executable, "-c", ENDS_IN_A_PULSE, str(tmp_path)]
    subprocess.run(words, cwd=root, check=True, timeout=50.0)
    assert FileLines(tmp_path).level(PIN) == 0
