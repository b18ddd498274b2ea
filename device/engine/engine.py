"""The owner of the hardware: one thread that resolves requests and walks through the states."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from threading import Thread
from typing import Any

from device.calibration.effective import Effective
from device.calibration.order import CalibrationOrder
from device.engine.calibrating import admitted, calibrate
from device.engine.checking import Checker, planned_checks
from device.engine.run.records_wait import waiting_for_records
from device.engine.run.result import interrupted_run
from device.engine.run.run_lifecycle import run_to_end
from device.engine.run.starting import start_run
from device.engine.state.front_panel import FrontPanel
from device.engine.state.latest_tile import LatestTile
from device.engine.state.machine import StateMachine
from device.engine.state.orders import Order, OrderSlot
from device.engine.state.requests import Requests
from device.engine.state.sample_entry import SampleEntry
from device.engine.state.services import MakeAnalyzer, Services
from device.engine.state.snapshot import Snapshot, SnapshotStore
from device.engine.state.states import ABORTABLE, LIT, WITH_RUN, Event, State
from device.engine.state.waiting_sample import WaitingSample
from device.errors import (
    InternalError,
    RecordsLockedError,
    RequestRefusedError,
    StartRefusedError,
)
from device.quality.gate import QualityGate
from device.records.records import Records
from device.settings.file import Settings
from device.status import StartCondition, StopReason
from device.system.events import EventBus, EventKind
from device.system.service_manager import NoWatchdog, Watchdog
from hal.clock import Clock
from hal.errors import DeviceError, InputError, InterlockError, LeukoluxError
from hal.factory import Hardware
from models.runtime import ModelSet, builds_engines

log = logging.getLogger(__name__)

POLL_S = 0.02
"""How often panel and requests are looked at between runs; real, a press lasts three of these."""

CLOSE_TIMEOUT_S = 60.0

_TESTING = "Testing itself."

ENGINES_S = 1200.0
"""Longest time that TensorRT may take to build its engines, once per board."""


class Engine:
    """Runs on its own thread from :meth:`start` to :meth:`shut_down`.

    Args:
        conditions: the start conditions of a sample, judged by the engine's thread.
        quality: reads the records again after a check or a run.
        effective: the settings with the calibrations that are valid now.
        load_models: opens the verified networks, one set per call.
        make_analyzer: builds the analysis of a run.
        watchdog: gets a heartbeat wherever the owner thread passes or waits.
    """

    def __init__(
        self,
        settings: Settings,
        hardware: Hardware,
        records: Records,
        clock: Clock,
        events: EventBus,
        *,
        conditions: Callable[[WaitingSample], Sequence[StartCondition]],
        quality: QualityGate,
        effective: Callable[[], Effective],
        load_models: Callable[[], ModelSet],
        make_analyzer: MakeAnalyzer,
        watchdog: Watchdog | None = None,
    ) -> None:
        self.snapshots = SnapshotStore()
        self.sample = SampleEntry(self.snapshots, records)
        self.requests = Requests()
        self.starts: OrderSlot[WaitingSample, int] = OrderSlot(self.requests, Event.START)
        self.calibrations: OrderSlot[CalibrationOrder, None] = OrderSlot(
            self.requests, Event.CALIBRATE
        )
        self.latest = LatestTile()
        self.machine = StateMachine(self.snapshots, self._enter, self.make_safe)
        self._settings = settings
        self._hardware = hardware
        self._front_panel = FrontPanel(hardware.panel)
        self._records = records
        self._clock = clock
        self._events = events
        self._conditions = conditions
        self._quality = quality
        self._effective = effective
        self._make_analyzer = make_analyzer
        self._watchdog = watchdog if watchdog is not None else NoWatchdog()
        self._models: Sequence[ModelSet] = ()
        self.checker = Checker(self._services, load_models)
        self._reopen = False
        self._heartbeat_s = time.monotonic()
        self._thread = Thread(target=self._live, name="engine", daemon=True)

    def start(self) -> None:
        """Start the owner thread."""
        self._thread.start()

    def shut_down(self) -> None:
        """End whatever runs, switch everything off, and end the thread.  Never raises."""
        self.requests.put(Event.SHUT_DOWN)
        if self._thread.ident is not None:
            self._thread.join(CLOSE_TIMEOUT_S)
        if self._thread.is_alive():
            log.critical("the engine does not end")
        self.make_safe()
        self._hardware.close()

    @property
    def heartbeat_age_s(self) -> float:
        """Real seconds since the owner thread last passed a checkpoint."""
        return time.monotonic() - self._heartbeat_s

    def make_safe(self) -> None:
        """Light off and stage stopped, whatever state they are in.  Never raises."""
        for action in (self._hardware.light.off, self._hardware.stage.stop):
            try:
                action()
            except LeukoluxError as error:
                log.critical("making the instrument safe: %s", error)
            except Exception:
                log.exception("making the instrument safe")

    def _live(self) -> None:
        steps = {
            State.BOOTING: self._boot,
            State.SELF_TEST: self._test,
            State.IDLE: self._idle,
            State.COMPLETE: self._await_acknowledge,
            State.FAULT: self._await_acknowledge,
        }
        while not self.requests.take(Event.SHUT_DOWN):
            self._guarded(steps[self.machine.state])
        self._guarded(lambda: self.machine.fire(Event.SHUT_DOWN))

    def _guarded(self, step: Callable[[], object]) -> None:
        """Take one step; any exception ends in the fault state."""
        self._heartbeat()
        try:
            step()
        except LeukoluxError as error:
            log.error("%s", error)  # noqa: TRY400 (anticipated)
            self._fail(error)
        except Exception as error:
            log.exception("unexpected failure")
            self._fail(InternalError(error))

    def _fail(self, error: LeukoluxError) -> None:
        self.make_safe()
        self._hardware.recorder.note("device", "failure", error.error_code)
        self._hardware.recorder.keep(error.error_code)
        self._reopen = self._reopen or isinstance(error, DeviceError)
        with_run = self.machine.state in WITH_RUN
        run_id = self.snapshots.snapshot.run_id if with_run else None
        ended = (
            {"ended_s": self._clock.monotonic_s(), "reason": StopReason.FAILED} if with_run else {}
        )
        self._events.publish(EventKind.FAILURE, {**error.as_dict(), "run_id": run_id})
        try:
            self._records.add_event(run_id, "failure", error.as_dict())
        except LeukoluxError as unwritten:
            log.warning("the failure is not in the records: %s", unwritten)
        try:
            self.machine.fire(
                Event.FAIL,
                activity="Stopped by a failure.",
                error=error,
                self_tested=False,
                checking=None,
                calibrating="",
                refusal=None,
                **ended,
            )
        except LeukoluxError as unshown:
            # The machine is in the fault state already when its hook fails.
            log.warning("while entering the fault state: %s", unshown)
        except Exception:
            log.exception("while entering the fault state")

    def _enter(self, coming: Snapshot) -> None:
        """Bring the hardware into the condition that the coming state promises."""
        if coming.state not in LIT:
            self._hardware.light.off()
            if coming.state in (State.PAUSED, State.ABORTING, State.FAULT, State.SHUTTING_DOWN):
                self._hardware.stage.stop()
        self._front_panel.enter(coming.state, coming.reason)

    def _heartbeat(self) -> None:
        self._heartbeat_s = time.monotonic()
        self._watchdog.heartbeat()

    def _checkpoint(self) -> None:
        """Pass a checkpoint of a run."""
        self._heartbeat()
        self._front_panel.poll()
        if self._front_panel.take_abort() and self.machine.state in ABORTABLE:
            log.info("abort by the button")
            self.requests.put(Event.ABORT)

    def _boot(self) -> None:
        self._open_devices()
        self.machine.fire(Event.OPENED, activity=_TESTING)

    def _keep_interrupted_runs(self) -> None:
        for run_id in self._records.unfinished_runs():
            log.warning("run %d was interrupted", run_id)
            with self._records.reader() as reader:
                end = interrupted_run(reader, run_id)
            self._records.finish_run(run_id, end)

    def _test(self) -> None:
        self.requests.clear()
        if builds_engines(self._settings.analysis.provider):
            self._watchdog.allow(ENGINES_S)
        with waiting_for_records(self._services()):
            self._models = self.checker.self_test()
            if not self._models:
                return
            self._keep_interrupted_runs()
        self._quality.refresh()
        self._records.tile_pictures.make_room(self._settings.records)
        self._become_idle(
            Event.TEST_PASSED,
            self_tested=True,
            models_loaded=True,
            lid_closed=self._hardware.panel.lid_closed,
        )

    def _become_idle(self, event: Event, **data: Any) -> None:
        self.requests.clear()
        self._front_panel.forget()
        self.sample.suggest()
        self.machine.fire(
            event,
            activity="Waiting for a sample.",
            error=None,
            checking=None,
            calibrating="",
            **data,
        )

    def _idle(self) -> None:
        self.requests.wait(POLL_S)
        self._front_panel.poll()
        self._read_panel()
        self.sample.watch_lot()
        if (start := self.starts.take()) is not None:
            self._begin(start)
        elif self.requests.take(Event.CHECK):
            self._check()
        elif (calibration := self.calibrations.take()) is not None:
            self._calibrate(calibration)

    def _check(self) -> None:
        """Do the checks that were asked for; a device that failed ends in the fault state."""
        order = self.checker.take()
        if order is None:
            return
        self.requests.clear()
        self._front_panel.forget()
        self.machine.fire(
            Event.CHECK,
            activity="Checking the instrument.",
            checking=planned_checks(order),
            refusal=None,
        )
        try:
            with waiting_for_records(self._services()):
                report = self.checker.check(order)
        except RecordsLockedError as error:
            self._become_idle(Event.ABORT, refusal=error)
        else:
            self._become_idle(Event.ABORT if report.cancelled else Event.CHECKED)

    def _read_panel(self) -> None:
        lid_closed = self._hardware.panel.lid_closed
        if lid_closed != self.snapshots.snapshot.lid_closed:
            self.snapshots.put(lid_closed=lid_closed, refusal=None)
        if self.machine.state is not State.IDLE:
            return
        if self._front_panel.refusing and self.snapshots.snapshot.refusal is None:
            self._front_panel.enter(State.IDLE, None)
        if self._front_panel.take_start():
            self._begin(Order(self.sample.recheck()), pressed=True)

    def _await_acknowledge(self) -> None:
        self.requests.wait(POLL_S)
        self._front_panel.poll()
        if self.machine.state is State.COMPLETE:
            self._read_panel()
        if not self.requests.take(Event.ACKNOWLEDGE):
            return
        if self.machine.state is State.COMPLETE:
            self._become_idle(Event.ACKNOWLEDGE)
            return
        if self._reopen:
            self._open_devices()
        self.machine.fire(Event.ACKNOWLEDGE, activity=_TESTING)

    def _open_devices(self) -> None:
        self._hardware.reopen()
        self._reopen = False

    def _begin(self, order: Order[WaitingSample, int], *, pressed: bool = False) -> None:
        """Start a run, or refuse it; ``pressed`` says that the panel's button asked for it."""
        unmet = [condition for condition in self._conditions(order.work) if not condition.met]
        if unmet:
            self._refuse(order, StartRefusedError(unmet), pressed=pressed)
            return
        try:
            # The person who starts a run has seen that the lid is closed.
            self._hardware.light.acknowledge_lid()
        except InterlockError as error:
            self._refuse(order, error, pressed=pressed)
            return
        try:
            run = start_run(
                order,
                self._services(),
                self._front_panel,
                check=lambda: self.sample.require_unchanged(order.work, shown=pressed),
            )
        except (InputError, RecordsLockedError, RequestRefusedError) as error:
            self._refuse(order, error, pressed=pressed)
            return
        except Exception as error:
            order.refuse(error)
            raise
        if run is not None:
            run_to_end(run, run.services, self.make_safe)

    def _calibrate(self, order: Order[CalibrationOrder, None]) -> None:
        """Enter the calibrating state for one order, and leave it again."""
        try:
            if not admitted(order, self._conditions(WaitingSample()), self._hardware):
                return
            self.requests.clear()
            self._front_panel.forget()
            self.machine.fire(
                Event.CALIBRATE,
                activity="Calibrating.",
                calibrating=order.work.name,
                share=0.0,
                refusal=None,
            )
        except Exception as error:
            order.refuse(error)
            raise
        order.begin(None)
        event = calibrate(order.work, self._services())
        if event is Event.ABORT:
            self.make_safe()
        self._become_idle(event)

    def _refuse(
        self, order: Order[WaitingSample, int], refusal: LeukoluxError, *, pressed: bool
    ) -> None:
        if pressed:
            log.info("the panel's start is refused: %s", refusal)
            self.snapshots.put(refusal=refusal)
        try:
            self._front_panel.refuse(pressed=pressed)
        finally:
            order.refuse(refusal)

    def _services(self) -> Services:
        effective = self._effective()
        return Services(
            settings=effective.settings,
            calibration=effective,
            hardware=self._hardware,
            clock=self._clock,
            records=self._records,
            events=self._events,
            snapshots=self.snapshots,
            machine=self.machine,
            requests=self.requests,
            latest=self.latest,
            models=self._models,
            make_analyzer=self._make_analyzer,
            quality=self._quality,
            heartbeat=self._checkpoint,
        )
