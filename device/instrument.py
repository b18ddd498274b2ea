"""The instrument as screen and command line see it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from types import TracebackType
from typing import Any

from device.acquisition.plan import make_plan
from device.analysis.tile_analyzer import TileAnalysis, TileAnalyzer
from device.calibration.desk import CalibrationDesk
from device.calibration.effective import calibrated_device
from device.calibration.order import CalibrationOrder
from device.checks.report import Level
from device.engine.checking import CheckOrder
from device.engine.engine import Engine
from device.engine.services import MakeAnalyzer
from device.engine.states import Event, Refusal, State, answer
from device.errors import RequestRefusedError, StartRefusedError
from device.quality.gate import QualityGate
from device.records.records import Records
from device.settings.file import Settings
from device.status import StartCondition, Status
from device.system.events import EventBus, EventKind
from device.system.service_manager import Watchdog
from hal.clock import Clock
from hal.errors import DeviceTimeoutError, InputError, LeukoluxError
from hal.factory import Hardware
from models.runtime import ModelSet
from models.verify import load_tested_models

MAX_SAMPLE_ID_LENGTH = 64


def status_dict(status: Status) -> dict[str, Any]:
    """Return the status as JSON-compatible values."""
    return asdict(status)


def check_sample_id(sample_id: str) -> str:
    """Return the sample id without surrounding blanks.

    Raises:
        InputError: longer than 64 characters, or with characters that cannot be printed.
    """
    name = sample_id.strip()
    if len(name) > MAX_SAMPLE_ID_LENGTH or not name.isprintable():
        raise InputError(
            f"{sample_id!r} cannot be a sample id.",
            remedy=f"Use 1 to {MAX_SAMPLE_ID_LENGTH} printable characters.",
            code="INPUT-SAMPLE-ID",
        )
    return name


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

    Requests return at once; the state follows when the owner of the hardware resolves them
    between two exposures.  A context manager: :meth:`open` on entry, :meth:`close` on exit.

    Args:
        settings: effective settings.
        hardware: devices, not yet opened; closed together with the instrument.
        records: where runs are kept; stays open.
        clock: paces everything but people and safety.
        load_models: opens the networks, one set per call; None opens those that came with the
            software where the settings say, and puts them to the known-answer test.
        make_analyzer: builds the analysis of a run, one per analysis thread.
        watchdog: is fed by the owner of the hardware; None where nobody watches.

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
        self._records = records
        self._clock = clock
        simulation = hardware.simulation
        self._donor = settings.simulation.smear if simulation is not None else None
        self._quality = QualityGate(settings.quality, records)
        self._records_remarks = _records_remarks(records)
        self.calibration = CalibrationDesk(
            settings,
            records.calibrations,
            calibrated_device(hardware),
            self._order_calibration,
            changed=self._tell,
        )
        self._engine = Engine(
            settings,
            hardware,
            records,
            clock,
            self.events,
            conditions=self._conditions,
            quality=self._quality,
            effective=self.calibration.effective,
            load_models=load_models or partial(load_tested_models, settings.analysis.provider),
            make_analyzer=make_analyzer,
            watchdog=watchdog,
        )
        self._board = self._engine.board
        self._board.listen(self._publish_status)

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
        """What the instrument is in fault or paused for."""
        return self._board.notice.error

    @property
    def heartbeat_age_s(self) -> float:
        """Real seconds since the owner of the hardware last passed a check point."""
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

    def enter_sample(self, sample_id: str) -> None:
        """Set the sample that the start button on the panel starts; empty forgets it.

        Raises InputError as :func:`check_sample_id`.
        """
        self._board.put(waiting_sample_id=check_sample_id(sample_id))

    def start(self, sample_id: str | None = None, control_lot: int | None = None) -> int:
        """Start a run, by default of the sample entered; return its id.

        Args:
            sample_id: name of the sample.
            control_lot: lot of the control slide that is loaded; its run is no result of a person.

        Raises:
            InputError: the sample id cannot be one, or there is no such lot in use.
            StartRefusedError: names the start conditions that are not met.
            RequestRefusedError: another start is under way.
        """
        if sample_id is None:
            sample_id = self._board.notice.waiting_sample_id
        name = check_sample_id(sample_id)
        if self._engine.machine.state is not State.IDLE:
            conditions = self._conditions(name, control_lot is not None)
            raise StartRefusedError([c for c in conditions if not c.met])
        if control_lot is not None:
            self._require_lot(control_lot)
        return self._engine.order_start(name, control_lot)

    def check(self, level: Level, operator: str = "") -> None:
        """Ask for a check of the instrument; the status tells how far it is.

        Raises:
            InputError: the operator's name cannot be one.
            RequestRefusedError: the instrument is not idle.
        """
        name = check_sample_id(operator)
        self._request_fits(Event.CHECK)
        self._engine.checker.ask(CheckOrder(level, name))
        self._engine.requests.put(Event.CHECK)

    def pause(self) -> None:
        """Ask for a pause after the present exposure.  Raises RequestRefusedError."""
        self._request(Event.PAUSE)

    def resume(self) -> None:
        """Ask to go on after a pause.  Raises RequestRefusedError, also while the lid is open."""
        self._request_fits(Event.RESUME)
        if not self._board.notice.lid_closed:
            raise RequestRefusedError(
                "The lid is open.", remedy="Close the lid, then resume.", code="LID-OPEN"
            )
        self._engine.requests.put(Event.RESUME)

    def abort(self) -> None:
        """Ask to end the run and keep what was counted.  Raises RequestRefusedError."""
        self._request(Event.ABORT)

    def acknowledge(self) -> None:
        """Leave the result or the failure behind.  Raises RequestRefusedError."""
        self._request(Event.ACKNOWLEDGE)

    def start_conditions(self) -> tuple[StartCondition, ...]:
        """Return everything that must hold for a start of the sample entered."""
        return self._conditions(self._board.notice.waiting_sample_id, False)

    def status(self) -> Status:
        """Return one consistent snapshot."""
        notice = self._board.notice
        counts = self._engine.progress.counts
        target = self._settings.scan.target_cells
        state = self._engine.machine.state
        now_s = notice.ended_s if notice.ended_s is not None else self._clock.monotonic_s()
        error = notice.error
        return Status(
            state=state.value,
            activity=notice.activity,
            run_id=notice.run_id,
            sample_id=notice.sample_id,
            tiles_planned=counts.planned,
            tiles_acquired=counts.acquired,
            tiles_analysed=counts.analysed,
            counts={
                **{kind.value: n for kind, n in counts.cells.items()},
                "unidentified": counts.unidentified,
            },
            classified=counts.classified,
            target_cells=target,
            elapsed_s=now_s - notice.started_s if notice.started_s is not None else 0.0,
            remaining_s=counts.remaining_s(target) if state is State.SCANNING else None,
            error=error.as_dict() if error is not None else None,
            start_conditions=self.start_conditions(),
            sequence=notice.sequence,
            donor=self._donor,
            remarks=(
                *self._quality.remarks(),
                *self.calibration.remarks(),
                *self._records_remarks,
            ),
            checking=notice.checking,
            last_check_id=notice.last_check_id,
            calibrating=notice.calibrating or None,
            calibrating_share=notice.share,
            calibration_version=self.calibration.version,
        )

    def wait_for(self, *states: State, timeout_s: float) -> Status:
        """Wait until the instrument is in one of ``states``, at most ``timeout_s`` real seconds.

        Raises DeviceTimeoutError.
        """
        machine = self._engine.machine
        if not self._board.wait_until(lambda: machine.state in states, timeout_s):
            raise DeviceTimeoutError(
                f"The instrument is still {machine.state} after {timeout_s:g} s, not "
                f"{' or '.join(states)}.",
                remedy="Wait longer, or abort the run.",
            )
        return self.status()

    def _order_calibration(self, order: CalibrationOrder) -> None:
        self._request_fits(Event.CALIBRATE)
        self._engine.calibrations.order(order)

    def _tell(self) -> None:
        self._board.put()

    def _publish_status(self) -> None:
        self.events.publish(EventKind.STATUS, status_dict(self.status()))

    def _request(self, event: Event) -> None:
        self._request_fits(event)
        self._engine.requests.put(event)

    def _request_fits(self, event: Event) -> None:
        outcome = answer(self._engine.machine.state, event)
        if isinstance(outcome, Refusal):
            raise RequestRefusedError(outcome.explanation, remedy="Look at the present state.")

    def _require_lot(self, lot_id: int) -> None:
        with self._records.reader() as reader:
            lot = reader.control_lot(lot_id)
        if lot is None or lot.closed_utc is not None:
            raise InputError(
                f"There is no lot {lot_id} of control slides in use.",
                remedy="Enter the lot first.",
                code="INPUT-LOT",
            )

    def _conditions(self, sample_id: str, control: bool) -> tuple[StartCondition, ...]:
        notice = self._board.notice
        state = self._engine.machine.state
        problem = self.calibration.effective().problem
        return (
            StartCondition(
                "idle",
                state is State.IDLE,
                f"The instrument {state.words}: wait, or acknowledge what it shows.",
            ),
            StartCondition(
                "self_test_passed",
                notice.self_tested,
                "The self-test has not passed: acknowledge the failure to repeat it.",
            ),
            StartCondition(
                "models_verified", notice.models_loaded, "The networks are not loaded yet."
            ),
            StartCondition("lid_closed", notice.lid_closed, "The lid is open: close it."),
            StartCondition(
                "disk_space",
                self._free_mb() >= self._settings.records.min_free_mb,
                f"Less than {self._settings.records.min_free_mb:g} MB are free: free disk space.",
            ),
            StartCondition("calibrated", not problem, problem),
            StartCondition("sample_id", bool(sample_id), "Enter the id of the sample."),
            *self._quality.blocking(control=control),
        )

    def _free_mb(self) -> float:
        try:
            return shutil.disk_usage(self._records.path.parent).free / 1e6
        except OSError:
            return 0.0
