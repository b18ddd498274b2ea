"""A visit of the owner of the hardware to a calibration step: light and stage under the rules."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Lock

from device.calibration.order import CalibrationOrder
from device.calibration.steps.context import CalibrationContext
from device.engine.requests import Requests
from device.engine.services import Services
from device.engine.states import Event
from device.errors import RequestRefusedError, StartRefusedError
from device.imaging.rig import ImagingRig, RigUser, end_at_open_lid
from device.status import StartCondition
from hal.errors import Cancelled, InterlockError
from hal.factory import Hardware

BEGIN_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class PendingCalibration:
    """Somebody wants calibration work and waits until it begins."""

    order: CalibrationOrder
    begun: Future[None] = field(default_factory=Future)


class CalibrationOrders:
    """At most one order that waits for the owner of the hardware.

    Args:
        requests: of the engine.
    """

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._lock = Lock()
        self._pending: PendingCalibration | None = None

    def order(self, order: CalibrationOrder) -> None:
        """Ask for calibration work and wait until it begins.

        Raises:
            RequestRefusedError: the state does not fit, the lid is open, or there was no answer.
        """
        pending = PendingCalibration(order)
        with self._lock:
            if self._pending is not None:
                raise RequestRefusedError("A step is about to begin.", remedy="Wait for it.")
            self._pending = pending
        self._requests.put(Event.CALIBRATE)
        try:
            pending.begun.result(BEGIN_TIMEOUT_S)
        except TimeoutError as error:
            raise RequestRefusedError(
                "The instrument does not answer.", remedy="Wait, or restart it."
            ) from error
        finally:
            with self._lock:
                self._pending = None

    def take(self) -> PendingCalibration | None:
        """Return the order that waits, when one was asked for."""
        if not self._requests.take(Event.CALIBRATE):
            return None
        with self._lock:
            return self._pending


def admitted(
    pending: PendingCalibration, conditions: Sequence[StartCondition], hardware: Hardware
) -> bool:
    """Return whether the order may begin now; tell whoever waits why not."""
    needed = {"self_test_passed"} | ({"lid_closed"} if pending.order.lit else set())
    unmet = [c for c in conditions if not c.met and c.name in needed]
    if unmet:
        pending.begun.set_exception(StartRefusedError(unmet))
        return False
    try:
        if hardware.panel.lid_closed:
            # Whoever starts a step has seen that the lid is closed.
            hardware.light.acknowledge_lid()
    except InterlockError as refusal:
        pending.begun.set_exception(refusal)
        return False
    return True


def calibrate(order: CalibrationOrder, services: Services) -> Event:
    """Do the work of ``order``; return how the calibrating state is left.

    Raises what is a fault of the instrument.
    """

    def checkpoint() -> None:
        services.beat()
        if services.requests.cancel.is_set():
            raise Cancelled("The calibration")

    def say(activity: str, share: float) -> None:
        services.beat()
        services.board.put(activity=activity, share=min(max(share, 0.0), 1.0))

    user = RigUser(
        sample_id=order.sample_id,
        cancel=services.requests.cancel,
        checkpoint=checkpoint,
        lid_opened=end_at_open_lid("step"),
        waiting=services.beat,
        note=lambda kind, data: services.records.add_event(None, kind, data),
    )
    try:
        with ImagingRig(
            services.settings, services.hardware, services.records, services.clock, user
        ) as rig:
            order.work(CalibrationContext(rig, say))
    except Cancelled:
        return Event.ABORT
    finally:
        services.board.put(calibrating="")
    rig.light_log.enter_rest()
    return Event.CALIBRATED
