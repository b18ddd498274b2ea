"""Small pieces of Markdown from what the code says of itself."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence


def docstring(thing: object) -> str:
    """Return the docstring without the markup of cross-references, which the pages do not have."""
    text = inspect.getdoc(thing) or ""
    text = re.sub(r":[a-z]+:`~?([^`]+)`", r"`\1`", text)
    return text.replace("``", "`")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a cell may hold anything but line ends."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")
