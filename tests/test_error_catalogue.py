"""Laws between the raise sites of anticipated failures and the catalogue of their texts.

A raise site is a call in the source whose first argument is a code: written out, one of two codes
on a condition, or an f-string.  A part of an f-string stands for any code with the same beginning
and end; with the format ``:d`` it stands for digits only, so ``f"STAGE-ALARM-{alarm:d}"`` is every
numbered alarm and not ``STAGE-ALARM-UNKNOWN``.  A call of a helper, or of a class held in a
variable, is a raise site if its first argument is a code of the catalogue; so is an entry of a
table whose value is one.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from string import Formatter

import hal
from hal.error_catalogue import ErrorText, error_catalogue

ROOT = Path(hal.__file__).parents[1]
PACKAGES = ("device", "hal", "models", "webui")
CODE = re.compile(r"[A-Z][A-Z0-9]*(-[A-Z0-9]+)*")
PREFIX = re.compile(r"[A-Z][A-Z0-9]*-([A-Z0-9]+-)*")
BANNED = re.compile(
    r"\b(anew|beside|likewise|tells? of|so many|at all times|(is|are|was|were) none)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class RaiseSite:
    """One call that gives a code.

    Attributes:
        where: file and line.
        shown: the code, or the pattern of an f-string.
        codes: the codes of the catalogue that it can be.
        values: names of the values given.
        closed: whether these are all that the texts get; not for a helper, which may add some.
    """

    where: str
    shown: str
    codes: tuple[str, ...]
    values: frozenset[str]
    closed: bool


def fields(text: ErrorText) -> frozenset[str]:
    """Return the names of the values in cause and remedy."""
    found = chain(Formatter().parse(text.cause), Formatter().parse(text.remedy))
    return frozenset(re.split(r"[.\[]", name)[0] for _, name, _, _ in found if name is not None)


@cache
def modules() -> dict[str, ast.Module]:
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text("utf-8")) for path in paths}


@cache
def error_classes() -> frozenset[str]:
    """Return the names of LeukoluxError and of every class below it."""
    bases = {
        node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
        for module in modules().values()
        for node in ast.walk(module)
        if isinstance(node, ast.ClassDef)
    }
    found = {"LeukoluxError"}
    while more := {name for name, above in bases.items() if above & found} - found:
        found |= more
    return frozenset(found)


@cache
def raise_sites() -> tuple[RaiseSite, ...]:
    return tuple(
        site
        for path, module in modules().items()
        for node in ast.walk(module)
        if isinstance(node, ast.Call | ast.Dict | ast.DictComp)
        for site in (sites_of if isinstance(node, ast.Call) else entries_of)(
            node, f"{path}:{node.lineno}"
        )
    )


def entries_of(table: ast.Dict | ast.DictComp, where: str) -> Iterator[RaiseSite]:
    values = table.values if isinstance(table, ast.Dict) else [table.value]
    codes = {value.value for value in values if isinstance(value, ast.Constant)}
    for code in sorted(code for code in codes if code in error_catalogue()):
        yield RaiseSite(where, code, (code,), frozenset(), closed=False)


def sites_of(call: ast.Call, where: str) -> Iterator[RaiseSite]:
    names = [keyword.arg for keyword in call.keywords]
    if not call.args:
        return
    builds_error = callee(call.func) in error_classes() | {"super().__init__"}
    for shown, pattern in codes_given(call.args[0]):
        codes = tuple(code for code in error_catalogue() if re.fullmatch(pattern, code))
        # A call of something else counts only when its argument is a code for certain.
        if codes or builds_error:
            values = frozenset(name for name in names if name is not None)
            yield RaiseSite(where, shown, codes, values, builds_error and None not in names)


def callee(node: ast.expr) -> str:
    """Return the name of what is called, without its module; empty when it has none."""
    if ast.unparse(node) == "super().__init__":
        return "super().__init__"
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def codes_given(node: ast.expr) -> Iterator[tuple[str, str]]:
    """Yield each code that an argument can be, as it is shown and as a pattern."""
    match node:
        case ast.Constant(value=str(code)) if CODE.fullmatch(code):
            yield code, re.escape(code)
        case ast.IfExp(body=body, orelse=orelse):
            yield from codes_given(body)
            yield from codes_given(orelse)
        case ast.JoinedStr(values=[ast.Constant(value=str(start)), *_] as parts) if (
            PREFIX.fullmatch(start)
        ):
            yield ast.unparse(node), "".join(map(pattern_of, parts))


def pattern_of(part: ast.expr) -> str:
    if isinstance(part, ast.Constant):
        return re.escape(str(part.value))
    digits = isinstance(part, ast.FormattedValue) and part.format_spec is not None
    return r"\d+" if digits else "[A-Z0-9-]+"


def test_every_code_that_is_raised_is_in_the_catalogue() -> None:
    assert not [f"{site.where}: {site.shown}" for site in raise_sites() if not site.codes]


def test_a_raise_site_gives_by_name_what_its_texts_name() -> None:
    offenders = []
    for site in raise_sites():
        for code in site.codes:
            needed = fields(error_catalogue()[code])
            fits = site.values == needed if site.closed else site.values <= needed
            if not fits:
                offenders.append(
                    f"{site.where}: {code} gets {sorted(site.values)}, needs {sorted(needed)}"
                )
    assert not offenders


def test_every_code_has_one_raise_site() -> None:
    times = Counter(code for site in raise_sites() for code in site.codes)
    twice = {code for code, number in times.items() if number > 1}
    assert not [f"{site.where}: {site.shown}" for site in raise_sites() if twice & {*site.codes}]


def test_every_code_of_the_catalogue_is_raised() -> None:
    assert not error_catalogue().keys() - {code for site in raise_sites() for code in site.codes}


def test_no_text_holds_a_banned_word() -> None:
    assert not [
        f"{code}: {found[0]!r} in {sentence!r}"
        for code, text in error_catalogue().items()
        for sentence in (text.cause, text.remedy)
        if (found := BANNED.search(sentence))
    ]
