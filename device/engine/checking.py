"""Checks of the instrument by the owner of the hardware: shown while they run, and kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Lock

from device.checks.catalogue import CATALOGUE
from device.checks.context import CheckContext
from device.checks.report import Check, CheckProgress, CheckReport, CheckResult, Level
from device.checks.runner import choose, run_checks
from device.engine.state.services import Services
from device.errors import RecordsError
from device.system.version import versions_with
from hal.errors import DeviceError, FrameError
from models.runtime import ModelSet

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckOrder:
    """Somebody wants the instrument checked."""

    level: Level
    operator: str = ""


def planned_checks(order: CheckOrder) -> CheckProgress:
    """Return what a check is going to do, before it has begun."""
    checks = choose(CATALOGUE, order.level)
    return CheckProgress(
        order.level, order.operator, tuple((check.id, check.title) for check in checks), (), None
    )


class Checker:
    """Does the checks of one instrument; :meth:`ask` from any thread, the rest from the owner's.

    Args:
        services: shared parts of the instrument as they are now.
        load_models: opens the networks, one set per call.
    """

    def __init__(
        self, services: Callable[[], Services], load_models: Callable[[], ModelSet]
    ) -> None:
        self._services = services
        self._load_models = load_models
        self._lock = Lock()
        self._order: CheckOrder | None = None

    def ask(self, order: CheckOrder) -> None:
        """Keep an order until the owner takes it; a newer one replaces it."""
        with self._lock:
            self._order = order

    def take(self) -> CheckOrder | None:
        """Return the order and forget it."""
        with self._lock:
            order, self._order = self._order, None
        return order

    def self_test(self) -> Sequence[ModelSet]:
        """Do the checks of the start-up; return the networks, empty if it was ended early.

        Raises LeukoluxError: what failed first.
        """
        context = self._context()
        report = self._check(CheckOrder(Level.STARTUP), context)
        for failure in report.failures.values():
            raise failure
        return () if report.cancelled else context.models

    def check(self, order: CheckOrder) -> CheckReport:
        """Do the checks that were asked for.

        Raises:
            DeviceError: a device must be opened again before anything else; the report is kept.
            RecordsError: the report could not be kept.
        """
        report = self._check(order, self._context())
        self._services().quality.refresh()
        failure = broken_device(report)
        if failure is not None:
            raise failure
        return report

    def _check(self, order: CheckOrder, context: CheckContext) -> CheckReport:
        """Do the checks of a level; the snapshot says how far they are, the records keep them."""
        services = self._services()
        planned = planned_checks(order)

        def progress(done: Sequence[CheckResult], now: Check | None) -> None:
            at = now.id if now is not None else None
            services.snapshots.put(checking=replace(planned, results=tuple(done), now=at))

        report = run_checks(choose(CATALOGUE, order.level), order.level, context, progress)
        versions = versions_with(context.models[0].versions if context.models else {})
        try:
            check_id = services.records.quality.add_check(
                order.operator, report.as_dict(), versions
            )
        except RecordsError as error:
            if not report.failures and not report.cancelled:
                raise
            log.warning("the report of the checks is not in the records: %s", error)
        else:
            services.snapshots.put(last_check_id=check_id)
        return report

    def _context(self) -> CheckContext:
        services = self._services()
        return CheckContext(
            services.calibration,
            services.hardware,
            services.records,
            services.clock,
            load_models=self._load_models,
            make_analyzer=services.make_analyzer,
            cancel=services.requests.cancel,
            heartbeat=services.heartbeat,
        )


def broken_device(report: CheckReport) -> DeviceError | None:
    """Return what made a device unusable: it must be opened again before anything else."""
    return next(
        (
            error
            for error in report.failures.values()
            if isinstance(error, DeviceError) and not isinstance(error, FrameError)
        ),
        None,
    )
