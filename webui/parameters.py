"""Parameters of requests, checked in one place; an error names the parameter and its range."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from flask import Request

from webui.errors import NotFoundError, ParameterError

if TYPE_CHECKING:
    from device.engine.state.sample_entry import SampleChanges

LARGEST_ID: Final = 2**63 - 1
_HALF_CHARACTER: Final = re.compile("[\ud800-\udfff]")
_SHOWN: Final = 40
"""Characters of a wrong value that a message repeats."""


def whole_number(request: Request, name: str, *, default: int, low: int, high: int) -> int:
    """Return the query parameter ``name`` as an integer from ``low`` to ``high``.

    Raises:
        ParameterError: it is not a plain decimal number or out of range.
    """
    raw = request.args.get(name)
    if raw is None:
        return default
    value = int(raw) if re.fullmatch(r"[0-9]{1,19}", raw) else None
    if value is None or not low <= value <= high:
        raise ParameterError(
            "WEB-NUMBER", name=name, value=raw[:_SHOWN], low=low, high=high, default=default
        )
    return value


def choice(request: Request, name: str, allowed: tuple[str, ...], default: str) -> str:
    """Return the query parameter ``name``, one of ``allowed``.

    Raises:
        ParameterError: it is something else.
    """
    value = request.args.get(name, default)
    if value not in allowed:
        shown = ", ".join(filter(None, allowed))
        raise ParameterError("WEB-CHOICE", name=name, value=value[:_SHOWN], allowed=shown)
    return value


def record_id(raw: int) -> int:
    """Return ``raw`` if it can be the number of a record.

    Raises:
        NotFoundError: it is larger than any number the database can hold.
    """
    if raw > LARGEST_ID:
        raise NotFoundError("WEB-RECORD-NUMBER", largest=LARGEST_ID)
    return raw


def json_body(request: Request) -> dict[str, Any]:
    """Return the JSON object of a body.

    Raises:
        ParameterError: the body is something else.
    """
    try:
        body: Any = request.get_json(silent=True)
    except RecursionError:  # thousands of nested brackets
        body = None
    if not isinstance(body, dict):
        raise ParameterError("WEB-JSON")
    return body


def field(body: dict[str, Any], name: str, *, longest: int) -> str:
    """Return the text ``name`` of a body without surrounding blanks, empty if it is left out.

    Raises:
        ParameterError: it is not a text, too long, or cannot be printed.
    """
    value = body.get(name, "")
    if not isinstance(value, str) or len(value) > longest or not value.isprintable():
        raise ParameterError("WEB-TEXT", name=name, longest=longest)
    return value.strip()


def sample_changes(body: dict[str, Any]) -> SampleChanges:
    """Return what a body says of the waiting sample, as :class:`SampleChanges` names it.

    The instrument judges the texts, so that every screen gets the same answer.

    Raises:
        ParameterError: the body says nothing of it, or a value is of the wrong type.
    """
    changes = {name: body[name] for name in _SAMPLE_FIELDS if name in body}
    if not changes:
        raise ParameterError("WEB-NO-SAMPLE", names=", ".join(_SAMPLE_FIELDS))
    for name, value in changes.items():
        usable, kind = _SAMPLE_FIELDS[name]
        if not usable(value):
            raise ParameterError(f"WEB-SAMPLE-{kind}", name=name)
    return cast("SampleChanges", changes)


def _is_text(value: object) -> bool:
    # JSON can hold half a character, which no page and no database can.
    return isinstance(value, str) and not _HALF_CHARACTER.search(value)


def _is_text_or_null(value: object) -> bool:
    return value is None or _is_text(value)


def _is_lot_or_null(value: object) -> bool:
    return value is None or (type(value) is int and 0 < value <= LARGEST_ID)


_TEXT: Final = (_is_text, "TEXT")
_DRAFT: Final = (_is_text_or_null, "DRAFT")
_SAMPLE_FIELDS: Final[Mapping[str, tuple[Callable[[object], bool], str]]] = {
    "sample_id": _TEXT,
    "operator": _TEXT,
    "control_lot": (_is_lot_or_null, "LOT"),
    "draft_sample_id": _DRAFT,
    "draft_operator": _DRAFT,
}
