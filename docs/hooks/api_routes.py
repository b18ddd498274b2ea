"""The routes of the web API, as the application itself registers them."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any, Final, cast

from flask import Flask
from markup import docstring

from device.settings.file import Settings
from webui.app import create_app

PREFIX: Final = "/api/v1"
_HIDDEN: Final = {"HEAD", "OPTIONS"}


def api_routes() -> str:
    """Return every route below :data:`PREFIX`: method, address, parameters, what it does."""
    # The views are never called, so they need neither instrument nor records.
    app = create_app(cast("Any", None), cast("Any", None), Settings())
    parts: dict[str, list[str]] = {}
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: (rule.rule, str(rule.methods))):
        if rule.rule.startswith(PREFIX):
            view = app.view_functions[rule.endpoint]
            group = rule.endpoint.partition(".")[0]
            (method,) = (rule.methods or set()) - _HIDDEN
            parts.setdefault(group, []).append(_route(method, rule.rule, view))
    return "\n\n".join(
        f"## {_title(app, group)}\n\n" + "\n\n".join(routes) for group, routes in parts.items()
    )


def _title(app: Flask, group: str) -> str:
    module = inspect.getmodule(next(iter(_views(app, group))))
    return docstring(module).partition("\n")[0].partition(":")[0].rstrip(".")


def _views(app: Flask, group: str) -> list[Callable[..., Any]]:
    return [view for name, view in app.view_functions.items() if name.startswith(f"{group}.")]


def _route(method: str, address: str, view: Callable[..., Any]) -> str:
    choices = re.sub(
        r"<any\(([\w.,]+)\):\w+>", lambda any_of: f"({any_of[1].replace(',', '|')})", address
    )
    shown = re.sub(r"<(?:int:)?(\w+)>", r"{\1}", choices)
    parameters = ", ".join(f"`{name}`" for name in _parameters(view))
    said = f"\n\nParameters: {parameters}." if parameters else ""
    return f"### `{method} {shown}`\n\n{docstring(view)}{said}"


def _parameters(view: Callable[..., Any]) -> list[str]:
    """Return the names of the query parameters that the view reads."""
    names: list[str] = []
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(view)))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id == "cursor":
                names += ["after", "limit"]
            elif node.func.id in {"choice", "whole_number"}:
                names.append(ast.literal_eval(node.args[1]))
    return sorted(set(names))
