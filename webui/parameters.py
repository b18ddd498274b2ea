"""Parameters of requests: checked once, with an error that names the parameter and its range."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from flask import Request

from webui.errors import NotFoundError, ParameterError

if TYPE_CHECKING:
    from device.engine.state.sample_entry import SampleChanges

LARGEST_ID: Final = 2**63 - 1


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
            f"{name} = {raw[:40]!r} is not a whole number from {low} to {high}.",
            remedy=f"Leave {name} out for {default}, or send a number in that range.",
        )
    return value


def choice(request: Request, name: str, allowed: tuple[str, ...], default: str) -> str:
    """Return the query parameter ``name``, one of ``allowed``.

    Raises:
        ParameterError: it is something else.
    """
    value = request.args.get(name, default)
    if value not in allowed:
        raise ParameterError(
            f"{name} = {value[:40]!r} is unknown.", remedy=f"Use one of: {', '.join(allowed)}."
        )
    return value


def record_id(raw: int, what: str) -> int:
    """Return ``raw`` when it can be the number of a record.

    Raises:
        NotFoundError: it is larger than any number the database can hold.
    """
    if raw > LARGEST_ID:
        raise NotFoundError(f"{what} {raw if raw < 10**24 else 'of that number'}")
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
        raise ParameterError("The body is no JSON object.", remedy='Send JSON as {"name": "..."}.')
    return body


def field(body: dict[str, Any], name: str, *, longest: int) -> str:
    """Return the text ``name`` of a body without surrounding blanks, empty when it has none.

    Raises:
        ParameterError: it is no text, too long, or cannot be printed.
    """
    value = body.get(name, "")
    if not isinstance(value, str) or len(value) > longest or not value.isprintable():
        raise ParameterError(
            f"{name} cannot be used.", remedy=f"Send up to {longest} printable characters."
        )
    return value.strip()


def sample_changes(body: dict[str, Any]) -> SampleChanges:
    """Return what a body says of the waiting sample, as :class:`SampleChanges` names it.

    Texts are not judged here: the instrument does that, for every screen alike.

    Raises:
        ParameterError: the body says nothing of it, or a value is of the wrong type.
    """
    changes = {name: body[name] for name in _SAMPLE_FIELDS if name in body}
    if not changes:
        raise ParameterError(
            f"The body holds none of {', '.join(_SAMPLE_FIELDS)}.",
            remedy='Send JSON as {"sample_id": "S-0001"}.',
        )
    for name, value in changes.items():
        usable, wanted = _SAMPLE_FIELDS[name]
        if not usable(value):
            raise ParameterError(f"{name} is not {wanted}.", remedy=f"Send {wanted}.")
    return cast("SampleChanges", changes)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_text_or_null(value: object) -> bool:
    return value is None or isinstance(value, str)


def _is_lot_or_null(value: object) -> bool:
    return value is None or (type(value) is int and 0 < value <= LARGEST_ID)


_SAMPLE_FIELDS: Final[Mapping[str, tuple[Callable[[object], bool], str]]] = {
    "sample_id": (_is_text, "a text"),
    "operator": (_is_text, "a text"),
    "control_lot": (_is_lot_or_null, "the number of a lot, or null for a sample of a person"),
    "draft_sample_id": (_is_text_or_null, "a text or null"),
    "draft_operator": (_is_text_or_null, "a text or null"),
}
