"""The units: nothing that systemd does not know, hardened, and in step with the program."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import click
import pytest

from device.analysis.pipeline import STUCK_S
from device.settings.file import Settings, load_settings
from hal.light.supervised_line import ANSWER_TIMEOUT_S
from hal.light.supervised_off import END_MS
from hal.light.supervisor import HEARTBEAT_S
from webui.cli.main import cli

SYSTEMD = Path(__file__).resolve().parents[2] / "systemd"
UNITS = sorted((SYSTEMD / "units").glob("*.service"))
PROGRAM = "/opt/leukolux/current/bin/leukolux"
HIGHEST_EXPOSURE = 2.0

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing (package systemd)"
)


def values(unit: str, key: str) -> list[str]:
    """Every value that ``key`` is given in a unit, in order."""
    text = (SYSTEMD / "units" / unit).read_text(encoding="utf-8")
    return re.findall(rf"^{key}=(.*)$", text, flags=re.MULTILINE)


def verify(folder: Path, *units: str) -> str:
    """What systemd says about units whose programs are there."""
    for unit in UNITS:
        text = unit.read_text(encoding="utf-8")
        for program in (PROGRAM, "/opt/leukolux/kiosk"):
            text = text.replace(program, "/bin/true")
        (folder / unit.name).write_text(text, encoding="utf-8")
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(folder / unit) for unit in units)],
        capture_output=True,
        text=True,
        check=False,
    )
    return said.stdout + said.stderr


@needs_systemd
def test_systemd_has_nothing_to_say_about_the_units(tmp_path: Path) -> None:
    assert verify(tmp_path, *(unit.name for unit in UNITS)) == ""


@needs_systemd
def test_a_misspelt_key_would_be_noticed(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.service"
    wrong.write_text("[Service]\nExecStart=/bin/true\nWatchdogSecs=1\n", encoding="utf-8")
    assert "WatchdogSecs" in verify(tmp_path, "wrong.service")


def exposure(unit: Path) -> float:
    said = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", said.stdout)
    assert found is not None, said.stdout
    return float(found[1])


@needs_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_each_service_is_hardened(unit: Path) -> None:
    assert exposure(unit) <= HIGHEST_EXPOSURE


@needs_systemd
def test_the_instrument_is_hardened_on_a_jetson_too(tmp_path: Path) -> None:
    unit, drop_in = SYSTEMD / "units/leukolux.service", SYSTEMD / "boards/jetson.conf"
    both = tmp_path / "leukolux.service"
    both.write_text(unit.read_text(encoding="utf-8") + drop_in.read_text(encoding="utf-8"))
    assert exposure(both) <= HIGHEST_EXPOSURE


@needs_systemd
def test_an_open_service_would_be_noticed(tmp_path: Path) -> None:
    bare = tmp_path / "bare.service"
    bare.write_text("[Service]\nExecStart=/bin/true\n", encoding="utf-8")
    assert exposure(bare) > 9.0


def command_lines() -> list[tuple[str, str]]:
    return [
        (unit.name, line)
        for unit in UNITS
        for key in ("ExecStart", "ExecStopPost")
        for line in values(unit.name, key)
        if line.startswith(PROGRAM)
    ]


@pytest.mark.parametrize(("unit", "line"), command_lines())
def test_each_command_of_a_unit_is_one_of_the_program(unit: str, line: str) -> None:
    words = shlex.split(line)[1:]
    context = cli.make_context("leukolux", words)
    name, *rest = [*context._protected_args, *context.args]
    if name == "light-supervisor" and name not in cli.list_commands(context):
        pytest.skip("this version has no light supervisor")
    command = cli.get_command(context, name)
    assert command is not None
    # Parsed, not run; click raises UsageError for what it does not know.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(click.Path, "convert", lambda self, value, param, ctx: value)
        command.make_context(name, rest, parent=context)


def test_every_end_of_the_instrument_takes_the_light_off() -> None:
    assert "light-off" in values("leukolux.service", "ExecStopPost")[0]
    assert values("leukolux.service", "OnFailure") == ["leukolux-light-off.service"]
    assert "light-off" in values("leukolux-light.service", "ExecStopPost")[0]


def test_light_off_has_the_time_to_kill_a_frozen_supervisor_and_to_try_again() -> None:
    (line,) = values("leukolux-light-off.service", "ExecStart")
    words = shlex.split(line)
    patience_s = float(words[words.index("--patience-s") + 1])
    (timeout,) = values("leukolux-light-off.service", "TimeoutStartSec")
    assert float(timeout) > 2 * (patience_s + ANSWER_TIMEOUT_S) + END_MS / 1000.0


def test_the_supervisor_outlives_the_instrument() -> None:
    for key in ("BindsTo", "Requires", "Requisite", "PartOf", "PropagatesStopTo", "Conflicts"):
        assert values("leukolux-light.service", key) == [], key
        assert values("leukolux.service", key) == [], key
    assert "leukolux.service" in values("leukolux-light.service", "Before")


def test_a_supervisor_that_stands_still_loses_the_line_at_once_and_a_busy_one_does_not() -> None:
    (watchdog,) = values("leukolux-light.service", "WatchdogSec")
    assert values("leukolux-light.service", "Type") == ["notify"]
    # A core dump would keep the line meanwhile.
    assert values("leukolux-light.service", "WatchdogSignal") == ["SIGKILL"]
    assert 4 * HEARTBEAT_S <= float(watchdog) <= ANSWER_TIMEOUT_S


def test_whoever_asks_for_the_supervisor_looks_where_it_listens() -> None:
    path = f"/run/{values('leukolux-light.service', 'RuntimeDirectory')[0]}/light.sock"
    for unit, key in (
        ("leukolux.service", "ExecStopPost"),
        ("leukolux-light-off.service", "ExecStart"),
    ):
        words = shlex.split(values(unit, key)[0])
        assert words[words.index("--supervisor") + 1] == path
    configured = getattr(Settings().light, "supervisor_socket", path)
    assert configured == path


def test_the_watchdog_is_on_and_waits_longer_than_any_single_step() -> None:
    (watchdog,) = values("leukolux.service", "WatchdogSec")
    assert values("leukolux.service", "Type") == ["notify"]
    settings = Settings()
    assert float(watchdog) > settings.camera.frame_timeout_ms / 1000.0
    assert float(watchdog) > settings.stage.move_timeout_s
    # An analysis that hangs ends in the fault state, which the screen explains.
    assert float(watchdog) > STUCK_S


def test_the_screen_opens_the_page_of_the_instrument_as_another_user() -> None:
    web = Settings().web
    assert f"LEUKOLUX_URL=http://{web.host}:{web.port}/" in values(
        "leukolux-kiosk.service", "Environment"
    )
    assert values("leukolux-kiosk.service", "User") != values("leukolux.service", "User")
    devices = values("leukolux-kiosk.service", "DeviceAllow")
    assert devices
    assert not [name for name in devices if re.search("usb|gpio|ttyACM|ttyUSB|video", name)]


def test_the_users_of_the_units_are_made_and_only_the_instrument_may_touch_hardware() -> None:
    text = (SYSTEMD / "sysusers.d/leukolux.conf").read_text(encoding="utf-8")
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    users = {line[1] for line in lines if line[0] == "u"}
    assert users == {user for unit in UNITS for user in values(unit.name, "User")}
    groups = {user: {line[2] for line in lines if line[:2] == ["m", user]} for user in users}
    assert groups["leukolux"] == {"gpio", "dialout"}
    assert not groups["leukolux-kiosk"] & {"gpio", "dialout", "leukolux"}


@pytest.mark.parametrize("board", ["generic", "jetson", "pi"])
def test_the_settings_of_each_board_are_settings(board: str) -> None:
    settings = load_settings(SYSTEMD / "boards" / f"{board}.toml")
    assert (
        settings.records.directory == f"/var/lib/{values('leukolux.service', 'StateDirectory')[0]}"
    )
    drivers = [settings.camera.driver, settings.stage.port, settings.light.gpio]
    assert drivers == (
        ["sim"] * 3 if board == "generic" else ["genicam", "/dev/leukolux-stage", "RPi.GPIO"]
    )


def rule_files() -> list[Path]:
    return sorted((SYSTEMD / "udev").iterdir())


@pytest.mark.parametrize("path", rule_files(), ids=lambda path: path.name)
def test_each_udev_rule_is_well_formed(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("\\\n", "")
    rules = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert rules
    term = r'[A-Z_]+(\{[A-Za-z0-9_/]+\})?(==|!=|=|\+=|:=)"[^"]*"'
    for rule in rules:
        assert re.fullmatch(rf"{term}(, {term})*", rule), rule
        assert "MODE" not in rule or 'MODE="0660"' in rule


def test_controllers_of_thorlabs_get_the_driver_of_serial_ports_and_a_name_each() -> None:
    rules = (SYSTEMD / "udev" / "70-leukolux.rules").read_text(encoding="utf-8").splitlines()
    device, port = (rule for rule in rules if '"faf0"' in rule)
    assert 'RUN{builtin}+="kmod load ftdi_sio"' in device
    assert "echo 0403 faf0 >/sys/bus/usb-serial/drivers/ftdi_sio/new_id" in device
    assert 'SYMLINK+="leukolux-apt-$env{ID_SERIAL_SHORT}"' in port
    assert 'GROUP="leukolux"' in port


@pytest.mark.parametrize("path", rule_files(), ids=lambda path: path.name)
def test_udev_takes_each_rule(path: Path, tmp_path: Path) -> None:
    if shutil.which("udevadm") is None:
        pytest.skip("udevadm is missing (package udev)")
    rules = tmp_path / "70-rules.rules"
    rules.write_text(re.sub("@[A-Z]+@", "0043", path.read_text(encoding="utf-8")))
    said = subprocess.run(
        ["udevadm", "verify", str(rules)], capture_output=True, text=True, check=False
    )
    if "Unknown command" in said.stderr:
        pytest.skip("this udevadm has no verify (systemd 254 and newer have)")
    assert said.returncode == 0, said.stdout + said.stderr


def test_every_unit_file_reads_as_one() -> None:
    for unit in UNITS:
        parser = RawConfigParser(strict=False)
        parser.optionxform = str  # type: ignore[assignment, method-assign]
        parser.read_string(unit.read_text(encoding="utf-8"))
        assert {"Unit", "Service"} <= set(parser.sections())
        assert not set(parser.sections()) - {"Unit", "Service", "Install"}
