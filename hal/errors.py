"""The exception tree of the whole instrument.

An *anticipated* failure is a :class:`LeukoluxError`: it carries a stable code, its cause and a
remedy, and the same object reaches screen, API, log and exit code.  Anything else that is raised
is a bug and keeps its traceback.
"""

from __future__ import annotations

from typing import ClassVar

from hal.error_catalogue import error_catalogue


class LeukoluxError(Exception):
    """An anticipated failure.

    Args:
        code: stable identifier, ``AREA-NAME``; :mod:`hal.error_catalogue` holds its texts.
        values: what the texts of this code name, in the words of the person who reads them.

    Attributes:
        error_code: the code.
        values: the values, so that the texts can be filled again in another language.
        cause: what happened, with the values that show it; one sentence for a person.
        remedy: what the person at the instrument can do about it.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, code: str, /, **values: object) -> None:
        text = error_catalogue()[code]
        self.error_code = code
        self.values = values
        self.cause, self.remedy = text.cause.format(**values), text.remedy.format(**values)
        super().__init__(self.cause)

    def __str__(self) -> str:
        return f"{self.error_code}: {self.cause} {self.remedy}"

    def as_dict(self) -> dict[str, str]:
        """Return ``{"code", "cause", "remedy"}`` as screen, API and log show it."""
        return {"code": self.error_code, "cause": self.cause, "remedy": self.remedy}


class SettingsError(LeukoluxError):
    """A setting is unknown, of the wrong type, or out of range."""

    exit_code = 2


class InputError(LeukoluxError):
    """A file, image or request from outside cannot be used."""

    exit_code = 2


class DeviceError(LeukoluxError):
    """A hardware device failed; the device is in its safe state when this is raised."""

    exit_code = 3


class DeviceClosedError(DeviceError):
    """A method was called on a device that is closed or was never opened."""


class DeviceTimeoutError(DeviceError):
    """A device did not answer before its deadline."""


class StageError(DeviceError):
    """The stage refused a command or lost its position."""


class StageLimitError(StageError):
    """A target lies outside the travel limits; nothing was sent to the controller."""


class StageAlarmError(StageError):
    """The controller raised an alarm; the position is not trusted until the next homing."""


class CameraError(DeviceError):
    """The camera failed."""


class FrameError(CameraError):
    """One frame was lost, incomplete or stale; the camera itself still works, so try again."""


class LightError(DeviceError):
    """The UV light refused a pulse or ended it early; the light is off."""


class InterlockError(LightError):
    """The lid is open, or was and nobody acknowledged it: the UV light stays off."""


class SupervisorError(LightError):
    """The light supervisor does not answer or refuses: the UV light stays off."""


class SilentSupervisorError(SupervisorError):
    """The light supervisor is there and does not answer: it may have the UV light on."""


class LedError(DeviceError):
    """The LED does not do what its line says, or is worn: trying again does not help."""


class Cancelled(LeukoluxError):  # noqa: N818 (a request that was honoured, not an error)
    """A wait ended because its cancel event was set.

    Args:
        what: the work that ended, as the subject of a sentence.
    """

    def __init__(self, what: str) -> None:
        super().__init__("CANCELLED", what=what)
