"""How a run ends, whatever happens in it: with a stored result and a defined state."""

from __future__ import annotations

import logging
from collections.abc import Callable

from device.engine.run.result import end_of_run
from device.engine.run.run import Run
from device.engine.state.services import Services
from device.engine.state.states import Event
from device.errors import SampleRefusedError, as_anticipated
from device.quality.control import enter_point
from device.records.record_types import RunState
from device.status import StopReason
from device.system.events import EventKind
from hal.errors import Cancelled, LeukoluxError

log = logging.getLogger(__name__)


def run_to_end(run: Run, services: Services, make_safe: Callable[[], None]) -> None:
    """Execute ``run`` and store its result; ends in the complete state or raises.

    An abort keeps what was counted; a refusal of the sample is a result.  After any other
    exception the hardware is made safe first, then what was counted is kept, then it is raised.
    """
    with run.records_wait.owner():
        _run_to_end(run, services, make_safe)


def _run_to_end(run: Run, services: Services, make_safe: Callable[[], None]) -> None:
    try:
        try:
            reason, refusal = run.execute(), None
        except SampleRefusedError as error:
            reason, refusal = StopReason.REFUSED, error
        except Cancelled:
            _abort(run, services)
            return
        services.machine.fire(
            Event.SCANNED, activity="Finishing: the last tiles are being analysed."
        )
        run.drain()
        _store(run, services, RunState.COMPLETE, reason, refusal)
        _complete(services, reason)
    except Exception as error:
        make_safe()
        _keep_failed(run, services, as_anticipated(error))
        raise
    finally:
        run.close()


def _abort(run: Run, services: Services) -> None:
    services.machine.fire(
        Event.ABORT, activity="Aborting: what was counted is being kept.", error=None
    )
    run.drain()
    _store(run, services, RunState.ABORTED, StopReason.ABORTED)
    _complete(services, StopReason.ABORTED)


def _complete(services: Services, reason: StopReason) -> None:
    services.machine.fire(
        Event.STORED,
        activity=ENDINGS[reason],
        reason=reason,
        error=None,
        ended_s=services.clock.monotonic_s(),
    )


def _keep_failed(run: Run, services: Services, failure: LeukoluxError) -> None:
    try:
        run.drain()
    except Exception as error:
        log.warning("tiles taken before the failure are lost: %s", error)
    try:
        _store(run, services, RunState.FAILED, StopReason.FAILED, failure)
    except LeukoluxError as error:
        # The run stays marked as running and is completed from its journal at the next start.
        log.warning("the failed run could not be stored: %s", error)


def _store(
    run: Run,
    services: Services,
    state: RunState,
    reason: StopReason,
    error: LeukoluxError | None = None,
) -> None:
    end = end_of_run(run.facts(), state, reason, error.as_dict() if error is not None else None)
    services.records.finish_run(run.id, end)
    if run.control_lot is not None:
        enter_point(services.records, run.id, run.control_lot)
        services.quality.refresh()
    log.info("run %d: %s, %s", run.id, state, reason)
    services.events.publish(
        EventKind.RESULT, {"run_id": run.id, "state": state.value, "reason": reason.value}
    )


ENDINGS = {
    StopReason.ENOUGH_CELLS: "Complete: enough cells were classified.",
    StopReason.END_OF_AREA: "Complete: the whole area was scanned.",
    StopReason.REFUSED: "Complete: the sample was refused.",
    StopReason.ABORTED: "Aborted: what was counted is kept.",
}
