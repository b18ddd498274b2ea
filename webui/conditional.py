"""Answers with pictures that the client may have already."""

from __future__ import annotations

from collections.abc import Callable

from flask import Response, make_response, request

from webui import trust


def conditional(tag: str, mimetype: str, make: Callable[[], bytes]) -> Response:
    """Answer with a picture, or with 304 and no work if the client has the one of this ``tag``."""
    if tag in request.if_none_match:
        response = make_response("", 304)
    else:
        response = Response(make(), mimetype=mimetype)
    response.set_etag(tag)
    if trust.from_screen():
        # The built-in screen may keep what it requests repeatedly; a picture names no sample.
        response.headers["Cache-Control"] = "private, no-cache"
    return response
