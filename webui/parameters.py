"""Parameters of requests: checked once, with an error that names the parameter and its range."""

from __future__ import annotations

import re
from typing import Any, Final

from flask import Request

from webui.errors import NotFoundError, ParameterError

LARGEST_ID: Final = 2**63 - 1
SAMPLE_ID_PATTERN: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


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


def control_lot(request: Request) -> int | None:
    """Return the lot of the control slide of a body ``{"control_lot": 3}``, None without one.

    Raises:
        ParameterError: it is no number of a lot.
    """
    value = json_body(request).get("control_lot")
    if value is not None and (type(value) is not int or not 0 < value <= LARGEST_ID):
        raise ParameterError(
            "control_lot is no number of a lot.", remedy="Leave it out for a sample of a person."
        )
    return value


def sample_id(request: Request) -> str:
    """Return the sample id of a JSON body ``{"sample_id": "..."}``.

    Raises:
        ParameterError: the body is not such an object, or the id holds other characters than
            letters, digits, dot, dash and underscore, or is empty or longer than 64.
    """
    try:
        body: Any = request.get_json(silent=True)
    except RecursionError:  # thousands of nested brackets
        body = None
    value = body.get("sample_id") if isinstance(body, dict) else None
    if not isinstance(value, str) or not SAMPLE_ID_PATTERN.fullmatch(value):
        raise ParameterError(
            "The body does not hold a usable sample_id.",
            remedy=(
                'Send JSON as {"sample_id": "S-0001"}: 1 to 64 letters, digits, dots, dashes or '
                "underscores."
            ),
        )
    return value
