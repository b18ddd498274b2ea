"""The self-test of an instrument that does not run."""

from __future__ import annotations

import tempfile
from typing import Any

from device.assembly import assembled
from device.engine.state.states import State
from device.errors import RecordsInUseError
from device.settings.file import Settings, changed_settings

TIMEOUT_S = 120.0


def self_test(settings: Settings, *, simulated: bool) -> dict[str, Any]:
    """Start the instrument, let it test itself, and stop it; no light, and nothing moves.

    It is left out while another program runs the instrument and owns the devices.

    Args:
        settings: of the instrument.
        simulated: whether it is the simulated one, which has records of its own.

    Raises:
        LeukoluxError: the instrument cannot be put together, or does not come to an end.
    """
    with tempfile.TemporaryDirectory(prefix="leukolux-") as folder:
        if simulated:
            settings = changed_settings(settings, records__directory=folder)
        # What is recorded of the test must not push out what was recorded before.
        quiet = changed_settings(settings, recorder__enabled=False)
        try:
            with assembled(quiet) as assembly:
                assembly.instrument.wait_for(State.IDLE, State.FAULT, timeout_s=TIMEOUT_S)
                error = assembly.instrument.error
        except RecordsInUseError as running:
            return {"skipped": f"{running.cause} events.json has the instrument's failures."}
    return {
        "simulated": simulated,
        "passed": error is None,
        "error": error.as_dict() if error is not None else None,
    }
