"""While another program holds the database, a run waits with the light off, then resumes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event as Signal
from typing import Final

from device.engine.state.services import Services
from device.engine.state.snapshot import RECORDS_WAITING
from device.engine.state.states import LIT, Event
from device.records.failures import locked_error

ACTIVITY: Final = "The records are locked by another program; waiting."


class RecordsWait:
    """Lets the writes of one run wait; used by the owner of the hardware and the analysis.

    A write that has waited for longer than the busy timeout of the records pauses the
    acquisition until the database is free.  Tiles stay in their queue meanwhile.

    Attributes:
        held_s: seconds of the instrument's clock that the run was paused for this.
        lid_opened: whether the lid was open while the run waited; reset when a person has resumed
            the run with the lid closed.

    Args:
        services: shared parts of the instrument.
        check: passes a checkpoint of the run: raises Cancelled, or what made the analysis fail.
        come_to_rest: waits until the stage stands still.
        scanning: whether the run was scanning, so that it resumes scanning.
    """

    def __init__(
        self,
        services: Services,
        *,
        check: Callable[[], None],
        come_to_rest: Callable[[], None],
        scanning: Callable[[], bool],
    ) -> None:
        self.held_s = 0.0
        self.lid_opened = False
        self._services = services
        self._writer = services.records.writer
        self._check = check
        self._come_to_rest = come_to_rest
        self._scanning = scanning
        self._analysis_waits = Signal()
        self._ending = False
        self._gives_up = Signal()

    @contextmanager
    def owner(self) -> Iterator[None]:
        """Let the writes of the owner of the hardware wait for other programs."""
        with self._writer.patience(self._wait_as_owner):
            yield

    @contextmanager
    def analysis(self, excuse: Callable[[], None]) -> Iterator[None]:
        """Let the writes of an analysis thread wait for other programs.

        Args:
            excuse: called again and again while it waits.
        """

        def wait(waited_s: float) -> None:
            excuse()
            self._require_patience(waited_s)
            if waited_s >= self._writer.busy_timeout_s:
                self._analysis_waits.set()
            self._writer.pass_time()

        with self._writer.patience(wait):
            try:
                yield
            finally:
                self._analysis_waits.clear()

    def end(self) -> None:
        """From now on nothing more is acquired: wait until all is stored, or a person gives up.

        An abort that led here is forgotten; a further one, and a shutdown, give up.
        """
        self._ending = True
        self._services.requests.take(Event.ABORT)

    def attend(self) -> None:
        """Pass a checkpoint; hold the run while the analysis cannot write.

        Raises what ``check`` raises, unless the run is ending.
        """
        self._pass()
        self._watch_lid()
        if self._analysis_waits.is_set():
            self._hold(lambda: not self._analysis_waits.is_set())

    def _wait_as_owner(self, waited_s: float) -> None:
        self._pass()
        self._watch_lid()
        self._require_patience(waited_s)
        if waited_s >= self._writer.busy_timeout_s:
            self._hold(lambda: not self._writer.is_locked())
        else:
            self._writer.pass_time()

    def _require_patience(self, waited_s: float) -> None:
        if self._gives_up.is_set() and waited_s >= self._writer.busy_timeout_s:
            raise locked_error(self._services.records.path)

    def _pass(self) -> None:
        if not self._ending:
            self._check()
            return
        self._services.heartbeat()
        requests = self._services.requests
        if requests.take(Event.SHUT_DOWN) or requests.take(Event.ABORT):
            self._gives_up.set()

    def _hold(self, free: Callable[[], bool]) -> None:
        """Pause the acquisition, if there is one, until ``free`` or given up."""
        services = self._services
        begin_s = services.clock.monotonic_s()
        former = services.snapshots.snapshot
        lit = not self._ending and services.machine.state in LIT
        if lit:
            # Stopping a stage that moves would end the run.
            self._come_to_rest()
            services.machine.fire(Event.RECORDS_LOCKED, activity=ACTIVITY, error=RECORDS_WAITING)
        else:
            services.snapshots.put(activity=ACTIVITY, error=RECORDS_WAITING)
        while not free() and not self._gives_up.is_set():
            self._pass()
            self._watch_lid()
            self._writer.pass_time()
        if lit:
            services.machine.fire(Event.RESUME, activity=former.activity, error=former.error)
            if self._scanning():
                services.machine.fire(Event.PREPARED)
        else:
            services.snapshots.put(activity=former.activity, error=former.error)
        self.held_s += services.clock.monotonic_s() - begin_s

    def _watch_lid(self) -> None:
        """Look at the lid while no pulse is given that would notice it."""
        if self._ending:
            return
        closed = self._services.hardware.panel.lid_closed
        self.lid_opened = self.lid_opened or not closed
        if closed != self._services.snapshots.snapshot.lid_closed:
            self._services.snapshots.put(lid_closed=closed)


@contextmanager
def waiting_for_records(services: Services) -> Iterator[None]:
    """Let the writes of checks and calibrations wait for other programs, until a person aborts."""
    writer = services.records.writer
    cancel = services.requests.cancel

    def wait(waited_s: float) -> None:
        services.heartbeat()
        if cancel.is_set():
            raise locked_error(services.records.path)
        if waited_s < writer.busy_timeout_s:
            writer.pass_time()
            return
        former = services.snapshots.snapshot
        services.snapshots.put(activity=ACTIVITY, error=RECORDS_WAITING)
        while writer.is_locked() and not cancel.is_set():
            services.heartbeat()
            writer.pass_time()
        services.snapshots.put(activity=former.activity, error=former.error)

    with writer.patience(wait):
        yield
