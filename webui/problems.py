"""Failures as the web shows them: code, cause and remedy, with the right HTTP status."""

from __future__ import annotations

import logging
from http import HTTPStatus

from flask import Flask, Response, jsonify, make_response, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from device.errors import RequestRefusedError
from hal.errors import InputError, LeukoluxError
from webui.context import context

_log = logging.getLogger(__name__)


class ParameterError(InputError):
    """A parameter or body of a request cannot be used."""

    code = "WEB-PARAMETER"


class NotFoundError(InputError):
    """What was asked for does not exist."""

    code = "WEB-NOT-FOUND"

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} does not exist.", remedy="Check the number or the address.")


class TileNotKeptError(InputError):
    """The tile was counted, yet there is no picture of it."""

    code = "WEB-TILE-NOT-KEPT"

    def __init__(self, run_id: int, sequence: int) -> None:
        super().__init__(
            f"The picture of tile {sequence} of run {run_id} was not kept, or not that long.",
            remedy="For later runs: records.keep_tiles = 'all' and a larger records.tiles_max_mb.",
        )


class ForbiddenError(InputError):
    """The request is understood and not allowed here."""

    code = "WEB-FORBIDDEN"

    def __init__(self, cause: str) -> None:
        super().__init__(cause, remedy="Control the instrument from its own screen.")


class HostError(InputError):
    """The request names a host that is not this instrument."""

    code = "WEB-HOST"

    def __init__(self, host: str) -> None:
        super().__init__(
            f"The built-in screen does not answer to the host name {host!r}.",
            remedy="Open it as 127.0.0.1 or localhost.",
        )


class TokenError(InputError):
    """The token is missing or wrong."""

    code = "WEB-TOKEN"

    def __init__(self) -> None:
        super().__init__(
            "The token is missing or wrong.",
            remedy="Send the instrument's web.lan_token as 'Authorization: Bearer <token>'.",
        )


class BusyStreamsError(LeukoluxError):
    """Too many event streams are open."""

    code = "WEB-STREAMS"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{limit} event streams are open already.",
            remedy="Close another page, or poll /api/v1/status.",
        )


_STATUSES: tuple[tuple[type[LeukoluxError], HTTPStatus], ...] = (
    (NotFoundError, HTTPStatus.NOT_FOUND),
    (TileNotKeptError, HTTPStatus.NOT_FOUND),
    (ForbiddenError, HTTPStatus.FORBIDDEN),
    (HostError, HTTPStatus.MISDIRECTED_REQUEST),
    (TokenError, HTTPStatus.UNAUTHORIZED),
    (InputError, HTTPStatus.BAD_REQUEST),
    (RequestRefusedError, HTTPStatus.CONFLICT),
)
# Whoever was turned away gets no page, because every page shows the instrument's status.
_GUARDS = (ForbiddenError, HostError, TokenError)


def status_of(error: LeukoluxError) -> HTTPStatus:
    """Return the HTTP status of an anticipated failure."""
    for kind, status in _STATUSES:
        if isinstance(error, kind):
            return status
    return HTTPStatus.SERVICE_UNAVAILABLE


def install(app: Flask) -> None:
    """Make every failure of ``app`` an answer with code, cause and remedy."""

    @app.errorhandler(LeukoluxError)
    def anticipated(error: LeukoluxError) -> ResponseReturnValue:
        return _answer(error.as_dict(), status_of(error), bare=isinstance(error, _GUARDS))

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> ResponseReturnValue:
        status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
        if status < HTTPStatus.BAD_REQUEST:
            return error.get_response()
        response = _answer(
            {
                "code": f"WEB-{status.value}",
                "cause": f"{status.phrase}: {request.method} {request.path}.",
                "remedy": "Check the address, the method and the body of the request.",
            },
            status,
        )
        if isinstance(error, MethodNotAllowed):
            response.allow.update(error.valid_methods or ())
        return response

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> ResponseReturnValue:
        _log.exception("%s %s failed", request.method, request.path, exc_info=error)
        return _answer(
            {
                "code": "WEB-INTERNAL",
                "cause": "The request met a defect of the software.",
                "remedy": "Try again; if it stays, send the log to the maker.",
            },
            HTTPStatus.INTERNAL_SERVER_ERROR,
        )


def _answer(problem: dict[str, str], status: HTTPStatus, *, bare: bool = False) -> Response:
    if bare or request.path.startswith("/api/") or request.path == "/stream":
        response = jsonify(error=problem)
    else:
        response = make_response(_problem_page(problem))
    response.status_code = status
    if status is HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Bearer realm="leukolux"'
    return response


def _problem_page(problem: dict[str, str]) -> str:
    return render_template("problem.html", problem=problem, view=context().view())
