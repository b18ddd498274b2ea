"""Anticipated failures of a request."""

from __future__ import annotations

from hal.errors import InputError, LeukoluxError


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
