"""A simulated instrument for the checks, with physics and every fault switch in reach."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

from device.calibration.effective import uncalibrated
from device.checks.catalogue import CATALOGUE
from device.checks.context import CheckContext
from device.checks.report import Check, CheckReport, CheckResult, Level
from device.checks.runner import choose, run_checks
from device.records.records import Records
from device.settings.file import parse_settings
from hal.clock import SystemClock
from hal.factory import build_hardware
from hal.sim.world import SimulatedWorld
from models.runtime import ModelSet

SPEED = 100.0
READBACK_PIN = 15
NOW = datetime(2026, 5, 4, 7, 30, tzinfo=UTC)


class CheckRig:
    """Hardware that nobody has opened, records, and the means to run checks on them."""

    def __init__(
        self,
        folder: Path,
        models: ModelSet,
        changes: dict[str, dict[str, Any]],
        speed: float = SPEED,
    ) -> None:
        tables: dict[str, dict[str, Any]] = {
            "camera": {"width_px": 384, "height_px": 288},
            "light": {"readback_pin": READBACK_PIN},
            "scan": {
                "left_um": 36_000.0,
                "top_um": 44_000.0,
                "width_um": 220.0,
                "height_um": 160.0,
                "overlap_um": 21.0,
                "settle_xy_ms": 10.0,
                "settle_z_ms": 5.0,
            },
            "records": {"directory": str(folder), "min_free_mb": 1.0},
        }
        for name, table in changes.items():
            tables[name] = {**tables.get(name, {}), **table}
        self.settings = parse_settings(tables)
        self.clock = SystemClock(speed)
        self.hardware = build_hardware(self.settings, self.clock)
        assert self.hardware.simulation is not None
        self.world: SimulatedWorld = self.hardware.simulation
        self.now = NOW
        self.records = Records(folder / "records.db", self.clock, lambda: self.now)
        self.load_models: Callable[[], ModelSet] = lambda: models
        self.effective = uncalibrated(self.settings)
        self.cancel = Event()
        self.before: dict[str, Callable[[], None]] = {}

    def meanwhile(self, check_id: str, action: Callable[[CheckRig], None]) -> None:
        """Let something happen just before a check begins."""
        self.before[check_id] = lambda: action(self)

    def run(self, level: Level, only: Sequence[str] = ()) -> CheckReport:
        def progress(done: Sequence[CheckResult], now: Check | None) -> None:
            if now is not None:
                self.before.get(now.id, lambda: None)()

        return run_checks(choose(CATALOGUE, level, only), level, self.context(), progress)

    def context(self) -> CheckContext:
        """Return what the checks of this instrument would work with now."""
        return CheckContext(
            self.effective,
            self.hardware,
            self.records,
            self.clock,
            load_models=self.load_models,
            cancel=self.cancel,
        )

    def close(self) -> None:
        self.hardware.close()
        self.records.close()


@contextmanager
def check_rig(
    folder: Path,
    models: ModelSet,
    changes: dict[str, dict[str, Any]] | None = None,
    speed: float = SPEED,
) -> Iterator[CheckRig]:
    rig = CheckRig(folder, models, changes or {}, speed)
    try:
        yield rig
    finally:
        rig.close()


def found(report: CheckReport, check_id: str) -> CheckResult:
    return next(result for result in report.results if result.id == check_id)


def copy_of_the_networks(folder: Path) -> Path:
    """Copy the shipped networks, so that a test can damage them."""
    from models.runtime import PACKAGE_DIRECTORY

    target = folder / "networks"
    target.mkdir()
    for path in PACKAGE_DIRECTORY.iterdir():
        if path.suffix in (".onnx", ".json", ".npz"):
            shutil.copy(path, target)
    return target
