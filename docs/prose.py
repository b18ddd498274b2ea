"""The prose linter: reports words that the rules in ``docs/prose.toml`` refuse, with what to use.

    python docs/prose.py [FILE ...]

Without files it reads the paths of the rules.  It ends with 1 when it has found something.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

ROOT: Final = Path(__file__).resolve().parents[1]
RULES: Final = ROOT / "docs" / "prose.toml"
SUFFIXES: Final = {".md", ".html", ".json", ".py", ".toml"}
_NOT_PROSE: Final[dict[str, str]] = {
    ".md": r"^```.*?^```|``[^`]+``|`[^`]*`|\]\([^)]*\)|<!--.*?-->",
    ".html": r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}|<[^>]*>",
    ".json": r'"[^"]*"(?=\s*:)',
    ".toml": r"`[^`]*`|\{[^}]*\}|^\[.*?\]$",
}
"""What a file holds that no person reads as a sentence."""


@dataclass(frozen=True)
class Rules:
    """What must not be said, in one pattern, and what to say instead.

    Attributes:
        pattern: one group a rule, in the order of ``advice``.
        advice: what to write.
        paths: files and folders that are read, from the root of the repository.
        skip: end of a file's name and a heading, ``FILE:HEADING``, below which nothing is read.
    """

    pattern: re.Pattern[str]
    advice: tuple[str, ...]
    paths: tuple[str, ...]
    skip: tuple[str, ...]

    @classmethod
    def read(cls, path: Path = RULES) -> Self:
        """Read the rules.  Raises KeyError, OSError or re.error when they are no rules."""
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        rules = document["words"] | document["terms"]
        groups = [re.sub(r"\((?!\?)", "(?:", words) for words in rules]
        pattern = "|".join(rf"(\b(?:{words})\b)" for words in groups)
        return cls(
            re.compile(pattern.replace(" ?", r"\s*").replace(" ", r"\s+"), re.IGNORECASE),
            tuple(rules.values()),
            tuple(document["paths"]),
            tuple(document["skip"]),
        )

    def files(self) -> Iterator[Path]:
        """Yield every file that the rules concern.  Raises OSError when a path does not exist."""
        for name in self.paths:
            path = ROOT / name
            path.stat()
            found = [path] if path.is_file() else sorted(path.rglob("*"))
            yield from (one for one in found if one.suffix in SUFFIXES)

    def complaints(self, path: Path) -> Iterator[str]:
        """Yield ``FILE:LINE: WORDS: ADVICE`` for each place in a file."""
        text = self._prose(path)
        shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
        for match in self.pattern.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            words = " ".join(match[0].split())
            yield f"{shown}:{line}: “{words}”: use {self.advice[(match.lastindex or 1) - 1]}"

    def _prose(self, path: Path) -> str:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".py":
            return _docstrings(text)
        for name, _, heading in (entry.partition(":") for entry in self.skip):
            if path.as_posix().endswith(name):
                text = text.partition(heading)[0]
        return re.sub(_NOT_PROSE[path.suffix], _blank, text, flags=re.DOTALL | re.MULTILINE)


def _blank(match: re.Match[str]) -> str:
    """Return what keeps the lines of ``match`` and says nothing."""
    return "\n" * match[0].count("\n") or "·"


def _docstrings(source: str) -> str:
    """Return the texts of a module, each on its own lines, without what stands in backquotes."""
    lines = [""] * (source.count("\n") + 2)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            text = re.sub(r"``?[^`]*``?", _blank, node.value)
            for offset, part in enumerate(f"{text} · ".splitlines()):
                lines[min(node.lineno - 1 + offset, len(lines) - 1)] += part
    return "\n".join(lines)


def main(names: list[str]) -> int:
    """Print every complaint; return the exit code."""
    rules = Rules.read()
    files = [Path(name).resolve() for name in names] or list(rules.files())
    found = [complaint for path in files for complaint in rules.complaints(path)]
    sys.stdout.write("".join(f"{complaint}\n" for complaint in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
