"""Everything that must hold before a start, judged on one snapshot."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from device.engine.state.states import State
from device.status import StartCondition

if TYPE_CHECKING:
    from device.calibration.service import CalibrationService
    from device.engine.state.snapshot import Snapshot
    from device.engine.state.waiting_sample import WaitingSample
    from device.quality.gate import QualityGate
    from device.records.records import Records
    from device.settings.file import Settings


@dataclass(frozen=True)
class StartConditions:
    """Judges whether a sample can be started.

    Attributes:
        settings: least free disk space.
        records: on the disk that fills.
        calibration: must not forbid runs.
        quality: knows daily checks and control slides.
    """

    settings: Settings
    records: Records
    calibration: CalibrationService
    quality: QualityGate

    def judge(self, snapshot: Snapshot, sample: WaitingSample) -> tuple[StartCondition, ...]:
        """Return all conditions for a start of ``sample``, met or not."""
        state = snapshot.state
        problem = self.calibration.effective().problem
        min_free_mb = self.settings.records.min_free_mb
        return (
            StartCondition(
                "idle",
                state is State.IDLE,
                f"The instrument {state.words}: wait, or acknowledge what it shows.",
            ),
            StartCondition(
                "self_test_passed",
                snapshot.self_tested,
                "The self-test has not passed: acknowledge the failure to repeat it.",
            ),
            StartCondition(
                "models_verified", snapshot.models_loaded, "The networks are not loaded yet."
            ),
            StartCondition("lid_closed", snapshot.lid_closed, "The lid is open: close it."),
            StartCondition(
                "disk_space",
                self._free_mb() >= min_free_mb,
                f"Less than {min_free_mb:g} MB are free: free disk space.",
            ),
            StartCondition("calibrated", not problem, problem),
            *sample.conditions,
            *self.quality.blocking(control=sample.control_lot is not None),
        )

    def _free_mb(self) -> float:
        try:
            return shutil.disk_usage(self.records.path.parent).free / 1e6
        except OSError:
            return 0.0
