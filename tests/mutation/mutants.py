"""Every small change of a module that a test should notice."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

OPERATORS: Final = (
    "AddNot",
    "ExceptionReplacer",
    "NumberReplacer",
    "ReplaceAndWithOr",
    "ReplaceBinaryOperator_Add_Sub",
    "ReplaceBinaryOperator_Div_Mul",
    "ReplaceBinaryOperator_Mul_Div",
    "ReplaceBinaryOperator_Sub_Add",
    "ReplaceBreakWithContinue",
    "ReplaceComparisonOperator_Eq_NotEq",
    "ReplaceComparisonOperator_Gt_GtE",
    "ReplaceComparisonOperator_GtE_Gt",
    "ReplaceComparisonOperator_Is_IsNot",
    "ReplaceComparisonOperator_IsNot_Is",
    "ReplaceComparisonOperator_Lt_LtE",
    "ReplaceComparisonOperator_LtE_Lt",
    "ReplaceComparisonOperator_NotEq_Eq",
    "ReplaceContinueWithBreak",
    "ReplaceFalseWithTrue",
    "ReplaceOrWithAnd",
    "ReplaceTrueWithFalse",
    "ReplaceUnaryOperator_USub_UAdd",
    "ZeroIterationForLoop",
)
"""Of cosmic-ray, one change of a kind: boundaries and opposites, not every other operator."""

LEAVES: Final = (ast.Raise, ast.Return, ast.Continue, ast.Break)


@dataclass(frozen=True)
class Mutant:
    """One change.

    Attributes:
        before: the lines that change, stripped; a bare ``continue`` with the line above it.
        after: what they become, stripped.
        code: the whole module.
    """

    before: str
    after: str
    code: str


def mutants_of(source: str) -> list[Mutant]:
    """Return the mutants of a module, each text once, without those that change nothing."""
    meaning = _meaning(source)
    found: dict[str, None] = {}
    for code in (*_by_cosmic_ray(source), *_without_guards(source)):
        if _meaning(code) != meaning:
            found[code] = None
    return [Mutant(*_changed_lines(source, code), code) for code in found]


def _by_cosmic_ray(source: str) -> Iterator[str]:
    nodes = list(ast_nodes(get_ast(source)))
    for name in OPERATORS:
        operator = get_operator(f"core/{name}")()
        count = sum(1 for node in nodes for _ in operator.mutation_positions(node))
        for occurrence in range(count):
            code = mutate_code(source, operator, occurrence)
            if code is not None:
                yield code


def _without_guards(source: str) -> Iterator[str]:
    """Yield the module without one operand of an and/or, one early exit, or one plain call."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.BoolOp(op=op, values=values):
                neutral = "True" if isinstance(op, ast.And) else "False"
                for value in values:
                    yield _replaced(source, value, neutral)
            case ast.If(test=test, body=[*_, last]) if isinstance(last, LEAVES):
                yield _replaced(source, test, "False")
            case ast.Expr(value=ast.Call(func=func)) if not ast.unparse(func).startswith("log."):
                yield _replaced(source, node, "pass")


def _replaced(source: str, node: ast.expr | ast.stmt, text: str) -> str:
    """Return the source with another text in the place of a node."""
    lines = source.encode().splitlines(keepends=True)
    starts = [sum(map(len, lines[:number])) for number in range(len(lines))]
    start = starts[node.lineno - 1] + node.col_offset
    end = starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
    whole = source.encode()
    return (whole[:start] + text.encode() + whole[end:]).decode()


def _meaning(code: str) -> str:
    """Return what runs: without annotations, which are never evaluated here.

    Nor do ``strict`` of a ``zip`` and ``frozen`` of a dataclass count, which no data can trip.
    """
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
        elif isinstance(node, ast.keyword) and node.arg in ("strict", "frozen"):
            node.value = ast.Constant(None)
    return ast.dump(tree)


def _changed_lines(source: str, code: str) -> tuple[str, str]:
    sides: dict[str, list[str]] = {"-": [], "+": []}
    for line in difflib.unified_diff(source.splitlines(), code.splitlines(), n=0, lineterm=""):
        if line[0] in sides and not line.startswith(("---", "+++")):
            sides[line[0]].append(line[1:].strip())
    before, after = " ".join(sides["-"]), " ".join(sides["+"])
    if before in ("continue", "break", "pass"):
        pairs = zip(source.splitlines(), code.splitlines(), strict=True)
        number = next(number for number, (one, other) in enumerate(pairs) if one != other)
        above = source.splitlines()[number - 1].strip()
        return f"{above} {before}", f"{above} {after}"
    return before, after
