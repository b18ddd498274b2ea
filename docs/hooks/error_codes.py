"""Every code of an anticipated failure, with what the program says when it is raised.

The texts come from the catalogue of errors, and from raise sites that hold theirs themselves.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from device.checks.catalogue import CATALOGUE

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = ("device", "hal", "models", "webui")


@dataclass(frozen=True)
class Failure:
    """One way to fail.

    Attributes:
        code: stable identifier.
        cause: what happened; ``…`` stands for a value.
        remedy: what to do about it.
    """

    code: str
    cause: str
    remedy: str


def error_codes() -> str:
    """Return one section a code."""
    by_code: dict[str, list[Failure]] = {}
    for failure in failures():
        by_code.setdefault(failure.code, []).append(failure)
    return "\n\n".join(_section(code, by_code[code]) for code in sorted(by_code))


def failures() -> list[Failure]:
    """Return what the code raises, the checks included."""
    trees = [_tree(path) for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    codes = _class_codes(trees)
    found = {failure for tree in trees for failure in _raised(tree, codes)}
    checks = (
        Failure(check.id, f"{check.title}: {check.what}", check.remedy) for check in CATALOGUE
    )
    return sorted(
        {*_catalogued(), *found, *checks}, key=lambda failure: (failure.code, failure.cause)
    )


def _catalogued() -> Iterator[Failure]:
    for file in sorted((ROOT / "hal" / "error_texts").glob("*.toml")):
        for code, texts in tomllib.loads(file.read_text(encoding="utf-8")).items():
            cause, remedy = (re.sub(r"\{.*?\}", "…", texts[key]) for key in ("cause", "remedy"))
            yield Failure(code, cause, remedy)


def _section(code: str, ways: list[Failure]) -> str:
    lines = (f"- {failure.cause}<br>**What to do:** {failure.remedy}" for failure in ways)
    return f"## {code}\n\n" + "\n".join(lines)


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _class_codes(trees: list[ast.Module]) -> dict[str, str]:
    """Return the code of each class of failures, inherited where it sets none of its own."""
    own: dict[str, str] = {}
    bases: dict[str, list[str]] = {}
    for node in (node for tree in trees for node in ast.walk(tree)):
        if not isinstance(node, ast.ClassDef):
            continue
        bases[node.name] = [base.id for base in node.bases if isinstance(base, ast.Name)]
        for item in node.body:
            if isinstance(item, ast.Assign | ast.AnnAssign) and isinstance(
                item.value, ast.Constant
            ):
                target = item.targets[0] if isinstance(item, ast.Assign) else item.target
                if ast.unparse(target) == "code":
                    own[node.name] = str(item.value.value)

    def code(name: str) -> str | None:
        inherited = (code(base) for base in bases.get(name, ()))
        return own.get(name) or next((found for found in inherited if found), None)

    return {name: found for name in bases if (found := code(name))}


def _raised(tree: ast.Module, codes: dict[str, str]) -> Iterator[Failure]:
    for owner in ast.walk(tree):
        inside = owner.name if isinstance(owner, ast.ClassDef) else ""
        for node in ast.walk(owner) if inside in codes else ast.iter_child_nodes(owner):
            if isinstance(node, ast.Call) and (failure := _failure(node, inside, codes)):
                yield failure


def _failure(call: ast.Call, inside: str, codes: dict[str, str]) -> Failure | None:
    given = {word.arg: word.value for word in call.keywords}
    name = ast.unparse(call.func).rpartition(".")[2]
    if "remedy" not in given or not call.args:
        return None
    own = given.get("code")
    if isinstance(own, ast.Constant):
        code = str(own.value)
    else:
        code = codes.get(inside if name == "__init__" else name, "")
    cause, remedy = _words(call.args[0]), _words(given["remedy"])
    return Failure(code, cause, remedy) if code and cause != "…" else None


def _words(node: ast.expr) -> str:
    """Return the text of an expression, ``…`` for each part that is known only when it runs."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_words(part) for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _words(left) + _words(right)
        case ast.IfExp(body=body, orelse=orelse):
            return f"{_words(body)} / {_words(orelse)}"
        case _:
            return "…"
