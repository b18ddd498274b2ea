"""The last resort: a line that a dead process left high goes low."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from hal.clock import ManualClock
from hal.config import LightConfig, SimulationConfig
from hal.errors import LightError
from hal.factory import LineIs, take_light_off
from hal.light.switch_off import supervisor_listens, take_line_low
from hal.sim.gpio.lines import FileLines
from hal.sim.gpio.module import FakeGpio
from webui.cli.main import cli

PIN = LightConfig().pin


@pytest.fixture
def left_high() -> FakeGpio:
    """A line that a killed process has left high."""
    gpio = FakeGpio()
    gpio.set_input(PIN, gpio.HIGH)
    return gpio


def test_a_line_left_high_goes_low_and_is_released(left_high: FakeGpio) -> None:
    take_line_low(left_high, PIN, ManualClock(), patience_s=0.0)
    assert left_high.level(PIN) == left_high.LOW
    with pytest.raises(RuntimeError):
        left_high.input(PIN)


class HeldGpio(FakeGpio):
    """Refuses a line until the claim has been tried ``refusals`` times."""

    refusals = 3

    def setup(self, channel: int, direction: int, *, initial: int | None = None) -> None:
        self.refusals -= 1
        if self.refusals >= 0:
            raise OSError("Device or resource busy")
        super().setup(channel, direction, initial=initial)


def test_a_line_that_somebody_holds_is_claimed_until_it_is_free() -> None:
    gpio = HeldGpio()
    gpio.set_input(PIN, gpio.HIGH)
    take_line_low(gpio, PIN, ManualClock(), patience_s=1.0)
    assert gpio.level(PIN) == gpio.LOW


def test_a_line_that_stays_held_is_an_error_after_the_patience() -> None:
    gpio = HeldGpio()
    gpio.refusals = 1_000_000
    clock = ManualClock()
    with pytest.raises(LightError, match="busy") as caught:
        take_line_low(gpio, PIN, clock, patience_s=1.0)
    assert caught.value.error_code == "LIGHT-LINE-TAKEN"
    assert 1.0 <= clock.monotonic_s() < 1.1


class StuckGpio(FakeGpio):
    def input(self, channel: int) -> int:
        super().input(channel)
        return self.HIGH


def test_a_line_that_does_not_obey_is_an_error_and_is_released() -> None:
    gpio = StuckGpio()
    with pytest.raises(LightError) as caught:
        take_line_low(gpio, PIN, ManualClock(), patience_s=0.0)
    assert caught.value.error_code == "LIGHT-STUCK"
    with pytest.raises(RuntimeError):
        gpio.output(PIN, gpio.HIGH)


def test_a_simulated_light_needs_nothing() -> None:
    found = take_light_off(LightConfig(), SimulationConfig(), ManualClock(), 0.0)
    assert found is LineIs.SIMULATED


def test_simulated_lines_that_outlive_their_process_go_low(tmp_path: Path) -> None:
    lines = FileLines(tmp_path / "lines")
    lines.drive(PIN, FakeGpio.HIGH)
    path = tmp_path / "leukolux.toml"
    path.write_text(
        f"[simulation]\ngpio_directory = {json.dumps(str(lines.folder))}\n", encoding="utf-8"
    )
    code, output = light_off("--settings", str(path))
    assert (code, lines.level(PIN)) == (0, FakeGpio.LOW)
    assert f"pin {PIN}" in output


def test_only_a_listening_supervisor_counts(tmp_path: Path) -> None:
    path = tmp_path / "light.sock"
    assert not supervisor_listens(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as supervisor:
        supervisor.bind(str(path))
        assert not supervisor_listens(path)
        supervisor.listen(1)
        assert supervisor_listens(path)
    assert path.exists()
    assert not supervisor_listens(path)


def test_an_unreadable_table_of_sockets_means_no_supervisor(tmp_path: Path) -> None:
    assert not supervisor_listens(tmp_path / "light.sock", sockets=tmp_path / "none")


@pytest.fixture
def real_settings(
    left_high: FakeGpio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, FakeGpio]:
    monkeypatch.setitem(sys.modules, "RPi.GPIO", left_high)
    path = tmp_path / "leukolux.toml"
    path.write_text('[light]\ngpio = "RPi.GPIO"\n', encoding="utf-8")
    return path, left_high


def light_off(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["light-off", *words])
    return result.exit_code, result.output


def test_the_command_takes_the_line_of_the_settings_low(
    real_settings: tuple[Path, FakeGpio],
) -> None:
    path, gpio = real_settings
    code, output = light_off("--settings", str(path), "--supervisor", "/nowhere/light.sock")
    assert (code, gpio.level(PIN)) == (0, gpio.LOW)
    assert f"pin {PIN}" in output


@pytest.mark.parametrize("wrong", ["[scan]\ntarget_cels = 1\n", "[panel]\nlid_pin = 33\n"])
def test_other_settings_that_are_wrong_do_not_keep_the_light_on(
    real_settings: tuple[Path, FakeGpio], wrong: str
) -> None:
    path, gpio = real_settings
    path.write_text(path.read_text(encoding="utf-8") + wrong, encoding="utf-8")
    assert light_off("--settings", str(path))[0] == 0
    assert gpio.level(PIN) == gpio.LOW


def test_the_light_may_be_on_a_line_that_is_another_ones_by_default(
    real_settings: tuple[Path, FakeGpio],
) -> None:
    path, gpio = real_settings
    path.write_text('[light]\ngpio = "RPi.GPIO"\npin = 16\n', encoding="utf-8")
    gpio.set_input(16, gpio.HIGH)
    assert light_off("--settings", str(path))[0] == 0
    assert gpio.level(16) == gpio.LOW


def test_wrong_settings_of_the_light_are_named(tmp_path: Path) -> None:
    path = tmp_path / "leukolux.toml"
    path.write_text("[light]\npin = 99\n", encoding="utf-8")
    code, output = light_off("--settings", str(path))
    assert code == 2
    assert "light.pin" in output


def test_the_command_says_that_it_failed(real_settings: tuple[Path, FakeGpio]) -> None:
    path, gpio = real_settings
    gpio.fail(PIN)
    code, output = light_off("--settings", str(path), "--patience-s", "0")
    assert code == 3
    assert output.startswith("LIGHT-LINE")
