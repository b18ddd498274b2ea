"""The owner of the hardware: one thread that resolves requests and walks through the states."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from threading import Lock, Thread

from device.calibration.effective import Effective
from device.engine.board import Board
from device.engine.calibrating import (
    CalibrationOrders,
    PendingCalibration,
    admitted,
    calibrate,
)
from device.engine.checking import Checker
from device.engine.conduct import conduct
from device.engine.counting import LatestTile
from device.engine.front import FrontPanel
from device.engine.machine import StateMachine
from device.engine.progress import Progress
from device.engine.requests import Requests, StartOrder
from device.engine.result import interrupted_run
from device.engine.run import Run
from device.engine.services import MakeAnalyzer, Services
from device.engine.states import ABORTABLE, LIT, WITH_RUN, Event, State
from device.errors import InternalError, RequestRefusedError, StartRefusedError
from device.quality.gate import QualityGate
from device.records.records import Records
from device.settings.file import Settings
from device.status import StartCondition
from device.system.events import EventBus, EventKind
from device.system.service_manager import NoWatchdog, Watchdog
from device.system.version import version
from hal.clock import Clock
from hal.errors import DeviceError, InterlockError, LeukoluxError
from hal.factory import Hardware
from models.runtime import ModelSet, builds_engines

log = logging.getLogger(__name__)

POLL_S = 0.02
"""How often panel and requests are looked at between runs; real, a press lasts three of these."""

START_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 60.0

ENGINES_S = 1200.0
"""Longest time that TensorRT may take to build its engines, once per board."""


class Engine:
    """Runs on its own thread from :meth:`start` to :meth:`shut_down`.

    Args:
        conditions: the start conditions for a sample id, judged by the engine's thread; the
            second argument says whether it is a control slide.
        quality: told when a check or a run has ended.
        effective: the settings with the calibrations that are valid now.
        load_models: opens the verified networks, one set per call.
        make_analyzer: builds the analysis of a run.
        watchdog: is told wherever the owner thread passes or waits.
    """

    def __init__(
        self,
        settings: Settings,
        hardware: Hardware,
        records: Records,
        clock: Clock,
        events: EventBus,
        *,
        conditions: Callable[[str, bool], Sequence[StartCondition]],
        quality: QualityGate,
        effective: Callable[[], Effective],
        load_models: Callable[[], ModelSet],
        make_analyzer: MakeAnalyzer,
        watchdog: Watchdog | None = None,
    ) -> None:
        self.board = Board()
        self.requests = Requests()
        self.calibrations = CalibrationOrders(self.requests)
        self.latest = LatestTile()
        self.progress = Progress()
        self.machine = StateMachine(self._enter, self.make_safe, self._entered)
        self._settings = settings
        self._hardware = hardware
        self._front = FrontPanel(hardware.panel)
        self._records = records
        self._clock = clock
        self._events = events
        self._conditions = conditions
        self._quality = quality
        self._effective = effective
        self._make_analyzer = make_analyzer
        self._watchdog = watchdog if watchdog is not None else NoWatchdog()
        self._models: Sequence[ModelSet] = ()
        self._order: StartOrder | None = None
        self.checker = Checker(self._services, load_models)
        self._order_lock = Lock()
        self._reopen = False
        self._beat_s = time.monotonic()
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
        """Real seconds since the owner thread last passed a check point."""
        return time.monotonic() - self._beat_s

    def order_start(self, sample_id: str, control_lot: int | None = None) -> int:
        """Ask for a run and wait for its id.

        Raises:
            StartRefusedError: a start condition is not met.
            RequestRefusedError: another start is being worked on, or there was no answer.
        """
        order = StartOrder(sample_id, control_lot)
        with self._order_lock:
            if self._order is not None:
                raise RequestRefusedError("Another start is under way.", remedy="Wait for it.")
            self._order = order
        self.requests.put(Event.START)
        try:
            return order.run_id.result(START_TIMEOUT_S)
        except TimeoutError as error:
            raise RequestRefusedError(
                "The instrument does not answer.", remedy="Wait, or restart it."
            ) from error
        finally:
            with self._order_lock:
                self._order = None

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
        self._beat()
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
        self.board.put(activity="Stopped by a failure.", error=error, self_tested=False)
        run_id = self.board.notice.run_id if self.machine.state in WITH_RUN else None
        self._events.publish(EventKind.FAILURE, {**error.as_dict(), "run_id": run_id})
        try:
            self._records.add_event(run_id, "failure", error.as_dict())
        except LeukoluxError as unwritten:
            log.warning("the failure is not in the records: %s", unwritten)
        try:
            self.machine.fire(Event.FAIL)
        except LeukoluxError as unshown:
            # The machine is in the fault state already when its hook fails.
            log.warning("while entering the fault state: %s", unshown)
        except Exception:
            log.exception("while entering the fault state")

    def _enter(self, state: State) -> None:
        """Bring the hardware into the condition that ``state`` promises."""
        if state not in LIT:
            self._hardware.light.off()
            if state in (State.PAUSED, State.ABORTING, State.FAULT, State.SHUTTING_DOWN):
                self._hardware.stage.stop()
        self._front.enter(state, self.board.notice.reason)

    def _entered(self, state: State) -> None:
        self.board.put()

    def _beat(self) -> None:
        self._beat_s = time.monotonic()
        self._watchdog.beat()

    def _tend(self) -> None:
        """Pass a check point of a run."""
        self._beat()
        self._front.tend()
        if self._front.take_abort() and self.machine.state in ABORTABLE:
            log.info("abort by the button")
            self.requests.put(Event.ABORT)

    def _boot(self) -> None:
        self._open_devices()
        self.machine.fire(Event.OPENED)

    def _keep_interrupted_runs(self) -> None:
        for run_id in self._records.unfinished_runs():
            log.warning("run %d was interrupted", run_id)
            with self._records.reader() as reader:
                end = interrupted_run(reader, run_id)
            self._records.finish_run(run_id, end)

    def _test(self) -> None:
        self.requests.clear()
        self.board.put(activity="Testing itself.")
        if builds_engines(self._settings.analysis.provider):
            self._watchdog.allow(ENGINES_S)
        self._models = self.checker.self_test()
        if not self._models:
            return
        self._keep_interrupted_runs()
        self._quality.refresh()
        self._records.tile_pictures.make_room(self._settings.records)
        self.board.put(
            error=None,
            self_tested=True,
            models_loaded=True,
            lid_closed=self._hardware.panel.lid_closed,
        )
        self._become_idle(Event.TEST_PASSED)

    def _become_idle(self, event: Event) -> None:
        self.requests.clear()
        self._front.forget()
        self.board.put(activity="Waiting for a sample.", error=None)
        self.machine.fire(event)

    def _idle(self) -> None:
        self.requests.wait(POLL_S)
        self._front.tend()
        self._read_panel()
        if self.requests.take(Event.START):
            with self._order_lock:
                order = self._order
            if order is not None:
                self._begin(order)
        elif self.requests.take(Event.CHECK):
            self._check()
        elif (pending := self.calibrations.take()) is not None:
            self._calibrate(pending)

    def _check(self) -> None:
        """Do the checks that were asked for; a device that failed ends in the fault state."""
        order = self.checker.take()
        if order is None:
            return
        self.requests.clear()
        self._front.forget()
        self.board.put(activity="Checking the instrument.")
        self.machine.fire(Event.CHECK)
        report = self.checker.check(order)
        self._become_idle(Event.ABORT if report.cancelled else Event.CHECKED)

    def _read_panel(self) -> None:
        lid_closed = self._hardware.panel.lid_closed
        if lid_closed != self.board.notice.lid_closed:
            self.board.put(lid_closed=lid_closed)
        if self.machine.state is State.IDLE and self._front.take_start():
            self._begin(StartOrder(self.board.notice.waiting_sample_id))

    def _await_acknowledge(self) -> None:
        self.requests.wait(POLL_S)
        self._front.tend()
        if self.machine.state is State.COMPLETE:
            self._read_panel()
        if not self.requests.take(Event.ACKNOWLEDGE):
            return
        if self.machine.state is State.COMPLETE:
            self._become_idle(Event.ACKNOWLEDGE)
            return
        if self._reopen:
            self._open_devices()
        self.machine.fire(Event.ACKNOWLEDGE)

    def _open_devices(self) -> None:
        self._hardware.reopen()
        self._reopen = False

    def _begin(self, order: StartOrder) -> None:
        conditions = self._conditions(order.sample_id, order.control_lot is not None)
        unmet = [condition for condition in conditions if not condition.met]
        if unmet:
            refusal = StartRefusedError(unmet)
            self._refuse(order, refusal)
            return
        try:
            # Whoever starts a run has seen that the lid is closed.
            self._hardware.light.acknowledge_lid()
        except InterlockError as error:
            self._refuse(order, error)
            return
        try:
            run = self._start_run(order)
        except Exception as error:
            order.run_id.set_exception(error)
            raise
        order.run_id.set_result(run.id)
        conduct(run, run.services, self.make_safe)

    def _calibrate(self, pending: PendingCalibration) -> None:
        """Enter the calibrating state for one order, and leave it again."""
        if not admitted(pending, self._conditions("", False), self._hardware):
            return
        self.requests.clear()
        self._front.forget()
        self.board.put(calibrating=pending.order.name, share=0.0, activity="Calibrating.")
        self.machine.fire(Event.CALIBRATE)
        pending.begun.set_result(None)
        event = calibrate(pending.order, self._services())
        if event is Event.ABORT:
            self.make_safe()
        self._become_idle(event)

    def _refuse(self, order: StartOrder, refusal: LeukoluxError) -> None:
        self.board.put(activity=refusal.cause)
        try:
            self._front.refuse()
        finally:
            order.run_id.set_exception(refusal)

    def _start_run(self, order: StartOrder) -> Run:
        """Enter the preparing state with a new run in the records."""
        self.requests.clear()
        self._front.forget()
        self.latest.put(None)
        self.machine.fire(Event.START)
        versions = {"software": version(), **self._models[0].versions}
        services = self._services()
        settings = services.settings.model_dump(mode="json", exclude={"web": {"lan_token"}})
        sample_id, lot = order.sample_id, order.control_lot
        run_id = self._records.begin_run(sample_id, settings, versions, lot)
        run = Run(services, run_id, sample_id, versions, lot)
        self.progress = run.progress
        self.board.put(
            run_id=run_id,
            sample_id=sample_id,
            started_s=self._clock.monotonic_s(),
            ended_s=None,
            waiting_sample_id="",
        )
        return run

    def _services(self) -> Services:
        effective = self._effective()
        return Services(
            settings=effective.settings,
            calibration=effective,
            hardware=self._hardware,
            clock=self._clock,
            records=self._records,
            events=self._events,
            board=self.board,
            machine=self.machine,
            requests=self.requests,
            latest=self.latest,
            models=self._models,
            make_analyzer=self._make_analyzer,
            quality=self._quality,
            beat=self._tend,
        )
