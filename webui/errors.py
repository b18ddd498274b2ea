"""Anticipated failures of a request; the class decides the HTTP status."""

from __future__ import annotations

from hal.errors import InputError, LeukoluxError


class ParameterError(InputError):
    """A parameter or body of a request cannot be used."""


class NotFoundError(InputError):
    """What was asked for does not exist, or does not exist yet."""


class ForbiddenError(InputError):
    """The request is understood and not allowed here."""


class HostError(InputError):
    """The request names a host that is not this instrument."""


class TokenError(InputError):
    """The token is missing or wrong."""


class StreamsError(LeukoluxError):
    """No further event stream can be opened."""
