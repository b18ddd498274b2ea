"""The generated parts of the documentation say what the code does; the site needs no network."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from device.checks.catalogue import CATALOGUE
from device.engine.state.states import TRANSITIONS, Event, State
from device.settings.file import Settings
from hal.error_catalogue import error_catalogue
from webui.cli.main import cli

sys.path.insert(0, str(Path(__file__).parents[1] / "docs" / "hooks"))
from api_routes import api_routes
from command_line import command_line
from error_codes import error_index, error_pages, prose
from settings_table import settings_table
from state_diagram import state_diagram, state_table

DOCS = Path(__file__).resolve().parents[1] / "docs"
EVERYWHERE = (Event.FAIL, Event.SHUT_DOWN)


def test_every_setting_is_listed_with_its_default() -> None:
    table = settings_table()
    defaults = Settings()
    for name in Settings.model_fields:
        assert f"## [{name}]" in table
        for key in type(getattr(defaults, name)).model_fields:
            assert f"| `{key}` |" in table
    assert "| `target_cells` | `200` | cells | 1 to 2000 | classified white cells that" in table
    assert '| `driver` | `"grbl"` |  | `"grbl"`, `"apt"` | stage driver |' in table


def test_every_route_of_the_api_is_listed_with_what_it_does() -> None:
    routes = api_routes()
    assert "### `POST /api/v1/runs`\n\nStart a run of the sample in the body" in routes
    assert "### `GET /api/v1/runs/{run_id}/cells`" in routes
    cells = routes.partition("### `GET /api/v1/runs/{run_id}/cells`")[2].partition("###")[0]
    assert "Parameters: `after`, `format`, `kind`, `limit`." in cells
    sources = (DOCS.parent / "webui").rglob("*.py")
    declared = sum(
        len(re.findall(r"^@blueprint\.(?:get|post)", source.read_text(encoding="utf-8"), re.M))
        for source in sources
        if 'url_prefix="/api/v1"' in source.read_text(encoding="utf-8")
    )
    assert routes.count("\n### ") + 1 >= declared > 30


def test_every_command_is_listed_with_its_options() -> None:
    page = command_line()
    for name in cli.list_commands(None):  # type: ignore[arg-type]
        assert f"## leukolux {name}" in page
    assert "## leukolux camera noise" in page
    assert "--target-cells" in page


def test_every_code_has_a_page_that_the_index_links_to() -> None:
    index, pages = error_index(), error_pages()
    assert all(f"| {check.id} | {check.title}: " in index for check in CATALOGUE)
    assert set(pages) == {f"reference/errors/{code}.md" for code in error_catalogue()}
    assert all(f"| [{code}](errors/{code}.md) | " in index for code in error_catalogue())
    assert pages["reference/errors/WEB-COMMENT-EMPTY.md"].splitlines() == [
        *("# WEB-COMMENT-EMPTY", ""),
        *("**What happened:** The comment is empty.", ""),
        *("**What to do:** Enter a text.", ""),
        "Area: [Web](../errors.md#web).",
    ]


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        ("Lot {lot_id!r} is {z_um:.1f} µm off.", "Lot *lot id* is *z um* µm off."),
        ('Send {{"a": []}} as <token>.', 'Send {"a": &#91;]} as &#60;token>.'),
        ("See `leukolux run {name}<file>`.", "See `leukolux run name<file>`."),
    ],
)
def test_a_text_of_the_catalogue_is_shown_as_it_is_written(template: str, shown: str) -> None:
    assert prose(template) == shown


def test_every_transition_is_in_the_picture_and_in_the_table() -> None:
    picture, table = state_diagram(), state_table()
    assert [state for state in State if f">{state}</text>" not in picture] == []
    for (state, event), target in TRANSITIONS.items():
        if event in EVERYWHERE:
            continue
        (row,) = [line for line in table.splitlines() if line.startswith(f"| `{state}` |")]
        assert f"{event}: `{target}`" in row
        assert target is state or re.search(rf'class="event"[^>]*>[a-z_, ]*\b{event}\b', picture)


@pytest.mark.slow
def test_the_site_is_whole_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="the extra docs is not installed")
    words = ("build", "--quiet", "--config-file", DOCS / "mkdocs.yml", "--site-dir", tmp_path)
    subprocess.run([sys.executable, "-m", "mkdocs", *words], check=True)
    pages = {page: page.read_text(encoding="utf-8") for page in tmp_path.rglob("*.html")}
    assert len(pages) > 30
    codes = {page.stem for page in pages if page.parent == tmp_path / "reference" / "errors"}
    assert codes == error_catalogue().keys()
    token = pages[tmp_path / "reference" / "errors" / "WEB-TOKEN.html"]
    assert "Authorization: Bearer &lt;token" in token or "Bearer &#60;token" in token
    for page, html in pages.items():
        loaded = re.findall(
            r"<(?:script|img|link|iframe)[^>]*(?:src|href)=\"?(https?:[^\" >]*)", html
        )
        assert loaded == [], page
        assert "<!-- generated" not in html, page
    for style in tmp_path.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import\s*)[\"']?https?:", style.read_text("utf-8")), style
