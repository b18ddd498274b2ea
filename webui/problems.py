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
from webui.errors import ForbiddenError, HostError, NotFoundError, TileNotKeptError, TokenError
from webui.views.status import status_view_of

_log = logging.getLogger(__name__)


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
    return render_template("problem.html", problem=problem, view=status_view_of(context()))
