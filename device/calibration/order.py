"""Calibration work for the owner of the hardware, and which of its failures are results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from device.calibration.steps.context import CalibrationContext
from device.calibration.steps.quantities import CalibrationRefusedError
from device.errors import SampleRefusedError, SettlingError
from device.imaging.imager import DoseLimitError
from hal.errors import (
    FrameError,
    InputError,
    LeukoluxError,
    LightError,
    StageLimitError,
    SupervisorError,
)

_REFUSALS = (
    CalibrationRefusedError,
    SampleRefusedError,
    SettlingError,
    InputError,
    FrameError,
    LightError,
    DoseLimitError,
    StageLimitError,
)


@dataclass(frozen=True)
class CalibrationOrder:
    """Work for the owner of the hardware.

    Attributes:
        name: the step, or ``jog``.
        sample_id: under which the light it gives is entered.
        lit: whether it uses the light, so that the lid must be closed.
        work: does it; raises Cancelled, or what is a fault.
    """

    name: str
    sample_id: str
    lit: bool
    work: Callable[[CalibrationContext], None]


def is_refusal(error: LeukoluxError) -> bool:
    """Return whether the instrument is as good as before; all other failures are faults."""
    return isinstance(error, _REFUSALS) and not isinstance(error, SupervisorError)
