"""What a run works with: everything that outlives it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from device.analysis.flatfield import Background
from device.analysis.pipeline import Analyzer
from device.calibration.effective import Effective
from device.engine.state.latest_tile import LatestTile
from device.engine.state.machine import StateMachine
from device.engine.state.requests import Requests
from device.engine.state.snapshot import SnapshotStore
from device.quality.gate import QualityGate
from device.records.records import Records
from device.settings.file import Settings
from device.settings.sections import AnalysisConfig
from device.system.events import EventBus
from hal.clock import Clock
from hal.factory import Hardware
from models.runtime import ModelSet

MakeAnalyzer = Callable[[ModelSet, AnalysisConfig, Background], Analyzer]


@dataclass(frozen=True)
class Services:
    """Shared parts of the instrument.

    Attributes:
        settings: the effective ones, with the valid calibrations in place.
        calibration: what the run uses of the calibrations.
        models: one set per analysis thread.
        quality: reads the records again after a control slide has been judged.
        heartbeat: to be called wherever the owner of the hardware passes or waits.
    """

    settings: Settings
    calibration: Effective
    hardware: Hardware
    clock: Clock
    records: Records
    events: EventBus
    snapshots: SnapshotStore
    machine: StateMachine
    requests: Requests
    latest: LatestTile
    models: Sequence[ModelSet]
    make_analyzer: MakeAnalyzer
    quality: QualityGate
    heartbeat: Callable[[], None]
