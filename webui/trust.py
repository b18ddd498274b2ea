"""Rights of a request: the listener that it came through decides, never a header."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from enum import StrEnum
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from flask import Flask, Response, request

from webui.errors import ForbiddenError, HostError, TokenError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from device.settings.sections import WebConfig

ENVIRON_KEY: Final = "leukolux.listener"
API_PREFIX: Final = "/api/v1/"
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_CONTENT_POLICY: Final = (
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'"
)


class Listener(StrEnum):
    """Where a request came in.

    ``SCREEN`` is the loopback listener of the built-in screen: full control.  ``NETWORK`` is the
    local network's listener: reading results with a token only.
    """

    SCREEN = "screen"
    NETWORK = "network"


def behind(listener: Listener, application: WSGIApplication) -> WSGIApplication:
    """Return ``application`` with every request marked as coming through ``listener``.

    Request headers appear in a WSGI environment only under ``HTTP_*`` names, so a client cannot
    set or overwrite the mark.
    """

    def marked(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ[ENVIRON_KEY] = listener
        return application(environ, start_response)

    return marked


def from_screen() -> bool:
    """Return whether the current request came through the built-in screen's listener."""
    return request.environ.get(ENVIRON_KEY) == Listener.SCREEN


def is_loopback(host: str) -> bool:
    """Return whether ``host`` (a name or an address) can only be reached from this computer."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def install(app: Flask, web: WebConfig) -> None:
    """Check every request of ``app`` before it is handled and harden every response.

    An unmarked request gets the rights of the network listener, the smaller ones.
    """

    @app.before_request
    def guard() -> None:
        if from_screen():
            _guard_screen()
        else:
            _guard_network(web.lan_token)

    @app.after_request
    def harden(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = _CONTENT_POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        if request.endpoint != "static":
            response.headers.setdefault("Cache-Control", "no-store")
        return response


def _guard_screen() -> None:
    # A page elsewhere can make this computer's browser talk to the loopback listener, under a
    # name of its own (DNS rebinding) or across sites; these headers show both.
    if not is_loopback(_host_name(request.headers.get("Host", ""))):
        raise HostError("WEB-HOST", host=request.headers.get("Host", ""))
    if request.method in _SAFE_METHODS:
        return
    if not _from_own_page():
        raise ForbiddenError("WEB-OTHER-SITE")


def _from_own_page() -> bool:
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    origin = request.headers.get("Origin")
    return site == "same-origin" and (
        origin is None or urlsplit(origin).netloc == request.headers.get("Host")
    )


def _guard_network(token: str) -> None:
    if not token or not hmac.compare_digest(_presented_token().encode(), token.encode()):
        raise TokenError("WEB-TOKEN")
    if request.method not in _SAFE_METHODS or not request.path.startswith(API_PREFIX):
        raise ForbiddenError("WEB-FORBIDDEN")


def _presented_token() -> str:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    return request.args.get("token", "")


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
