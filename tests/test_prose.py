"""The prose linter finds what its rules refuse, and reads no code."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "docs"))
from prose import Rules, main


def complaints(path: Path, text: str) -> list[str]:
    path.write_text(text, encoding="utf-8")
    return list(Rules.read().complaints(path))


def test_a_refused_word_is_reported_with_its_place_and_what_to_use(tmp_path: Path) -> None:
    (found,) = complaints(tmp_path / "page.md", "# Page\n\nThe lamps tell\nof it.\n")
    assert found.endswith("page.md:3: “tell of”: use report, say or show")


@pytest.mark.parametrize(
    "line",
    [
        "It is measured anew.",
        "A run beside a check.",
        "y likewise",
        "There were so many of them.",
        "The errors are none.",
        "The LightBook keeps it.",
        "The album of cells.",
    ],
)
def test_each_kind_of_refused_word_is_found(tmp_path: Path, line: str) -> None:
    assert len(complaints(tmp_path / "page.md", f"{line}\n")) == 1


def test_code_is_not_read(tmp_path: Path) -> None:
    text = "Use `light_book` [here](anew.md).\n\n```sh\nleukolux anew  # beside\n```\n"
    assert complaints(tmp_path / "page.md", text) == []


def test_of_a_template_and_of_a_catalogue_only_the_texts_are_read(tmp_path: Path) -> None:
    html = '<p class="beside">{{ anew }} Done.</p>\n<p>Done anew.</p>\n'
    (found,) = complaints(tmp_path / "page.html", html)
    assert ":2: " in found
    catalogue = '{\n  "beside": "next to",\n  "next": "beside"\n}\n'
    (found,) = complaints(tmp_path / "en.json", catalogue)
    assert ":3: " in found


def test_of_code_the_docstrings_and_messages_are_read(tmp_path: Path) -> None:
    code = 'def laps(anew):\n    """Measure it all\n    anew, as `beside`."""\n'
    (found,) = complaints(tmp_path / "module.py", code)
    assert ":3: " in found


@pytest.mark.slow
def test_the_texts_of_the_repository_pass() -> None:
    assert main([]) == 0
