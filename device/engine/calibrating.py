"""A visit of the owner of the hardware to a calibration step: light and stage under the rules."""

from __future__ import annotations

from collections.abc import Sequence

from device.calibration.order import CalibrationOrder
from device.calibration.steps.context import CalibrationContext
from device.engine.run.records_wait import waiting_for_records
from device.engine.state.orders import Order
from device.engine.state.services import Services
from device.engine.state.states import Event
from device.errors import RecordsLockedError, StartRefusedError
from device.imaging.rig import ImagingRig, RigUser, end_at_open_lid
from device.status import StartCondition
from hal.errors import Cancelled, InterlockError
from hal.factory import Hardware


def admitted(
    order: Order[CalibrationOrder, None],
    conditions: Sequence[StartCondition],
    hardware: Hardware,
) -> bool:
    """Return whether the order begins now; otherwise refuse it, with the reason."""
    needed = {"self_test_passed"} | ({"lid_closed"} if order.work.lit else set())
    unmet = [c for c in conditions if not c.met and c.name in needed]
    if unmet:
        order.refuse(StartRefusedError(unmet))
        return False
    try:
        if hardware.panel.lid_closed:
            # The person who starts a step has seen that the lid is closed.
            hardware.light.acknowledge_lid()
    except InterlockError as refusal:
        order.refuse(refusal)
        return False
    return order.accept()


def calibrate(order: CalibrationOrder, services: Services) -> Event:
    """Do the work of ``order``; return how the calibrating state is left.

    Raises what is a fault of the instrument.
    """

    def checkpoint() -> None:
        services.heartbeat()
        if services.requests.cancel.is_set():
            raise Cancelled("The calibration")

    def say(activity: str, share: float) -> None:
        services.heartbeat()
        services.snapshots.put(activity=activity, share=min(max(share, 0.0), 1.0))

    user = RigUser(
        sample_id=order.sample_id,
        cancel=services.requests.cancel,
        checkpoint=checkpoint,
        lid_opened=end_at_open_lid("step"),
        waiting=services.heartbeat,
        note=lambda kind, data: services.records.add_event(None, kind, data),
    )
    try:
        with (
            waiting_for_records(services),
            ImagingRig(
                services.settings, services.hardware, services.records, services.clock, user
            ) as rig,
        ):
            order.work(CalibrationContext(rig, say))
            rig.light_log.enter_rest()
    except (Cancelled, RecordsLockedError):
        return Event.ABORT
    return Event.CALIBRATED
