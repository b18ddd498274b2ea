"""The anticipated failures of this package."""

from __future__ import annotations

from hal.errors import LeukoluxError


class ModelError(LeukoluxError):
    """A network file or its manifest is missing, damaged or of an unknown format."""

    exit_code = 4


class ProviderError(ModelError):
    """An execution provider other than the CPU does not run a network; the CPU still may."""


class AnswerError(ModelError):
    """A network gives other answers than were recorded when it was made."""
