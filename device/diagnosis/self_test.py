"""The self-test of an instrument that does not run."""

from __future__ import annotations

import tempfile
from typing import Any

from device.assembly import assembled, recorder_folder
from device.engine.states import State
from device.settings.file import Settings, changed_settings
from hal.recorder.recording import is_recording

TIMEOUT_S = 120.0


def self_test(settings: Settings, *, simulated: bool) -> dict[str, Any]:
    """Start the instrument, let it test itself, and stop it; no light, and nothing moves.

    It is left out while an instrument runs, which owns the devices.

    Args:
        settings: of the instrument.
        simulated: whether it is the simulated one, which has records of its own.

    Raises:
        LeukoluxError: the instrument cannot be put together, or does not come to an end.
    """
    if not simulated and not settings.recorder.enabled:
        return _skipped("The recorder is off, so nobody knows whether the instrument runs.")
    if not simulated and is_recording(recorder_folder(settings)):
        return _skipped("The instrument runs and owns the devices; events.json has its failures.")
    with tempfile.TemporaryDirectory(prefix="leukolux-") as folder:
        if simulated:
            settings = changed_settings(settings, records__directory=folder)
        # What is recorded of the test must not push out what was recorded before.
        quiet = changed_settings(settings, recorder__enabled=False)
        with assembled(quiet) as assembly:
            assembly.instrument.wait_for(State.IDLE, State.FAULT, timeout_s=TIMEOUT_S)
            error = assembly.instrument.error
    return {
        "simulated": simulated,
        "passed": error is None,
        "error": error.as_dict() if error is not None else None,
    }


def _skipped(why: str) -> dict[str, Any]:
    return {"skipped": why}
