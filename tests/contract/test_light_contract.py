"""What every UV light driver promises: the safety rules, checked on the recorded edges."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread, Timer
from typing import Protocol

import pytest

from hal.config import LightConfig
from hal.errors import DeviceClosedError, InterlockError, LightError
from hal.interfaces.light import Light
from hal.light.gpio_light import GpioLight
from hal.light.led_current import LedCurrent
from hal.light.supervised_line import SupervisedLine
from hal.light.uv_line import OwnLine
from hal.sim.gpio.lines import FileLines
from hal.sim.gpio.module import FakeGpio
from hal.sim.gpio.supervisor import InnerSupervisor

# Far beyond what the settings allow: a loaded computer takes its time inside a pulse.
MAX_PULSE_MS = 10_000.0


class Probe(Protocol):
    """An oscilloscope on the light's line, and the lid."""

    def is_lit(self) -> bool: ...
    def pulses_ms(self) -> list[float]: ...
    def set_lid(self, *, closed: bool) -> None: ...


PATIENCE_S = 30.0


def wait_until_dark(probe: Probe) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while probe.is_lit():
        assert time.monotonic() < give_up_s, "the light stays on"
        time.sleep(0.001)


class LightContract:
    """Subclasses give a closed ``light`` with a maximum of 10 s and its ``probe``."""

    @pytest.fixture
    def probe(self) -> Probe:
        raise NotImplementedError

    @pytest.fixture
    def light(self, probe: Probe) -> Iterator[Light]:
        raise NotImplementedError

    @pytest.fixture
    def opened(self, light: Light) -> Light:
        light.open()
        return light

    def test_off_after_construction_and_after_opening(self, light: Light, probe: Probe) -> None:
        assert not light.is_on
        assert not probe.is_lit()
        light.open()
        assert not light.is_on
        assert probe.pulses_ms() == []

    def test_lit_inside_the_block_and_dark_after_it(self, opened: Light, probe: Probe) -> None:
        with opened.pulse(MAX_PULSE_MS):
            assert opened.is_on
            assert probe.is_lit()
        assert not opened.is_on
        assert not probe.is_lit()
        assert len(probe.pulses_ms()) == 1

    @pytest.mark.parametrize(
        "deadline_ms", [0.0, -1.0, MAX_PULSE_MS + 0.1, 1e9, float("inf"), float("nan")]
    )
    def test_a_pulse_out_of_limits_is_refused_and_never_lit(
        self, opened: Light, probe: Probe, deadline_ms: float
    ) -> None:
        with pytest.raises(LightError), opened.pulse(deadline_ms):
            pytest.fail("the block was entered")
        assert probe.pulses_ms() == []

    def test_a_pulse_never_outlives_its_deadline(self, opened: Light, probe: Probe) -> None:
        def overstay() -> None:
            with opened.pulse(15.0):
                wait_until_dark(probe)

        with pytest.raises(LightError) as caught:
            overstay()
        assert caught.value.error_code == "LIGHT-DEADLINE"
        (pulse_ms,) = probe.pulses_ms()
        assert 0.0 < pulse_ms < 900.0

    def test_a_stuck_owner_thread_does_not_keep_the_light_on(
        self, opened: Light, probe: Probe
    ) -> None:
        release = Event()

        lit = Event()

        def get_stuck() -> None:
            with opened.pulse(150.0):
                lit.set()
                release.wait(PATIENCE_S)

        def hold() -> None:
            with pytest.raises(LightError):
                get_stuck()

        owner = Thread(target=hold)
        owner.start()
        assert lit.wait(PATIENCE_S)
        wait_until_dark(probe)
        release.set()
        owner.join()
        assert max(probe.pulses_ms()) < MAX_PULSE_MS

    def test_off_after_an_exception_in_the_block(self, opened: Light, probe: Probe) -> None:
        with pytest.raises(ZeroDivisionError), opened.pulse(MAX_PULSE_MS):
            raise ZeroDivisionError
        assert not probe.is_lit()
        with opened.pulse(MAX_PULSE_MS):
            assert probe.is_lit()

    def test_an_open_lid_forbids_light(self, opened: Light, probe: Probe) -> None:
        probe.set_lid(closed=False)
        with pytest.raises(InterlockError), opened.pulse(10.0):
            pytest.fail("the block was entered")
        probe.set_lid(closed=True)
        with pytest.raises(InterlockError), opened.pulse(10.0):
            pytest.fail("a lid that was open is forgotten")
        assert probe.pulses_ms() == []

    def test_after_an_open_lid_light_needs_a_closed_lid_and_a_persons_word(
        self, opened: Light, probe: Probe
    ) -> None:
        probe.set_lid(closed=False)
        with pytest.raises(InterlockError), opened.pulse(10.0):
            pytest.fail("the block was entered")
        with pytest.raises(InterlockError):
            opened.acknowledge_lid()
        probe.set_lid(closed=True)
        with pytest.raises(InterlockError), opened.pulse(10.0):
            pytest.fail("the block was entered")
        assert probe.pulses_ms() == []
        opened.acknowledge_lid()
        with opened.pulse(MAX_PULSE_MS):
            assert probe.is_lit()

    def test_a_word_given_while_the_lid_is_open_does_not_count_for_later(
        self, opened: Light, probe: Probe
    ) -> None:
        probe.set_lid(closed=False)
        with pytest.raises(InterlockError):
            opened.acknowledge_lid()
        probe.set_lid(closed=True)
        with pytest.raises(InterlockError), opened.pulse(MAX_PULSE_MS):
            pytest.fail("the block was entered")
        assert probe.pulses_ms() == []

    def test_opening_the_lid_ends_a_pulse(self, opened: Light, probe: Probe) -> None:
        def open_the_lid() -> None:
            with opened.pulse(MAX_PULSE_MS):
                probe.set_lid(closed=False)
                wait_until_dark(probe)
                probe.set_lid(closed=True)

        with pytest.raises(InterlockError):
            open_the_lid()
        assert probe.pulses_ms()[0] < MAX_PULSE_MS
        with pytest.raises(InterlockError), opened.pulse(10.0):
            pytest.fail("a lid that was open is forgotten")

    def test_off_from_another_thread_ends_a_pulse(self, opened: Light, probe: Probe) -> None:
        def switch_off_from_outside() -> None:
            timer = Timer(0.005, opened.off)
            with opened.pulse(MAX_PULSE_MS):
                timer.start()
                timer.join()
                assert not probe.is_lit()

        with pytest.raises(LightError):
            switch_off_from_outside()

    def test_opening_twice_does_not_end_a_pulse(self, opened: Light, probe: Probe) -> None:
        with opened.pulse(MAX_PULSE_MS):
            opened.open()
            assert probe.is_lit()

    def test_off_is_harmless_at_any_time(self, light: Light, probe: Probe) -> None:
        light.off()
        light.open()
        light.off()
        light.close()
        light.off()
        assert probe.pulses_ms() == []

    def test_close_during_a_pulse_ends_it(self, opened: Light, probe: Probe) -> None:
        def close_inside() -> None:
            with opened.pulse(MAX_PULSE_MS):
                opened.close()
                assert not probe.is_lit()

        with pytest.raises(LightError):
            close_inside()
        assert not opened.is_on

    def test_closed_it_gives_no_light_and_close_twice_is_harmless(
        self, opened: Light, probe: Probe
    ) -> None:
        opened.close()
        opened.close()
        with pytest.raises(DeviceClosedError), opened.pulse(10.0):
            pytest.fail("the block was entered")
        assert probe.pulses_ms() == []

    def test_it_works_again_after_reopening(self, opened: Light, probe: Probe) -> None:
        opened.close()
        opened.open()
        with opened.pulse(MAX_PULSE_MS):
            assert probe.is_lit()
        assert not probe.is_lit()

    def test_the_time_of_light_is_counted(self, opened: Light, probe: Probe) -> None:
        started_s = time.monotonic()
        for _ in range(3):
            with opened.pulse(MAX_PULSE_MS):
                time.sleep(0.002)
                assert 0.0 < opened.on_time_s <= time.monotonic() - started_s
        elapsed_ms = (time.monotonic() - started_s) * 1000.0
        assert sum(probe.pulses_ms()) <= opened.on_time_s * 1000.0 <= elapsed_ms
        counted_s = opened.on_time_s
        time.sleep(0.005)
        assert opened.on_time_s == counted_s


@dataclass
class FakeGpioProbe:
    gpio: FakeGpio
    pin: int
    lid_closed: bool = True

    def is_lit(self) -> bool:
        return self.gpio.level(self.pin) == self.gpio.HIGH

    def pulses_ms(self) -> list[float]:
        edges = self.gpio.edges(self.pin)
        assert [edge.level for edge in edges] == [1, 0] * (len(edges) // 2)
        return [
            (fall.time_s - rise.time_s) * 1000.0
            for rise, fall in zip(edges[::2], edges[1::2], strict=True)
        ]

    def set_lid(self, *, closed: bool) -> None:
        self.lid_closed = closed


class TestGpioLight(LightContract):
    config = LightConfig().model_copy(update={"max_pulse_ms": MAX_PULSE_MS})

    @pytest.fixture
    def probe(self) -> FakeGpioProbe:
        return FakeGpioProbe(FakeGpio(), self.config.pin)

    @pytest.fixture
    def light(self, probe: FakeGpioProbe) -> Iterator[Light]:
        pins = self.config
        current = LedCurrent(probe.gpio, pins.readback_pin) if pins.readback_pin else None
        line = OwnLine(probe.gpio, pins.pin)
        light = GpioLight(line, self.config, lambda: probe.lid_closed, current)
        yield light
        light.close()


class TestSupervisedGpioLight(TestGpioLight):
    """On a line that the supervisor owns and drives."""

    def supervisors_gpio(self, probe: FakeGpioProbe) -> FakeGpio:
        return probe.gpio

    @pytest.fixture
    def light(self, probe: FakeGpioProbe) -> Iterator[Light]:
        supervisor = InnerSupervisor(self.config, self.supervisors_gpio(probe))
        line = SupervisedLine(supervisor.socket, probe.gpio, self.config.pin)
        light = GpioLight(line, self.config, lambda: probe.lid_closed)
        yield light
        light.close()
        supervisor.close()


class TestSupervisedGpioLightOnExclusiveLines(TestSupervisedGpioLight):
    """On lines that have one owner at a time, as on the kernel's character device."""

    @pytest.fixture
    def probe(self, tmp_path: Path) -> FakeGpioProbe:
        return FakeGpioProbe(FakeGpio(FileLines(tmp_path)), self.config.pin)

    def supervisors_gpio(self, probe: FakeGpioProbe) -> FakeGpio:
        assert isinstance(probe.gpio.lines, FileLines)
        return FakeGpio(FileLines(probe.gpio.lines.folder))


class TestGpioLightWithCurrentReadback(TestGpioLight):
    config = LightConfig(readback_pin=37).model_copy(update={"max_pulse_ms": MAX_PULSE_MS})

    @pytest.fixture
    def probe(self) -> FakeGpioProbe:
        gpio = FakeGpio()
        gpio.lines.couple(self.config.pin, self.config.readback_pin)
        gpio.lines.drive(self.config.readback_pin, gpio.LOW)
        return FakeGpioProbe(gpio, self.config.pin)
