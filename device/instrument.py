"""The instrument as screen and command line see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from threading import Lock
from types import TracebackType
from typing import Any

from device.acquisition.plan import make_plan
from device.analysis.tile_analyzer import TileAnalysis, TileAnalyzer
from device.calibration.effective import calibrated_device
from device.calibration.order import CalibrationOrder
from device.calibration.service import CalibrationService
from device.checks.report import Level
from device.engine.checking import CheckOrder
from device.engine.engine import Engine
from device.engine.state.services import MakeAnalyzer
from device.engine.state.snapshot import RECORDS_WAITING
from device.engine.state.start_conditions import StartConditions
from device.engine.state.states import Event, Refusal, State, answer
from device.engine.state.waiting_sample import check_operator
from device.errors import RequestRefusedError, StartRefusedError
from device.quality.gate import QualityGate
from device.records.records import Records
from device.settings.file import Settings
from device.status import StartCondition, Status
from device.system.events import EventBus, EventKind
from device.system.service_manager import Watchdog
from hal.clock import Clock
from hal.errors import DeviceTimeoutError, LeukoluxError
from hal.factory import Hardware
from models.runtime import ModelSet
from models.verify import load_tested_models


def status_dict(status: Status) -> dict[str, Any]:
    """Return the status as JSON-compatible values."""
    return asdict(status)


def _records_remarks(records: Records) -> tuple[StartCondition, ...]:
    since = records.history_unknown_utc()
    if since is None:
        return ()
    words = (
        f"Records from before {since[:10]} were lost: light given until then to a sample or by "
        "the LED is not counted in doses and LED life."
    )
    return (StartCondition("history_known", False, words),)


class Instrument:
    """Facade of the whole device; every method may be called from any thread.

    Attributes:
        events: what happens, for whoever subscribes.
        calibration: its steps and sessions, and what is valid now.
        sample: enters the sample that Start starts.

    Requests return at once; the state follows when the owner of the hardware resolves them
    between two exposures.  A context manager: :meth:`open` on entry, :meth:`close` on exit.

    Args:
        settings: effective settings.
        hardware: devices, not yet opened; closed together with the instrument.
        records: where runs are kept; stays open.
        clock: paces everything but people and safety.
        load_models: opens the networks, one set per call; None opens the supplied ones on the
            provider of the settings, and runs their known-answer test.
        make_analyzer: builds the analysis of a run, one per analysis thread.
        watchdog: is fed by the owner of the hardware; None if nobody watches.

    Raises:
        SettingsError: the scan settings make no plan.
    """

    def __init__(
        self,
        settings: Settings,
        hardware: Hardware,
        records: Records,
        clock: Clock,
        *,
        load_models: Callable[[], ModelSet] | None = None,
        make_analyzer: MakeAnalyzer = TileAnalyzer,
        watchdog: Watchdog | None = None,
    ) -> None:
        make_plan(settings.scan, settings.camera)
        self.events = EventBus()
        self._settings = settings
        self._clock = clock
        simulation = hardware.simulation
        self._donor = settings.simulation.smear if simulation is not None else None
        self._quality = QualityGate(settings.quality, records)
        self._records_remarks = _records_remarks(records)
        self.calibration = CalibrationService(
            settings,
            records.calibrations,
            calibrated_device(hardware),
            self._order_calibration,
            changed=self._tell,
        )
        self._start_conditions = StartConditions(settings, records, self.calibration, self._quality)
        self._engine = Engine(
            settings,
            hardware,
            records,
            clock,
            self.events,
            conditions=lambda sample: self._start_conditions.judge(
                self._snapshots.snapshot, sample
            ),
            quality=self._quality,
            effective=self.calibration.effective,
            load_models=load_models or partial(load_tested_models, settings.analysis.provider),
            make_analyzer=make_analyzer,
            watchdog=watchdog,
        )
        self.sample = self._engine.sample
        self._publishing = Lock()
        self._published = -1
        self._snapshots = self._engine.snapshots
        self._snapshots.listen(self._publish_status)

    def open(self) -> None:
        """Start: boot, self-test, then idle or fault; returns at once."""
        self._engine.start()

    def close(self) -> None:
        """End a run as aborted, switch the light off, close the devices.  Never raises."""
        self._engine.shut_down()
        self.events.close()

    def __enter__(self) -> Instrument:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def error(self) -> LeukoluxError | None:
        """Why the instrument is in fault or paused."""
        return self._snapshots.snapshot.error

    @property
    def heartbeat_age_s(self) -> float:
        """Real seconds since the owner of the hardware last passed a checkpoint."""
        return self._engine.heartbeat_age_s

    @property
    def latest_tile_sequence(self) -> int | None:
        """Sequence number of the tile in :meth:`latest_tile_png`."""
        return self._engine.latest.sequence

    def latest_tile(self) -> TileAnalysis | None:
        """Return the analysis of the tile analysed last, with its preview and cells, or None."""
        return self._engine.latest.analysis

    def latest_tile_png(self) -> bytes | None:
        """Return the tile analysed last as PNG at a quarter of its size, or None."""
        return self._engine.latest.png()

    def start(
        self, sample_id: str | None = None, control_lot: int | None = None, operator: str = ""
    ) -> int:
        """Start a run, by default of the sample that waits; return its id.

        Args:
            sample_id: name of the sample; if given, the waiting sample is ignored.
            control_lot: lot of the control slide that is loaded; its run is not a person's result.
            operator: who starts it.

        Raises:
            InputError: the sample id or operator cannot be one, or there is no such lot in use.
            StartRefusedError: names the start conditions that are not met.
            RequestRefusedError: another start is under way, or there was no answer; nothing begins.
        """
        if sample_id is None:
            sample = self.sample.recheck()
        else:
            sample = self.sample.made(sample_id, control_lot, operator)
        if self._engine.machine.state is not State.IDLE:
            conditions = self._start_conditions.judge(self._snapshots.snapshot, sample)
            raise StartRefusedError([c for c in conditions if not c.met])
        return self._engine.starts.ask(sample)

    def check(self, level: Level, operator: str = "") -> None:
        """Ask for a check of the instrument; the status says how far it is.

        Raises:
            InputError: the operator's name cannot be one.
            RequestRefusedError: the instrument is not idle.
        """
        name = check_operator(operator)
        self._request_fits(Event.CHECK)
        self._engine.checker.ask(CheckOrder(level, name))
        self._engine.requests.put(Event.CHECK)

    def pause(self) -> None:
        """Ask for a pause after the present exposure.  Raises RequestRefusedError."""
        self._request(Event.PAUSE)

    def resume(self) -> None:
        """Ask to go on after a pause.

        Raises:
            RequestRefusedError: the state does not allow it, the lid is open, or the run waits for
                the records.
        """
        self._request_fits(Event.RESUME)
        now = self._snapshots.snapshot
        if not now.lid_closed:
            raise RequestRefusedError("LID-OPEN")
        if now.error is RECORDS_WAITING:
            raise RequestRefusedError("RESUME-RECORDS-LOCKED")
        self._engine.requests.put(Event.RESUME)

    def abort(self) -> None:
        """Ask to end the run and keep what was counted.  Raises RequestRefusedError."""
        self._request(Event.ABORT)

    def acknowledge(self) -> None:
        """Leave the result or the failure behind.  Raises RequestRefusedError."""
        self._request(Event.ACKNOWLEDGE)

    def status(self) -> Status:
        """Return one consistent snapshot."""
        now = self._snapshots.snapshot
        target = self._settings.scan.target_cells
        end_s = now.ended_s if now.ended_s is not None else self._clock.monotonic_s()
        return Status(
            state=now.state.value,
            activity=now.activity,
            waiting_sample=now.waiting_sample,
            run_id=now.run_id,
            sample_id=now.sample_id,
            operator=now.operator,
            tiles_planned=now.counts.planned,
            tiles_acquired=now.counts.acquired,
            tiles_analysed=now.counts.analysed,
            counts={
                **{kind.value: n for kind, n in now.counts.cells.items()},
                "unidentified": now.counts.unidentified,
            },
            classified=now.counts.classified,
            target_cells=target,
            elapsed_s=end_s - now.started_s if now.started_s is not None else 0.0,
            remaining_s=now.counts.remaining_s(target) if now.state is State.SCANNING else None,
            error=now.error.as_dict() if now.error is not None else None,
            refusal=now.refusal.as_dict() if now.refusal is not None else None,
            start_conditions=self._start_conditions.judge(now, now.waiting_sample),
            sequence=now.sequence,
            donor=self._donor,
            remarks=(
                *self._quality.remarks(),
                *self.calibration.remarks(),
                *self._records_remarks,
            ),
            checking=now.checking,
            last_check_id=now.last_check_id,
            calibrating=now.calibrating or None,
            calibrating_share=now.share,
            calibration_version=self.calibration.version,
        )

    def wait_for(self, *states: State, timeout_s: float) -> Status:
        """Wait until the instrument is in one of ``states``, at most ``timeout_s`` real seconds.

        Raises DeviceTimeoutError.
        """
        if not self._snapshots.wait_until(lambda now: now.state in states, timeout_s):
            raise DeviceTimeoutError(
                "INSTRUMENT-STATE-TIMEOUT",
                state=self._engine.machine.state,
                timeout_s=timeout_s,
                wanted=" or ".join(states),
            )
        return self.status()

    def _order_calibration(self, order: CalibrationOrder) -> None:
        self._request_fits(Event.CALIBRATE)
        self._engine.calibrations.ask(order)

    def _tell(self) -> None:
        self._snapshots.put()

    def _publish_status(self) -> None:
        status = self.status()
        with self._publishing:
            # Another thread may have published a newer one meanwhile, which includes this change.
            if status.sequence > self._published:
                self._published = status.sequence
                self.events.publish(EventKind.STATUS, status_dict(status))

    def _request(self, event: Event) -> None:
        self._request_fits(event)
        self._engine.requests.put(event)

    def _request_fits(self, event: Event) -> None:
        outcome = answer(self._engine.machine.state, event)
        if isinstance(outcome, Refusal):
            raise outcome.error()
