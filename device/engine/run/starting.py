"""The first step of a run: it is stored, and begins only if its order still stands then."""

from __future__ import annotations

import logging
from collections.abc import Callable

from device.engine.run.run import Run
from device.engine.state.front_panel import FrontPanel
from device.engine.state.orders import Order
from device.engine.state.progress import Counts
from device.engine.state.services import Services
from device.engine.state.states import Event
from device.engine.state.waiting_sample import WaitingSample
from device.system.version import versions_with

log = logging.getLogger(__name__)


def start_run(
    order: Order[WaitingSample, int],
    services: Services,
    front_panel: FrontPanel,
    *,
    check: Callable[[], object],
) -> Run | None:
    """Enter the preparing state with a new run in the records; the order is answered then.

    Returns None if the order was withdrawn while the run was being stored: nothing begins, and
    the records do not keep the run.

    Args:
        order: the sample.
        services: shared parts of the instrument.
        front_panel: forgets what was pressed before.
        check: called last, before the run is stored for good; raises if the order no longer fits,
            and the records do not keep the run.

    Raises:
        RecordsError: the run cannot be stored.
        DeviceError: a device does not follow into the preparing state.
    """
    sample, settings = order.work, services.settings

    def confirm() -> None:
        check()
        if not order.accept():
            raise _WithdrawnError

    try:
        run_id = services.records.begin_run(
            sample.sample_id,
            settings.model_dump(mode="json", exclude={"web": {"lan_token"}}),
            versions := versions_with(services.models[0].versions),
            sample.control_lot,
            sample.operator,
            confirm,
        )
    except _WithdrawnError:
        log.warning("the run was stored too late: its start was withdrawn")
        return None
    services.requests.clear()
    front_panel.forget()
    services.latest.put(None)
    try:
        services.machine.fire(
            Event.START,
            activity="Preparing the run.",
            run_id=run_id,
            sample_id=sample.sample_id,
            operator=sample.operator,
            counts=Counts(),
            started_s=services.clock.monotonic_s(),
            ended_s=None,
            reason=None,
            refusal=None,
            waiting_sample=services.snapshots.snapshot.waiting_sample.without(sample),
        )
    except Exception:
        # The sender learns that it failed: no run may be left that seems to be running.
        services.records.discard_run(run_id)
        raise
    order.begin(run_id)
    return Run(services, run_id, sample, versions)


class _WithdrawnError(Exception):
    """The sender of the order waits no longer."""
