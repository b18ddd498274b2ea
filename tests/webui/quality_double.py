"""Records with known checks and control runs."""

from __future__ import annotations

import numpy as np
from instrument_double import store_run

from device.calibration.effective import uncalibrated
from device.checks.catalogue import CATALOGUE
from device.checks.report import CheckReport, CheckResult, Level, Verdict
from device.quality.control import ANALYTES, Target, judge
from device.records.records import Records
from device.settings.file import Settings

CAUSE = "Brightness of the LED: 41 % of new, not at least 50 % of new."
TARGETS = {
    name: Target(mean, sd)
    for name, (mean, sd) in {
        "neutrophil": (60.0, 3.0),
        "lymphocyte": (30.0, 2.5),
        "monocyte": (6.0, 1.0),
        "red_cells": (5200.0, 150.0),
        "cell_od": (0.12, 0.004),
        "sharpness": (0.31, 0.012),
    }.items()
}


def check_report(failing: str | None = None) -> CheckReport:
    """A daily check that passed, or in which one check failed and one was skipped."""
    results = []
    for check in CATALOGUE:
        limit = check.limit(uncalibrated(Settings()))
        bad = check.id == failing
        skipped = failing is not None and failing in check.needs
        verdict = Verdict.FAIL if bad else Verdict.SKIPPED if skipped else Verdict.PASS
        results.append(
            CheckResult(
                id=check.id,
                title=check.title,
                what=check.what,
                verdict=verdict,
                limit=limit.text,
                low=limit.low,
                high=limit.high,
                unit=limit.unit,
                measured=None if skipped else limit.low or 0.0,
                cause=CAUSE if bad else "It needs: Brightness of the LED." if skipped else "",
                remedy=check.remedy if bad else "",
                code=check.id if bad else "",
                duration_ms=12.5,
            )
        )
    return CheckReport(Level.DAILY, tuple(results))


def store_check(records: Records, operator: str = "AB", failing: str | None = None) -> int:
    report = check_report(failing)
    return records.quality.add_check(operator, report.as_dict(), {"software": "0.1.0"})


def store_lot(records: Records, settings: Settings, runs: int, *, name: str = "Q7") -> int:
    """A lot whose newest neutrophils are far too high; all its runs are those of one sample."""
    targets = {analyte: vars(target) for analyte, target in TARGETS.items()}
    lot_id = records.quality.add_lot(name, "normal", targets)
    random = np.random.default_rng(7)
    former: list[dict[str, float]] = []
    for number in range(runs):
        values = {
            analyte: float(random.normal(target.mean, 0.6 * target.sd))
            for analyte, target in TARGETS.items()
        }
        if number == runs - 1:
            values["neutrophil"] = 72.5
        verdict, rules = judge(TARGETS, former, values)
        former.append(values)
        run_id = store_run(records, settings, sample_id="CONTROL", counts={}, unidentified=0)
        records.quality.add_point(
            lot_id,
            run_id,
            values,
            verdict,
            {key: [str(r) for r in got] for key, got in rules.items()},
        )
    assert set(TARGETS) <= set(ANALYTES)
    return lot_id
