"""Numbers as text, wherever they come from, and the files that commands write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from device.quality.control import parse_targets
from device.settings.file import parse_settings
from device.settings.numbers import parse_number, parse_whole_number
from hal.errors import InputError, SettingsError
from hal.sim.blood.donors import make_donor
from webui.cli.main import InstrumentGroup, cli
from webui.cli.option_types import Number, WholeNumber

WIDE = "\N{FULLWIDTH DIGIT FOUR}\N{FULLWIDTH DIGIT TWO}"
NONSENSE = [
    WIDE,
    "١٢",
    "२",
    "1_000",
    "nan",
    "NaN",
    "inf",
    "-inf",
    "infinity",
    "1e999",
    "",
    " ",
    "1,5",
    "1 2",
    "0x10",
    "1e",
    ".",
    "\N{MINUS SIGN}5",
    "5\0",
    "9" * 5000,
]


def shown(value: object) -> str:
    return ascii(value)[:16]


@pytest.mark.parametrize("parse", [parse_number, parse_whole_number])
def test_nonsense_is_no_number_and_is_shown_short(parse: Callable[[str], float]) -> None:
    for text in NONSENSE:
        with pytest.raises(ValueError, match=r"number.*digits 0 to 9") as caught:
            pytest.fail(f"{shown(text)} is {parse(text)}")
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("text", "number"), [("60", 60.0), (" 3.5 ", 3.5), ("-2.", -2.0), (".5", 0.5), ("+1e3", 1000.0)]
)
def test_what_people_type_is_a_number(text: str, number: float) -> None:
    assert parse_number(text) == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_that_is_printed_is_read(number: float) -> None:
    assert parse_number(repr(number)) == number


@given(st.text(max_size=40))
def test_no_other_text_is_a_number(text: str) -> None:
    try:
        number = parse_number(text)
    except ValueError:
        return
    assert text.strip().isascii()
    assert abs(number) < float("inf")


def options() -> Iterator[tuple[str, click.Parameter]]:
    """Every parameter of every command."""

    def walk(command: click.Command, path: str) -> Iterator[tuple[str, click.Parameter]]:
        for parameter in command.params:
            yield f"{path} {parameter.name}", parameter
        if isinstance(command, click.Group):
            context = click.Context(command)
            # Training is click's own: its package knows nothing of the instrument's numbers.
            for name in sorted({*command.list_commands(context)} - {"train"}):
                found = command.get_command(context, name)
                assert found is not None
                yield from walk(found, f"{path} {name}")

    assert isinstance(cli, InstrumentGroup)
    yield from walk(cli, "leukolux")


def test_every_number_of_the_command_line_is_read_in_the_one_way() -> None:
    numbers = [
        (name, parameter.type)
        for name, parameter in options()
        if isinstance(parameter.type, (click.types.IntParamType, click.types.FloatParamType))
        and not (isinstance(parameter, click.Option) and (parameter.count or parameter.is_flag))
    ]
    assert len(numbers) > 15
    assert [name for name, kind in numbers if not isinstance(kind, (Number, WholeNumber))] == []


@pytest.mark.parametrize(
    "command",
    [
        ["analyze", ".", "--out", "out", "--pixel-um"],
        ["analyze", ".", "--out", "out", "--blank-level"],
        ["scan", "--sim", "--speed"],
        ["scan", "--sim", "--target-cells"],
        ["camera", "--sim", "grab", "--exposure-ms"],
        ["run", "--sim", "--port"],
        ["calibrate", "--sim", "--set", "power_mw="],
        ["control", "add", "Q7", "--target", "neutrophil=60,"],
    ],
    ids=" ".join,
)
def test_a_command_says_what_is_no_number(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    joined = command[-1].endswith(("=", ","))
    for text in (WIDE, "1_0", "nan", "1e999", "9" * 5000):
        words = [*command[:-1], command[-1] + text] if joined else [*command, text]
        done = CliRunner().invoke(cli, words)
        assert done.exit_code == 2, done.output
        assert "number" in done.output
        assert len(done.output) < 800
    assert list(tmp_path.iterdir()) == []


def test_targets_of_a_control_are_numbers() -> None:
    for text in NONSENSE:
        with pytest.raises(InputError, match=r"SD of neutrophil .* is not a number") as caught:
            pytest.fail(f"{parse_targets({'neutrophil': {'mean': '60', 'sd': text}})}")
        assert "digits 0 to 9" in caught.value.remedy


def test_a_donor_s_seed_is_a_number() -> None:
    for text in (WIDE, "1_0", "-3", "1e3", "9" * 5000):
        with pytest.raises(InputError, match="no simulated donor") as caught:
            pytest.fail(f"{make_donor(f'healthy:{text}')}")
        assert len(caught.value.cause) < 120


def test_a_setting_is_a_number_and_no_text() -> None:
    for value in (*NONSENSE, "30", float("nan"), float("inf"), 10**400):
        with pytest.raises(SettingsError) as caught:
            pytest.fail(f"{parse_settings({'camera': {'exposure_ms': value}}).camera}")
        assert "float from 1.0 to 100.0 ms" in caught.value.cause
        assert len(caught.value.cause) < 250


@pytest.mark.parametrize(
    "command",
    [
        ["scan", "--sim"],
        ["selftest", "--sim"],
        ["bench"],
        ["camera", "--sim", "noise"],
        ["calibrate", "--sim", "--list"],
        ["models", "verify"],
    ],
    ids=" ".join,
)
def test_where_nothing_can_be_written_is_said_before_the_work(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for path, words in (("gone/out.json", "There is no folder gone"), (".", "is a directory")):
        done = CliRunner().invoke(cli, [*command, "--json", path])
        assert done.exit_code == 2, done.output
        assert words in done.output
    assert list(tmp_path.iterdir()) == []


def test_a_number_that_no_step_asks_for_is_refused() -> None:
    done = CliRunner().invoke(cli, ["calibrate", "--sim", "--list", "--set", "power=3"])
    assert done.exit_code == 2
    assert "power_mw" in done.output
