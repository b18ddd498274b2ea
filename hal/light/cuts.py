"""Why a pulse of the UV light was refused or ended early, in words."""

from __future__ import annotations

from hal.errors import InterlockError, LightError, SupervisorError


def deadline_cut() -> LightError:
    """The deadline passed."""
    return LightError(
        "The pulse was ended by its deadline, so its frame is not exposed as asked.",
        remedy="Try again; if it happens often, the computer is overloaded.",
        code="LIGHT-DEADLINE",
    )


def lid_cut() -> InterlockError:
    """The lid is open."""
    return InterlockError(
        "The lid is open, so the UV light stays off.", remedy="Close the lid, then go on."
    )


def latched_cut() -> InterlockError:
    """The lid was open, and nobody acknowledged it."""
    return InterlockError(
        "The lid was open; the UV light stays off until a person goes on.",
        remedy="Check that the lid is closed, then go on.",
    )


def alone_cut() -> SupervisorError:
    """The supervisor ended."""
    return SupervisorError(
        "The light supervisor ended during a pulse, so the light was switched off.",
        remedy="Start the light supervisor, then try again.",
    )


def asked_cut() -> LightError:
    """Somebody switched the light off."""
    return LightError(
        "The pulse was ended because the light was switched off.",
        remedy="Nothing to do if it was asked for.",
        code="LIGHT-OFF",
    )


def line_failed(pin: int, why: object) -> LightError:
    """The line does not obey."""
    return LightError(
        f"The UV line (pin {pin}) failed: {why}.",
        remedy="Keep the lid closed, switch the instrument off, and have it checked.",
        code="LIGHT-LINE",
    )


def line_stuck(pin: int) -> LightError:
    """The line obeys, and its level does not follow."""
    return LightError(
        f"The UV line (pin {pin}) reads high although it is driven low.",
        remedy="Switch the instrument off and have the wiring of the light checked.",
        code="LIGHT-STUCK",
    )
