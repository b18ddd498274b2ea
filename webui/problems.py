"""Failures as pages and API show them: code, cause and remedy, with the right HTTP status."""

from __future__ import annotations

import logging
from http import HTTPStatus

from flask import Flask, Response, jsonify, make_response, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from device.errors import RequestRefusedError
from hal.error_catalogue import error_catalogue
from hal.errors import InputError, LeukoluxError
from webui.context import context
from webui.errors import ForbiddenError, HostError, NotFoundError, TokenError
from webui.views.status import status_view_of

_log = logging.getLogger(__name__)

_STATUSES: tuple[tuple[type[LeukoluxError], HTTPStatus], ...] = (
    (NotFoundError, HTTPStatus.NOT_FOUND),
    (ForbiddenError, HTTPStatus.FORBIDDEN),
    (HostError, HTTPStatus.MISDIRECTED_REQUEST),
    (TokenError, HTTPStatus.UNAUTHORIZED),
    (InputError, HTTPStatus.BAD_REQUEST),
    (RequestRefusedError, HTTPStatus.CONFLICT),
)
# A client that was turned away gets no page, because every page shows the instrument's status.
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
        return _answer(error, status_of(error), bare=isinstance(error, _GUARDS))

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> ResponseReturnValue:
        status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
        if status < HTTPStatus.BAD_REQUEST:
            return error.get_response()
        response = _answer(_http_problem(status), status)
        if isinstance(error, MethodNotAllowed):
            response.allow.update(error.valid_methods or ())
        return response

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> ResponseReturnValue:
        _log.exception("%s %s failed", request.method, request.path, exc_info=error)
        return _answer(LeukoluxError("WEB-INTERNAL"), HTTPStatus.INTERNAL_SERVER_ERROR)


def _http_problem(status: HTTPStatus) -> LeukoluxError:
    """Return a refusal of the web framework; a status without texts of its own is WEB-HTTP."""
    method, path = request.method, request.path
    if f"WEB-{status.value}" in error_catalogue():
        return LeukoluxError(f"WEB-{status.value:d}", method=method, path=path)
    shown = f"{status.value} {status.phrase}"
    return LeukoluxError("WEB-HTTP", method=method, path=path, status=shown)


def _answer(error: LeukoluxError, status: HTTPStatus, *, bare: bool = False) -> Response:
    problem = error.as_dict()
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
