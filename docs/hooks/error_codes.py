"""The catalogue of errors as documentation: an index by area, and a page for each code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from string import Formatter
from typing import Final

from markup import table

from device.checks.catalogue import CATALOGUE
from hal.error_catalogue import error_catalogue

FOLDER: Final = "reference/errors"
"""Where the pages of the codes are, from the root of the site."""


def error_index() -> str:
    """Return a table of the codes of each area, and one of the checks."""
    by_area = sorted((text.area, code) for code, text in error_catalogue().items())
    sections = [
        f"## {_title(area)}\n\n"
        + table(
            ("Code", "What happened"),
            ((f"[{code}](errors/{code}.md)", _cause(code)) for _, code in codes),
        )
        for area, codes in groupby(by_area, key=lambda entry: entry[0])
    ]
    checks = ((check.id, f"{check.title}: {check.what}", check.remedy) for check in CATALOGUE)
    found = table(("Code", "What is checked", "What to do"), checks)
    return "\n\n".join([*sections, f"## Failed checks\n\n{found}"])


def error_pages() -> Mapping[str, str]:
    """Return the Markdown of each code by its path in the site."""
    return {f"{FOLDER}/{code}.md": _page(code) for code in error_catalogue()}


def _page(code: str) -> str:
    text = error_catalogue()[code]
    remedy = prose(text.remedy)
    area = f"[{_title(text.area)}](../errors.md#{_anchor(text.area)})"
    return (
        f"# {code}\n\n**What happened:** {_cause(code)}\n\n**What to do:** {remedy}\n\n"
        f"Area: {area}.\n"
    )


def _cause(code: str) -> str:
    return prose(error_catalogue()[code].cause)


def prose(template: str) -> str:
    """Return a text of the catalogue as Markdown, with the name of each value in italics."""
    return re.sub(r"(`[^`]*`)|\0(\w+)\0|([*\[<&])", _marked_up, "".join(_parts(template)))


def _parts(template: str) -> Iterator[str]:
    for literal, value, _, _ in Formatter().parse(template):
        yield literal
        if value is not None:
            yield f"\0{value}\0"


def _marked_up(match: re.Match[str]) -> str:
    code, value, markup = match.groups()
    if code:
        return str(code).replace("\0", "")
    return f"*{value.replace('_', ' ')}*" if value else f"&#{ord(markup)};"


def _title(area: str) -> str:
    return area.replace("_", " ").capitalize()


def _anchor(area: str) -> str:
    return area.replace("_", "-")
