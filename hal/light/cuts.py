"""Errors for a pulse of the UV light that was refused or ended early."""

from __future__ import annotations

from hal.errors import InterlockError, LightError, SupervisorError


def deadline_cut() -> LightError:
    """The deadline passed."""
    return LightError("LIGHT-DEADLINE")


def lid_cut() -> InterlockError:
    """The lid is open."""
    return InterlockError("LIGHT-INTERLOCK")


def latched_cut() -> InterlockError:
    """The lid was open, and nobody acknowledged it."""
    return InterlockError("LIGHT-INTERLOCK-LATCHED")


def alone_cut() -> SupervisorError:
    """The supervisor ended."""
    return SupervisorError("LIGHT-SUPERVISOR-ENDED")


def asked_cut() -> LightError:
    """Somebody switched the light off."""
    return LightError("LIGHT-OFF")


def line_failed(pin: int, why: object) -> LightError:
    """The line cannot be driven or read."""
    return LightError("LIGHT-LINE", pin=pin, reason=why)


def line_stuck(pin: int) -> LightError:
    """The line stays high although it is driven low."""
    return LightError("LIGHT-STUCK", pin=pin)
