"""The catalogue of anticipated failures: cause and remedy of every code, kept as data.

The texts stand in ``hal/error_texts/*.toml``, one table a code.  Both are templates of
:meth:`str.format`, filled with the values that the raise site gives by name.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class ErrorText:
    """Texts of one code.

    Attributes:
        area: file that holds the code, such as ``stage``.
        cause: what happened, one sentence for a person.
        remedy: what the person at the instrument can do about it.
    """

    area: str
    cause: str
    remedy: str


@cache
def error_catalogue() -> Mapping[str, ErrorText]:
    """Return the texts of every code.

    Raises:
        ValueError: a code stands in two files, or a table holds other keys.
    """
    texts: dict[str, ErrorText] = {}
    folder = files("hal").joinpath("error_texts")
    for file in sorted(folder.iterdir(), key=lambda path: path.name):
        area = file.name.removesuffix(".toml")
        for code, table in tomllib.loads(file.read_text(encoding="utf-8")).items():
            if code in texts or set(table) != {"cause", "remedy"}:
                raise ValueError(f"{file.name}: {code} is defined twice or not well-formed")
            texts[code] = ErrorText(area, table["cause"], table["remedy"])
    return texts
