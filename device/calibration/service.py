"""Calibration as screen and command line see it: sessions of steps, and what is valid now."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from threading import RLock

import numpy as np
from numpy.typing import NDArray

from device.calibration.effective import Effective, due, effective, expires, made_for
from device.calibration.order import CalibrationOrder, is_refusal
from device.calibration.steps import led_power
from device.calibration.steps.catalogue import STEP_IDS, Step, step_of
from device.calibration.steps.context import CalibrationContext, pixels_of
from device.calibration.steps.quantities import Outcome
from device.calibration.steps.slide_corners import CORNERS
from device.errors import RequestRefusedError
from device.records.calibrations import (
    CalibrationRecord,
    CalibrationSession,
    CalibrationState,
    CalibrationStore,
)
from device.settings.file import Settings
from device.status import StartCondition
from device.system.version import version
from hal.errors import InputError, LeukoluxError

log = logging.getLogger(__name__)

MAX_OPERATOR_LENGTH = 64
MAX_JOG_UM = 20_000.0
CORNER_STEP = "slide_corners"
METER_STEP = "led_power"


class CalibrationService:
    """Guides a session; methods may be called from any thread.

    Args:
        settings: as they were read.
        store: where everything is kept, step by step.
        device: which instrument the results belong to, the simulated one or the real one.
        perform: gives an order to the owner of the hardware and returns when it has begun; raises
            RequestRefusedError.
        changed: called when something was stored.
    """

    def __init__(
        self,
        settings: Settings,
        store: CalibrationStore,
        device: str,
        perform: Callable[[CalibrationOrder], None],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._device = device
        self._perform = perform
        self._changed = changed
        self._lock = RLock()
        self._accepted = store.newest_accepted(device)
        self._left_out = store.left_out(device)
        self._effective: Effective | None = None
        self._next_expiry: datetime | None = None
        self._picture: NDArray[np.uint16] | None = None
        self._version = 0

    @property
    def version(self) -> int:
        """Increases with everything stored."""
        with self._lock:
            return self._version

    def effective(self) -> Effective:
        """Return what a run that starts now would use."""
        now = self._store.now()
        with self._lock:
            outdated = self._next_expiry is not None and now >= self._next_expiry
            if self._effective is None or outdated:
                self._effective = found = effective(
                    self._settings, self._accepted, now, self._left_out
                )
                ends = [expires(r, self._settings.calibration) for r in found.used.values()]
                self._next_expiry = min((end for end in ends if end is not None), default=None)
            return self._effective

    def remarks(self) -> tuple[StartCondition, ...]:
        """Return what a person should know of the calibrations before a run that they allow."""
        if self.effective().problem:
            return ()
        return tuple(remark for remark, _ in self._due())

    def due(self) -> tuple[str, ...]:
        """Return the steps that should be done now, in their order."""
        steps = {step for _, steps in self._due() for step in steps}
        return tuple(step for step in STEP_IDS if step in steps)

    def _due(self) -> tuple[tuple[StartCondition, tuple[str, ...]], ...]:
        return due(self.effective(), self._settings.calibration, self._store.now())

    def begin(self, operator: str, steps: Sequence[str] = ()) -> CalibrationSession:
        """Begin a session of ``steps``, by default all; an open one ends.

        Raises:
            InputError: the name or a step cannot be one.
        """
        name = operator.strip()
        if not name or len(name) > MAX_OPERATOR_LENGTH or not name.isprintable():
            raise InputError("CALIBRATION-OPERATOR", most=MAX_OPERATOR_LENGTH)
        wanted = {step_of(step).id for step in steps} or set(STEP_IDS)
        self._store.begin(self._device, name, [step for step in STEP_IDS if step in wanted])
        self._touch()
        return self._session()

    def session(self) -> CalibrationSession | None:
        """Return the open session, also one that a former start of the program left open."""
        return self._store.open_session(self._device)

    def results(self) -> dict[str, CalibrationRecord]:
        """Return the newest result of each step of the open session."""
        session = self.session()
        return self._store.of_session(session.id) if session is not None else {}

    def next_step(self) -> Step | None:
        """Return the first step of the open session that is neither accepted nor skipped."""
        session = self.session()
        if session is None:
            return None
        done = {
            step
            for step, record in self._store.of_session(session.id).items()
            if record.state in (CalibrationState.ACCEPTED, CalibrationState.SKIPPED)
        }
        return next((step_of(step) for step in session.steps if step not in done), None)

    def page(self, after: int, limit: int) -> list[CalibrationRecord]:
        """Return all results ever stored, after id ``after``."""
        return self._store.page(self._device, after, limit)

    def measure(self, step_id: str, entries: Mapping[str, float] | None = None) -> None:
        """Ask for the measurement of a step; returns when it has begun.

        Raises:
            InputError: no such step, or an entry does not fit.
            RequestRefusedError: no session is open, the step is not part of it, or the instrument
                cannot begin now.
        """
        step = step_of(step_id)
        session = self._session(step.id)
        marked = {
            f"{corner}_{axis}_um": at
            for corner, place in session.marks.items()
            for axis, at in zip("xy", place, strict=True)
            if any(entry.marked for entry in step.entries)
        }
        checked = step.check_entries({**marked, **(entries or {})})
        self._perform(
            CalibrationOrder(
                step.id,
                f"calibration-{session.id}",
                step.lit,
                lambda context: self._measure(step, session, checked, context),
            )
        )

    def accept(self, step_id: str) -> None:
        """Put the newest result of a step to use.

        Raises:
            RequestRefusedError: there is no result inside its limits.
        """
        session = self._session(step_of(step_id).id)
        record = self._store.of_session(session.id).get(step_id)
        if record is None or record.state is not CalibrationState.MEASURED:
            raise RequestRefusedError("CALIBRATION-NOTHING-TO-ACCEPT")
        self._store.accept(record.id)
        self._finish_when_done()
        self._touch()

    def skip(self, step_id: str) -> None:
        """Leave a step out of the open session.

        Raises:
            RequestRefusedError: no session is open, or the step must not be left out.
        """
        step = step_of(step_id)
        session = self._session(step.id)
        if not step.may_skip:
            raise RequestRefusedError("CALIBRATION-NOT-SKIPPABLE")
        self._add(session, step.id, CalibrationState.SKIPPED, Outcome())
        self._finish_when_done()
        self._touch()

    def end(self) -> None:
        """End the open session; what was accepted stays in use.  Raises RequestRefusedError."""
        self._store.end(self._session().id)
        self._touch()

    def jog(self, dx_um: float, dy_um: float) -> None:
        """Ask for a small move, and for a picture if the lid is closed.

        Raises:
            InputError: the move is too long.
            RequestRefusedError: no session is open, or the instrument cannot begin now.
        """
        if not max(abs(dx_um), abs(dy_um)) <= MAX_JOG_UM:
            raise InputError("CALIBRATION-JOG", dx_um=dx_um, dy_um=dy_um, most_um=MAX_JOG_UM)

        def target(context: CalibrationContext) -> tuple[float, float]:
            here = context.rig.hardware.stage.position()
            return here.x_um + dx_um, here.y_um + dy_um

        self._order_jog(target)

    def visit(self, corner: str) -> None:
        """Ask for a move to a corner: the marked one, or that of the scan area.

        Raises: as :meth:`jog`; InputError for an unknown corner.
        """
        session = self._session()
        _check_corner(corner)

        def target(context: CalibrationContext) -> tuple[float, float]:
            scan = context.settings.scan
            far = CORNERS.index(corner)
            area = (scan.left_um + far * scan.width_um, scan.top_um + far * scan.height_um)
            return session.marks.get(corner, area)

        self._order_jog(target)

    def mark(self, corner: str) -> None:
        """Ask to keep the place of the stage as a corner of the smear.

        Raises: as :meth:`jog`; InputError for an unknown corner.
        """
        session = self._session()
        _check_corner(corner)

        def work(context: CalibrationContext) -> None:
            place = context.rig.hardware.stage.position()
            marks = {**session.marks, corner: (place.x_um, place.y_um)}
            self._store.mark(session.id, marks)
            self._touch()

        self._perform(CalibrationOrder("jog", f"calibration-{session.id}", False, work))

    def give_pulses(self) -> None:
        """Ask for a series of pulses that a person reads on a power meter.

        Raises:
            RequestRefusedError: no session with the step is open, the lid is open, or the
                instrument cannot begin now.
        """
        session = self._session(METER_STEP)
        self._perform(
            CalibrationOrder(
                METER_STEP,
                f"calibration-{session.id}",
                True,
                lambda context: self._give_pulses(session, context),
            )
        )

    @property
    def picture(self) -> NDArray[np.uint16] | None:
        """The last frame of a jog, uint16 (height, width), or None."""
        with self._lock:
            return self._picture

    def _measure(
        self,
        step: Step,
        session: CalibrationSession,
        entries: Mapping[str, float],
        context: CalibrationContext,
    ) -> None:
        """Do the step and store what came of it; runs on the thread that owns the hardware."""
        try:
            outcome = step.measure(context, entries)
        except LeukoluxError as error:
            if is_refusal(error):
                outcome = Outcome(refusal=error)
            else:
                if error.error_code != "CANCELLED":
                    self._add(session, step.id, CalibrationState.REFUSED, Outcome(refusal=error))
                    self._touch()
                raise
        belongs = {**outcome.details, "made_for": made_for(step.id, self._settings)}
        outcome = replace(outcome, details=belongs)
        refused = outcome.refusal is not None
        state = CalibrationState.REFUSED if refused else CalibrationState.MEASURED
        self._add(session, step.id, state, outcome)
        self._touch()

    def _order_jog(self, target: Callable[[CalibrationContext], tuple[float, float]]) -> None:
        session = self._session()
        self._perform(
            CalibrationOrder(
                "jog",
                f"calibration-{session.id}",
                False,
                lambda context: self._jog(session, context, target),
            )
        )

    def _jog(
        self,
        session: CalibrationSession,
        context: CalibrationContext,
        target: Callable[[CalibrationContext], tuple[float, float]],
    ) -> None:
        """Move and take a picture; runs on the thread that owns the hardware."""
        rig = context.rig
        try:
            rig.mover.home()
            x_um, y_um = target(context)
            rig.mover.to(x_um, y_um, context.settings.scan.focus_z_um)
            if rig.hardware.panel.lid_closed:
                frame = rig.imager.take(context.field_of(x_um, y_um))
                with self._lock:
                    self._picture = pixels_of(frame)
        except LeukoluxError as error:
            if not is_refusal(error):
                raise
            self._add(session, CORNER_STEP, CalibrationState.REFUSED, Outcome(refusal=error))
        self._touch()

    def _give_pulses(self, session: CalibrationSession, context: CalibrationContext) -> None:
        """Give the pulses; runs on the thread that owns the hardware."""
        try:
            led_power.give_pulses(context)
        except LeukoluxError as error:
            if not is_refusal(error):
                raise
            self._add(session, METER_STEP, CalibrationState.REFUSED, Outcome(refusal=error))
            self._touch()

    def _session(self, step_id: str | None = None) -> CalibrationSession:
        session = self.session()
        if session is None:
            raise RequestRefusedError("CALIBRATION-NO-SESSION")
        if step_id is not None and step_id not in session.steps:
            raise RequestRefusedError("CALIBRATION-STEP-NOT-PLANNED", step=step_id)
        return session

    def _finish_when_done(self) -> None:
        session = self.session()
        if session is not None and self.next_step() is None:
            self._store.end(session.id)

    def _add(
        self, session: CalibrationSession, step: str, state: CalibrationState, outcome: Outcome
    ) -> None:
        self._store.add(session, self._device, step, state, version(), outcome.document())
        log.info("calibration %s: %s %s", step, state, outcome.document())

    def _touch(self) -> None:
        with self._lock:
            self._accepted = self._store.newest_accepted(self._device)
            self._left_out = self._store.left_out(self._device)
            self._effective = None
            self._version += 1
        self._changed()


def _check_corner(corner: str) -> None:
    if corner not in CORNERS:
        raise InputError("CALIBRATION-CORNER", corner=corner[:40], corners=", ".join(CORNERS))
