"""The anticipated failure of this package."""

from __future__ import annotations

from hal.errors import LeukoluxError


class ModelError(LeukoluxError):
    """A network file or its manifest is missing, damaged or of an unknown format."""

    code = "MODEL"
    exit_code = 4
