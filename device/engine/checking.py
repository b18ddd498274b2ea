"""Checks of the instrument by its owner: made known while they go on, and kept."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from device.checks.catalogue import CATALOGUE
from device.checks.report import Check, CheckProgress, CheckReport, CheckResult, Level
from device.checks.runner import choose, run_checks
from device.checks.workplace import Workplace
from device.engine.board import Board
from device.errors import RecordsError
from device.records.records import Records
from device.version import version
from hal.errors import DeviceError, FrameError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckOrder:
    """Somebody wants the instrument checked."""

    level: Level
    operator: str = ""


def check_instrument(
    order: CheckOrder, place: Workplace, board: Board, records: Records
) -> CheckReport:
    """Do the checks of a level; the board shows how far they are, the records keep the report.

    Raises RecordsError: the report could not be kept.
    """
    checks = choose(CATALOGUE, order.level)
    planned = tuple((check.id, check.title) for check in checks)

    def progress(done: Sequence[CheckResult], now: Check | None) -> None:
        board.put(
            checking=CheckProgress(
                order.level, order.operator, planned, tuple(done), now.id if now else None
            )
        )

    try:
        report = run_checks(checks, order.level, place, progress)
    finally:
        board.put(checking=None)
    versions = {"software": version()}
    if place.models:
        versions |= place.models[0].versions
    try:
        check_id = records.quality.add_check(order.operator, report.as_dict(), versions)
    except RecordsError as error:
        if not report.failures:
            raise
        log.warning("the report of the checks is not in the records: %s", error)
    else:
        board.put(last_check_id=check_id)
    return report


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
