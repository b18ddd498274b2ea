"""The README tells the truth: its commands parse, its targets exist, its files are there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from device.engine.states import diagram
from webui.main import cli

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def shell_lines() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    lines = (line.split("#")[0].strip() for block in blocks for line in block.splitlines())
    return [line for line in lines if line]


def commands() -> list[list[str]]:
    return [shlex.split(line)[1:] for line in shell_lines() if line.startswith("leukolux ")]


def parse(words: list[str]) -> click.Context:
    """Parse without running; click raises UsageError for what it does not know."""
    context = cli.make_context("leukolux", list(words), resilient_parsing=False)
    rest = [*context._protected_args, *context.args]
    name, command, remainder = cli.resolve_command(context, rest)
    assert command is not None, name
    return command.make_context(name, list(remainder), parent=context)


def test_the_readme_shows_commands() -> None:
    names = {words[0] for words in commands()}
    assert {"run", "scan", "simulate", "analyze", "settings"} <= names


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_of_the_readme_parses(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for word in words[1:]:
        # Paths that must exist before the command runs.
        if word.endswith((".png", ".tif", ".toml")):
            (tmp_path / word).touch()
        elif "/" not in word and "." not in word and not word.startswith("-"):
            (tmp_path / word).mkdir(exist_ok=True)
    parse(words)


def test_a_command_that_does_not_exist_is_noticed() -> None:
    with pytest.raises(click.UsageError):
        parse(["scan", "--no-such-option"])


@pytest.mark.parametrize(
    "target", sorted({line.split()[1] for line in shell_lines() if line.startswith("make ")})
)
def test_every_make_target_of_the_readme_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_every_picture_and_file_of_the_readme_is_there() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_diagram_of_states_is_in_step_with_the_table() -> None:
    shown = README.split("<!-- states:begin -->")[1].split("<!-- states:end -->")[0]
    assert shown.strip() == f"```mermaid\n{diagram().strip()}\n```"


@pytest.mark.parametrize("name", cli.list_commands(click.Context(cli)))
def test_every_command_explains_itself(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 4


def test_the_settings_command_prints_a_valid_file(tmp_path: Path) -> None:
    printed = CliRunner().invoke(cli, ["settings"]).output
    path = tmp_path / "leukolux.toml"
    path.write_text(printed, encoding="utf-8")
    again = CliRunner().invoke(cli, ["settings", "--settings", str(path)])
    assert (again.exit_code, again.output) == (0, printed)


def test_an_anticipated_failure_is_code_cause_and_remedy_with_its_exit_code(tmp_path: Path) -> None:
    path = tmp_path / "leukolux.toml"
    path.write_text("[scan]\ntarget_cells = -1\n", encoding="utf-8")
    result = CliRunner().invoke(cli, ["settings", "--settings", str(path)])
    assert result.exit_code == 2
    assert result.output.startswith("SETTINGS: scan.target_cells = -1")
    assert "Traceback" not in result.output
