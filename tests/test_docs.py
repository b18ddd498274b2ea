"""The documentation tells the truth: its commands parse, and what it names is there."""

from __future__ import annotations

import fnmatch
import itertools
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from device.settings.file import Settings
from webui.cli.main import cli

ROOT = Path(__file__).resolve().parent.parent
SITE = sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs" / "pages").rglob("*.md"))
PAGES = ["README.md", "CONTRIBUTING.md", "SECURITY.md", *SITE]


def shell_lines(*pages: str) -> list[str]:
    text = "\n".join((ROOT / page).read_text(encoding="utf-8") for page in pages)
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    whole = (line for block in blocks for line in block.replace("\\\n", " ").splitlines())
    lines = (line.split("#")[0].strip() for line in whole)
    return [line for line in lines if line]


def commands(*pages: str) -> list[list[str]]:
    return [shlex.split(line)[1:] for line in shell_lines(*pages) if line.startswith("leukolux ")]


def links(page: str) -> list[str]:
    found = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / page).read_text(encoding="utf-8"))
    # These are brought in by the hook of the site; `make docs` checks them.
    return [link for link in found if not re.search(r"pictures/(evidence/|cells\.png)", link)]


def spans(*pages: str) -> list[str]:
    """Return what stands in single backquotes in the text, outside of the blocks."""
    found = []
    for page in pages:
        text = (ROOT / page).read_text(encoding="utf-8")
        prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        found += [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
    return sorted(set(found))


def parse(
    words: list[str],
    command: click.Command = cli,
    name: str | None = "leukolux",
    parent: click.Context | None = None,
) -> click.Context:
    """Parse without running; click raises UsageError for what it does not know."""
    context = command.make_context(name, list(words), parent=parent)
    if not isinstance(command, click.Group):
        return context
    rest = [*context._protected_args, *context.args]
    name, inner, remainder = command.resolve_command(context, rest)
    assert inner is not None, name
    return parse(remainder, inner, name, context)


def test_the_pages_show_commands() -> None:
    assert {"run", "scan", "analyze", "settings"} <= {words[0] for words in commands("README.md")}
    first_start = commands("docs/pages/builder/first-start.md")
    assert {"camera", "light-off", "scan"} <= {words[0] for words in first_start}


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8")) < 8000


def refused(lines: Iterable[list[str]]) -> dict[str, str]:
    """Return what the command line says against each of the lines that it does not know."""
    said = {}
    for words in lines:
        if words[0] == "train" and find_spec("torch") is None:
            continue
        try:
            parse(words)
        except click.UsageError as error:
            said[" ".join(words)] = error.format_message()
    return said


def test_every_command_of_the_pages_parses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for word in itertools.chain.from_iterable(words[1:] for words in commands(*PAGES)):
        # Paths that must exist before the command runs.
        if word.endswith((".png", ".tif", ".toml", ".json")):
            (tmp_path / word).touch()
        elif not re.search(r"[/.$]|^-", word):
            (tmp_path / word).mkdir(exist_ok=True)
    assert refused(commands(*PAGES)) == {}


def test_every_command_that_the_text_names_is_one_of_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").touch()
    named = [shlex.split(span)[1:] for span in spans(*PAGES) if re.match(r"leukolux [a-z]", span)]
    said = refused(named)
    # The text may name a command without what it works on.
    assert {line: words for line, words in said.items() if not words.startswith("Missing")} == {}


def settings_named() -> list[tuple[str, str]]:
    """Return section and key of every setting that the text names; a key may hold ``*``."""
    named = [re.match(r"([a-z]+)\.([a-z_*]+)(?: = .*)?$", span) for span in spans(*PAGES)]
    return sorted({(one[1], one[2]) for one in named if one and one[1] in Settings.model_fields})


def test_every_setting_that_the_text_names_is_one() -> None:
    named = settings_named()
    assert ("camera", "driver") in named
    unknown = [
        f"{section}.{key}"
        for section, key in named
        if not fnmatch.filter(type(getattr(Settings(), section)).model_fields, key)
    ]
    assert unknown == []


@pytest.mark.parametrize(
    "line", [line for line in shell_lines(*PAGES) if "systemd/install.sh" in line]
)
def test_every_option_of_the_installer_is_explained_by_it(line: str) -> None:
    words = shlex.split(line)
    script = words[words.index("sh") + 1]
    usage = subprocess.run(
        ["sh", ROOT / script, "--help"], capture_output=True, text=True, check=True
    ).stdout
    options = {word for word in words if word.startswith("--")}
    assert options <= set(re.findall(r"--[a-z-]+", usage))


def test_every_service_that_the_text_names_is_one() -> None:
    text = "\n".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
    after = r"(?:systemctl (?:start|status|edit|kill -s KILL)|journalctl -u)((?: leukolux[a-z-]*)+)"
    named = {unit for units in re.findall(after, text) for unit in units.split()}
    assert {"leukolux", "leukolux-light", "leukolux-kiosk"} <= named
    assert named <= {path.stem for path in (ROOT / "systemd/units").iterdir()}


@pytest.mark.parametrize(
    "line", [line for line in shell_lines(*PAGES) if line.startswith("pip install ")]
)
def test_every_extra_to_install_exists(line: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(re.findall(r"\w+", line.partition("[")[2])) <= set(project["optional-dependencies"])


def test_a_command_that_does_not_exist_is_noticed() -> None:
    with pytest.raises(click.UsageError):
        parse(["scan", "--no-such-option"])
    with pytest.raises(click.UsageError):
        parse(["camera", "no-such-command"])


@pytest.mark.parametrize(
    "target",
    sorted({line.split()[1] for line in shell_lines(*PAGES) if line.startswith("make ")}),
)
def test_every_make_target_of_the_pages_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_the_pages_have_links() -> None:
    assert links("README.md")
    assert links("docs/pages/builder/index.md")


@pytest.mark.parametrize("page", [*PAGES, "CHANGELOG.md"])
def test_every_picture_and_file_of_the_pages_is_there(page: str) -> None:
    folder = (ROOT / page).parent
    assert [link for link in links(page) if not (folder / link).exists()] == []


PATH = r"(?:device|docs|hal|models|systemd|tests|webui)/[\w./-]*"


@pytest.mark.parametrize("page", PAGES)
def test_every_path_that_the_text_names_exists(page: str) -> None:
    named = [span for span in spans(page) if re.fullmatch(PATH, span)]
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_command_explains_itself() -> None:
    for name in cli.list_commands(click.Context(cli)):
        result = CliRunner().invoke(cli, [name, "--help"])
        assert result.exit_code == 0, name
        assert len(result.output.splitlines()) > 4, name


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
    assert result.output.startswith("SETTINGS-INVALID: scan.target_cells = -1")
    assert "Traceback" not in result.output
